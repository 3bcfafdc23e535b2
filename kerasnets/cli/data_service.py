"""`kerasnets data-service`."""

import socket
from typing import Annotated

import typer

from kerasnets.cli.output import start_tensorflow

EXAMPLE = "Example: kerasnets data-service dispatcher --port 5050"
PORT = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen at; 0 takes any free one.")]
ADDRESS = Annotated[str, typer.Argument(help="The address that the dispatcher printed, grpc://HOST:PORT.")]
HOST = Annotated[str | None, typer.Option(help="The name under which others reach this machine; by default its own.")]
WAIT = Annotated[int, typer.Option(min=1, help="How many seconds to wait for the dispatcher.")]

app = typer.Typer(
    name="data-service",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Load and augment images on other machines than the one that trains: docs/distributed.md.",
    epilog=EXAMPLE,
)


@app.command("dispatcher", epilog=EXAMPLE)
def dispatcher_command(port: PORT = 5050, host: HOST = None) -> None:
    """Start the dispatcher of a data service, which tells its workers what to load. It runs until it is stopped.

    Train with `--set data.service=ADDRESS`, the address that it prints.
    """
    start_tensorflow()
    from kerasnets.data.servers import serve_dispatcher

    serve_dispatcher(host or socket.gethostname(), port, print_line)


@app.command("worker", epilog="Example: kerasnets data-service worker grpc://localhost:5050")
def worker_command(dispatcher: ADDRESS, port: PORT = 0, host: HOST = None, wait: WAIT = 60) -> None:
    """Start a worker of a data service, which loads images on all cores. It runs until it is stopped.

    It needs the images under the same path as the machine that trains, and the same version of TensorFlow.
    """
    start_tensorflow()
    from kerasnets.data.servers import serve_worker

    serve_worker(dispatcher, host or socket.gethostname(), port, wait, print_line)


def print_line(text: str) -> None:
    print(text, flush=True)
