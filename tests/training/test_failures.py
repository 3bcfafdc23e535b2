"""A run that fails gives one short line; the whole error of TensorFlow is in the log. Lost workers are recognised."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf

from kerasnets.cli.app import exit_code_of, run
from kerasnets.data.errors import BadImages, first_line
from kerasnets.distribution.strategy import Cluster
from kerasnets.runs.log import read_log
from kerasnets.training import stopping
from kerasnets.training.loop import train
from kerasnets.training.stopping import Stopped
from kerasnets.training.trainer import Trainer

DIGITS = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"


@pytest.fixture
def broken(monkeypatch):
    """Makes every training step fail inside a kernel."""
    before = Trainer._accumulated

    def fail(self, images, labels, count):
        images = tf.debugging.check_numerics(tf.cast(images, tf.float32) / 0.0, "a kernel's own words")
        return before(self, images, labels, count)

    monkeypatch.setattr(Trainer, "_accumulated", fail)


def test_an_error_of_tensorflow_becomes_one_short_line_that_names_the_log(tmp_path, broken, capsys):
    folder = tmp_path / "run"
    with pytest.raises(RuntimeError) as caught:
        train(DIGITS, folder, smoke=True, progress=False)
    message = str(caught.value)
    assert "a kernel's own words : Tensor had Inf" in message and str(folder / "log.jsonl") in message
    assert len(message) < 300 + len(str(folder)) and "\n" not in message and 'File "' not in message
    assert isinstance(caught.value.__cause__, tf.errors.InvalidArgumentError)
    (event,) = (e for e in read_log(folder) if e["event"] == "error")
    assert event["message"] == str(caught.value.__cause__) and 'File "' in event["message"]
    assert run(["train", str(DIGITS), "-o", str(tmp_path / "again"), "--smoke"]) == 1
    assert len(capsys.readouterr().err.splitlines()[-1]) < 500


def explained(monkeypatch, tmp_path, error, workers=2):
    tmp_path.mkdir(exist_ok=True)
    monkeypatch.setattr(stopping, "cluster", lambda: Cluster(workers, 1))
    source = SimpleNamespace(bad_images=BadImages(10))
    job = SimpleNamespace(folder=tmp_path, sources={"training": source})
    with pytest.raises((RuntimeError, OSError)) as caught, stopping.explain_errors(job):
        raise error
    assert caught.value.__cause__ is error
    assert json.loads((tmp_path / ("log.worker1.jsonl")).read_text())["message"] == str(error)
    return caught.value


FRAMES = "Graph execution error:\n\nDetected at node CollectiveReduceV2 defined at (most recent call last):\n" + (
    '  File "/x/tensorflow/python/distribute/collective_util.py", line 9, in peer\n\n' * 30
)
OWN = [
    tf.errors.InternalError(
        None, None, f"{FRAMES}Failed to run the kernel\n\t [[{{{{node CollectiveReduceV2}}}}]] [Op:f]"
    ),
    tf.errors.UnknownError(None, None, f"{FRAMES}RuntimeError: my function\nTraceback (most recent call last):\n\n"),
    tf.errors.FailedPreconditionError(None, None, "Could not find variable a at /job:worker/replica:0/task:1"),
]
OTHERS = [
    tf.errors.UnavailableError(None, None, f"{FRAMES}Collective ops is aborted by: failed to connect to all addresses"),
    tf.errors.InternalError(
        None, None, "Connection reset by peer\nAdditional GRPC error information from remote target"
    ),
    tf.errors.AbortedError(None, None, "The following tasks are unhealthy: /job:worker/replica:0/task:0"),
]


@pytest.mark.parametrize("error", OWN, ids=lambda error: type(error).__name__)
def test_an_error_of_this_worker_is_not_a_lost_worker(monkeypatch, tmp_path, error):
    found = explained(monkeypatch, tmp_path, error)
    assert type(found) is RuntimeError and exit_code_of(found) == 1 and first_line(error) in str(found)


@pytest.mark.parametrize("error", OTHERS, ids=lambda error: type(error).__name__)
def test_an_error_of_another_worker_is_a_lost_worker(monkeypatch, tmp_path, error):
    found = explained(monkeypatch, tmp_path, error)
    assert isinstance(found, Stopped) and exit_code_of(found) == 75
    assert type(explained(monkeypatch, tmp_path / "alone", error, workers=1)) is RuntimeError


def test_too_many_bad_images_are_not_a_lost_worker(monkeypatch, tmp_path):
    monkeypatch.setattr(stopping, "cluster", lambda: Cluster(2, 0))
    source = SimpleNamespace(bad_images=BadImages(10))
    source.bad_images.limit = 0.1
    for index in range(2):
        source.bad_images.add(index, f"{index}.jpg", "cut off")
    job = SimpleNamespace(folder=tmp_path, sources={"training": source})
    with pytest.raises(RuntimeError, match="2 of 10 images .* cannot be decoded") as caught:
        with stopping.explain_errors(job):
            raise tf.errors.UnknownError(None, None, "RuntimeError: 2 of 10")
    assert not isinstance(caught.value, Stopped) and caught.value.__cause__
