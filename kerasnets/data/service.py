"""Loads chunks on other machines, through a tf.data service, and returns them in their order.

The dispatcher of the service hands out the numbers of the chunks, each to the worker that is free first. A number
decides the records of a chunk and their pixels (chunks.py), and a chunk brings its number along. So the order does not
depend on how many workers there are, which of them is faster, and whether one is killed:

* The trainer puts the chunks in order.
* A chunk that a lost worker took with it never comes. The trainer loads it itself as soon as `AHEAD` later ones have
  come, or nothing came for `PATIENCE`.
* When no chunk comes at all for `SILENCE`, the run stops and can be continued.

A worker gets a graph of TensorFlow's operations: it needs the images, under the same path, and no recipe.
"""

import contextlib
import os
import queue
import re
import socket
import threading
import time
from collections.abc import Callable

import tensorflow as tf

from kerasnets.data.errors import BadImages, first_line

# Images that a worker loads at a time.
REMOTE = 32
# How many chunks the trainer holds at most while it waits for an earlier one.
AHEAD = 128
# Seconds: to reach the dispatcher; to wait for one chunk while others come; to wait for any chunk.
REACH, PATIENCE, SILENCE = 10, 5, 60


class ServiceLost(OSError):
    """The data service does not answer any more; the run continues with `--resume`."""

    exit_code = 75


def place_of(url: str) -> tuple[str, int]:
    """Returns the host and the port of `grpc://HOST:PORT`.

    Raises:
        ValueError: `url` has another form.
    """
    found = re.fullmatch(r"grpc://([\w.-]+|\[[\da-fA-F:]+\]):(\d{1,5})", url)
    if not found:
        raise ValueError(f"The address of a data service should be grpc://HOST:PORT. Received: {url!r}")
    return found[1], int(found[2])


def check_service(url: str) -> None:
    """Checks that something listens at the address of the dispatcher.

    Raises:
        ConnectionError: nothing does.
    """
    host, port = place_of(url)
    try:
        socket.create_connection((host.strip("[]"), port), timeout=REACH).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(url, getattr(error, "strerror", None) or str(error)) from error


def through_service(url: str, load: Callable, bounds: tuple[int, int], bad_images: BadImages) -> tf.data.Dataset:
    """Returns chunks in their order, loaded by the workers of a service.

    Args:
        url: of the dispatcher, `grpc://HOST:PORT`.
        load: a dataset of chunk numbers -> a dataset of (chunk number, loaded chunk); only TensorFlow's operations.
        bounds: the first number, and the one behind the last.
        bad_images: gets the error that stops the run, when the service is lost.

    Raises:
        ConnectionError: the dispatcher does not answer.
    """
    sent = load(tf.data.Dataset.range(*bounds))
    number = _registered(url, sent)
    received = tf.data.experimental.service.from_dataset_id(
        tf.data.experimental.service.ShardingPolicy.DYNAMIC,
        url,
        number,
        sent.element_spec,
        max_outstanding_requests=16,
    )

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.int64)])
    def load_here(number):
        return load(tf.data.Dataset.from_tensors(number)).get_single_element()[1]

    def ordered():
        stop = threading.Event()
        try:
            yield from _in_order(_received(received, stop), load_here, range(*bounds))
        except (tf.errors.OpError, TimeoutError) as error:
            text = first_line(error) if isinstance(error, tf.errors.OpError) else str(error)
            lost = ServiceLost(
                f"The data service at {url} was lost ({text}); start its dispatcher and workers again, and then the "
                "same command with --resume"
            )
            bad_images.stop(lost)
            raise lost from error
        finally:
            stop.set()

    # While it waits, the generator holds a thread, which must not be one of those that the training step needs.
    threads = tf.data.Options()
    threads.threading.private_threadpool_size = os.cpu_count() + 2
    return tf.data.Dataset.from_generator(ordered, output_signature=sent.element_spec[1]).with_options(threads)


def _in_order(chunks, load_here: Callable, numbers):
    """Yields the chunks of `numbers` in their order.

    Args:
        chunks: seconds -> the next (number, chunk) in any order, or None if none comes in that time, or ever.
        load_here: number -> chunk.
    """
    waiting, begun = {}, False
    for number in numbers:
        since = time.monotonic()
        while number not in waiting and len(waiting) < AHEAD:
            found = chunks(PATIENCE if begun else SILENCE)
            begun = True
            if found and found[0] >= number:
                waiting[found[0]] = found[1]
            if not found or time.monotonic() - since > PATIENCE:
                break
        yield waiting.pop(number) if number in waiting else load_here(tf.constant(number, tf.int64))


def _received(dataset: tf.data.Dataset, stop: threading.Event) -> Callable:
    """Reads a dataset in a thread, until `stop` is set, and returns the function `chunks` of `_in_order`.

    That function raises the error of the thread, and TimeoutError when nothing has come for `SILENCE`.
    """
    arrived, silent = queue.Queue(maxsize=4), 0.0
    threading.Thread(target=_read, args=(dataset, arrived, stop), daemon=True).start()

    def chunks(seconds: float):
        nonlocal silent
        try:
            found = arrived.get(timeout=seconds)
        except queue.Empty:
            silent += seconds
            if silent >= SILENCE:
                raise TimeoutError(f"no worker gave anything for {SILENCE} s") from None
            return None
        silent = 0.0
        if found is None:
            arrived.put(None)  # The dataset has ended, for the next call too.
        if isinstance(found, Exception):
            raise found
        return found

    return chunks


def _read(dataset: tf.data.Dataset, arrived: queue.Queue, stop: threading.Event) -> None:
    """Puts the elements of a dataset, and then None or its error, into a queue."""

    def put(item):
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                return arrived.put(item, timeout=0.2)

    try:
        for number, chunk in dataset:
            put((int(number), chunk))
            if stop.is_set():
                return
        put(None)
    except tf.errors.OpError as error:
        put(error)


def _registered(url: str, dataset: tf.data.Dataset):
    """Returns the id of a dataset that the dispatcher has been sent.

    TensorFlow would wait for an hour for something else that listens there.
    """
    check_service(url)
    found = []

    def register():
        try:
            # Pixels do not shrink by compression.
            found.append(tf.data.experimental.service.register_dataset(url, dataset, compression=None))
        except (tf.errors.OpError, ValueError) as error:
            found.append(error)

    thread = threading.Thread(target=register, daemon=True)
    thread.start()
    thread.join(6 * REACH)
    if not found:
        raise _unreachable(url, f"what listens there did not answer in {6 * REACH} s")
    if isinstance(found[0], Exception):
        raise ConnectionError(f"The data could not be sent to the data service at {url}: {first_line(found[0])}")
    return found[0]


def _unreachable(url: str, reason: str) -> ConnectionError:
    return ConnectionError(
        f"No dispatcher of a data service answers ({reason}); start one there with `kerasnets data-service dispatcher "
        f"--port {place_of(url)[1]}`, or correct data.service. Received: {url!r}"
    )
