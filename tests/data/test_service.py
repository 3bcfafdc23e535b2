"""A data service gives the batches that one gets without it, however many workers there are and whichever is lost."""

import dataclasses
import itertools
import random
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from data_files import RGB, data_options, encode, photo, write_folder
from distribution_jobs import difference, finish, start, until_step
from service_processes import data_service, free_port

from kerasnets.cli.app import run
from kerasnets.data import service
from kerasnets.data.pipeline import evaluation_batches, training_batches
from kerasnets.data.shard_writer import write_shards
from kerasnets.data.sources import open_source

AUGMENTATION = {"random_resized_crop": {}, "random_flip": "horizontal"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos of which one is cut off, one is empty, and one only Pillow can decode."""
    folder = tmp_path_factory.mktemp("photos")
    write_folder(folder)
    cats = folder / "train" / "cat"
    (cats / "00.jpg").write_bytes((cats / "00.jpg").read_bytes()[:300])
    (cats / "01.png").write_bytes(b"")
    (cats / "02.gif").write_bytes(encode(photo(2), "TIFF"))
    return folder


@pytest.fixture(scope="module")
def here():
    """The address of a service whose dispatcher and two workers are threads of this process."""
    made = tf.data.experimental.service
    dispatcher = made.DispatchServer()
    address = dispatcher.target.removeprefix("grpc://")
    workers = [made.WorkerServer(made.WorkerConfig(address, heartbeat_interval_ms=200)) for _ in range(2)]
    yield dispatcher.target
    del workers


def batches_of(options, url=None, count=9, **settings):
    source = open_source(options.source, "train")
    options = options.model_copy(update={"service": url})
    found = training_batches(source, RGB, options, **({"batch_size": 6, "seed": 3} | settings)).take(count)
    return [[tensor.numpy() for tensor in tf.nest.flatten(batch)] for batch in found], source


def same(ours, theirs) -> bool:
    return len(ours) == len(theirs) and all(
        np.array_equal(a, b) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "tfrecord"])
def test_same_pixels_in_the_same_order(photos, here, tmp_path, kind, monkeypatch):
    monkeypatch.setattr("kerasnets.data.reading.REMOTE", 4)  # several chunks in a batch
    path = photos
    if kind == "tfrecord":
        write_shards(photos, tmp_path / "shards", shard_bytes=10_000)
        path = tmp_path / "shards"
    shuffle = {"shuffle_buffer": 7} if kind == "tfrecord" else {}
    options = data_options(AUGMENTATION, 0.5, kind=kind, path=str(path), **shuffle)
    for settings in ({}, {"start_step": 4, "share": slice(3, 6)}, {"parts": 2}):
        assert same(batches_of(options, here, **settings)[0], batches_of(options, **settings)[0])
    source = open_source(options.source, "train")

    def evaluated(url):
        batches = evaluation_batches(source, RGB, options, batch_size=6, service=url)
        return [[tensor.numpy() for tensor in batch] for batch in batches]

    served = evaluated(here)
    assert len(source.bad_images.all()) == 2  # What Pillow can decode is used.
    assert same(served, evaluated(None))


@pytest.mark.slow
def test_a_stream_of_tensorflow_datasets_is_read_by_record(tfds_folder, here):
    options = data_options(
        {"scale_jitter": [28, 40]},
        kind="tfds",
        name="shades",
        data_dir=str(tfds_folder),
        download=False,
        shuffle_buffer=9,
    )
    assert same(batches_of(options, here)[0], batches_of(options)[0])


def test_a_worker_and_a_resumed_run_read_only_their_records(photos, tmp_path):
    """Nothing else of the shards is read: the stream of the source is not even opened."""
    write_shards(photos, tmp_path / "shards", shard_bytes=10_000)
    options = data_options(AUGMENTATION, 0.5, kind="tfrecord", path=str(tmp_path / "shards"), shuffle_buffer=7)
    source = open_source(options.source, "train")
    whole = list(training_batches(source, RGB, options, batch_size=6, seed=3).take(6))
    source = dataclasses.replace(open_source(options.source, "train"), stream=lambda seed=None: 1 / 0)
    resumed = training_batches(source, RGB, options, batch_size=6, seed=3, start_step=4).take(2)
    for (images, labels), (theirs, numbers) in zip(resumed, whole[4:], strict=True):
        np.testing.assert_array_equal(images, theirs)
        np.testing.assert_array_equal(labels, numbers)
    good = open_source(data_options(kind="tfrecord", path=str(tmp_path / "shards")).source, "train")
    alone = evaluation_batches(good, RGB, options, batch_size=6)
    part = evaluation_batches(source, RGB, options, batch_size=6, share=slice(3, 6))
    for (images, labels, weights), theirs in zip(part, alone, strict=True):
        for ours, whole_batch in zip((images, labels, weights), theirs, strict=True):
            np.testing.assert_array_equal(ours, whole_batch[3:6])
    with pytest.raises(ZeroDivisionError):
        training_batches(source, RGB, options, batch_size=6, seed=3)


def test_the_parts_of_the_devices_make_a_batch(tmp_path):
    write_folder(tmp_path)
    mixing = {"random_cutout": {}, "mixup": 0.2, "cutmix": 1.0}
    for more in ({}, mixing):
        options = data_options(AUGMENTATION | more, kind="folder", path=str(tmp_path))
        whole, _ = batches_of(options, count=4)
        for parts, sizes in ((2, [3, 3]), (4, [2, 2, 1, 1])):
            found, _ = batches_of(options, count=4 * parts, parts=parts)
            assert [len(part[0]) for part in found] == 4 * sizes
            joined = [zip(*found[i : i + parts], strict=True) for i in range(0, len(found), parts)]
            assert same([[np.concatenate(pieces) for pieces in batch] for batch in joined], whole)


def test_chunks_are_put_in_order_and_lost_ones_are_loaded_here(monkeypatch):
    monkeypatch.setattr(service, "AHEAD", 5)
    random.seed(0)
    numbers = [number for number in range(40) if number not in (11, 12, 30)]
    near = sorted(numbers, key=lambda number: number + random.uniform(0, 4))
    arriving = itertools.chain(((n, f"far {n}") for n in [*near, 3, 17]), itertools.repeat(None))
    found = list(service._in_order(lambda seconds: next(arriving), lambda n: f"here {int(n)}", range(40)))
    assert found == [f"{'here' if n in (11, 12, 30) else 'far'} {n}" for n in range(40)]


@pytest.mark.slow
def test_a_worker_that_cannot_see_the_images_is_named(photos, here, tmp_path):
    shutil.copytree(photos, tmp_path / "data")
    options = data_options({}, 1.0, kind="folder", path=str(tmp_path / "data")).model_copy(update={"service": here})
    source = open_source(options.source, "train")
    source = dataclasses.replace(source, fetch=lambda index: (tf.io.read_file("/no/such/file"), 0))
    with pytest.raises(OSError, match="could not be read: a worker of the data service cannot read it") as caught:
        with source.bad_images.explained():
            list(training_batches(source, RGB, options, batch_size=6, seed=0).take(1))
    assert str(tmp_path / "data") in str(caught.value) and "\n" not in str(caught.value)


def test_a_service_that_ends_stops_the_run(photos, monkeypatch):
    monkeypatch.setattr(service, "SILENCE", 3)
    monkeypatch.setattr(service, "PATIENCE", 1)
    dispatcher = tf.data.experimental.service.DispatchServer()  # without a worker
    options = data_options({}, 0.5, kind="folder", path=str(photos)).model_copy(update={"service": dispatcher.target})
    source = open_source(options.source, "train")
    with pytest.raises(service.ServiceLost, match=r"was lost \(no worker gave anything for 3 s\); start its") as caught:
        with source.bad_images.explained():
            list(training_batches(source, RGB, options, batch_size=6, seed=0).take(1))
    assert caught.value.exit_code == 75 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"service": "localhost:5050"}, "should be grpc://HOST:PORT. Received: service='localhost:5050'"),
        ({"service": "grpc://localhost:1", "cache": "memory"}, "its workers read the images; set data.cache to none"),
    ],
)
def test_wrong_options(changes, message):
    options = data_options(kind="digits").model_dump()
    with pytest.raises(ValueError, match=message):
        type(data_options(kind="digits")).model_validate(options | changes)


def test_no_dispatcher_is_one_line(capsys, tmp_path):
    url = f"grpc://localhost:{free_port()}"
    words = ["train", "lenet5_digits", "--smoke", "--set", f"data.service={url}", "--output", str(tmp_path / "run")]
    assert run(words) == 1 and not (tmp_path / "run").exists()
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "No dispatcher of a data service answers (Connection refused); start" in errors
    assert run(["data-service", "worker", url, "--wait", "1"]) == 1
    assert run(["data-service", "worker", "localhost:5050"]) == 2
    assert "should be grpc://HOST:PORT" in capsys.readouterr().err


@pytest.mark.slow
def test_batches_are_the_same_when_a_worker_is_killed(photos, monkeypatch):
    """Dispatcher and workers are real processes, started by the command line."""
    monkeypatch.setattr("kerasnets.data.reading.REMOTE", 4)
    options = data_options(AUGMENTATION | {"rand_augment": {}}, 0.5, kind="folder", path=str(photos))
    theirs, _ = batches_of(options, count=400)
    with data_service(workers=2) as (url, workers):
        source = open_source(options.source, "train")
        options = options.model_copy(update={"service": url})
        found = iter(training_batches(source, RGB, options, batch_size=6, seed=3))
        ours = [tuple(tensor.numpy() for tensor in next(found)) for _ in range(100)]
        workers[0].send_signal(signal.SIGKILL)
        ours += [tuple(tensor.numpy() for tensor in next(found)) for _ in range(300)]
        assert workers[1].poll() is None
    assert same(ours, theirs)


@pytest.mark.slow
def test_a_job_trains_the_same_weights_through_a_service(tmp_path):
    finish(start(tmp_path / "plain", command=("train",)))
    with data_service(workers=2) as (url, workers):
        process = start(tmp_path / "served", "--set", f"data.service={url}", command=("train",))
        until_step(tmp_path / "served", 10, process)
        workers[0].send_signal(signal.SIGKILL)
        finish(process)
    assert difference(tmp_path / "served", tmp_path / "plain") == 0.0
