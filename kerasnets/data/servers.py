"""The processes of a data service: a dispatcher and its workers. They run until SIGTERM or Ctrl-C."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable

import tensorflow as tf

from kerasnets.data.errors import first_line
from kerasnets.data.service import check_service, place_of

# Seconds after which the dispatcher takes a worker that gives no sign for lost, and between two signs.
LOST, SIGN = 20, 2


def serve_dispatcher(host: str, port: int, announce: Callable[[str], None]) -> None:
    """Runs a dispatcher until it is stopped.

    Args:
        host: the name under which others reach this machine.
        port: 0 takes any free one.
        announce: gets the address.

    Raises:
        OSError: the port is not free.
    """
    service = tf.data.experimental.service
    settings = service.DispatcherConfig(port=port, protocol="grpc", worker_timeout_ms=1000 * LOST)
    with _running(lambda: service.DispatchServer(settings), port) as server:
        announce(f"grpc://{host}:{server.target.rpartition(':')[2]}")


def serve_worker(url: str, host: str, port: int, wait: int, announce: Callable[[str], None]) -> None:
    """Runs a worker until it is stopped.

    Args:
        url: of the dispatcher, `grpc://HOST:PORT`.
        host, port: as for `serve_dispatcher`.
        wait: seconds to wait for the dispatcher.
        announce: gets the address of the worker.

    Raises:
        ValueError: `url` has another form.
        ConnectionError: no dispatcher answers.
        OSError: the port is not free.
    """
    host_name, number = place_of(url)
    _wait_for(url, wait)
    service = tf.data.experimental.service
    settings = service.WorkerConfig(
        f"{host_name}:{number}",
        worker_address=f"{host}:%port%",
        port=port,
        protocol="grpc",
        heartbeat_interval_ms=1000 * SIGN,
        dispatcher_timeout_ms=1000 * wait,
    )
    with _running(lambda: service.WorkerServer(settings), port):
        announce(f"a worker of {url}")


@contextlib.contextmanager
def _running(start: Callable, port: int):
    """Starts a server, runs the context, and then waits for SIGTERM or Ctrl-C."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    try:
        server = start()
    except (tf.errors.OpError, RuntimeError) as error:
        raise OSError(f"The server could not start at port {port}: {first_line(error)}") from error
    yield server
    asked.wait()


def _wait_for(url: str, seconds: int) -> None:
    """Waits until something listens at the address of the dispatcher; raises ConnectionError after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        try:
            return check_service(url)
        except ConnectionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
