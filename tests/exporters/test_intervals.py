"""95 % intervals against published examples, and what an export makes of them."""

import numpy as np
import pytest

from kerasnets.exporters import check
from kerasnets.exporters.intervals import drop_interval, share_interval


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_interval_of_a_share(successes, count, low, high):
    assert share_interval(successes, count) == pytest.approx((low, high), abs=5e-5)


def test_interval_of_a_drop_covers_what_it_should():
    random, covered, trials = np.random.default_rng(0), 0, 4000
    for _ in range(trials):
        _, lost, gained = random.multinomial(200, [0.92, 0.05, 0.03])
        low, high = drop_interval(lost, gained, 200)
        covered += low <= 0.02 <= high
    assert 0.94 < covered / trials < 0.97
    assert drop_interval(0, 0, 36)[1] > 0.01  # 36 images cannot show a drop below one point


def probabilities(classes):
    return np.eye(2)[np.asarray(classes)]


def judged(agreeing: int, count: int, labels=None) -> dict:
    ours = np.zeros(count, int)
    ours[agreeing:] = 1
    report = check.compare(probabilities(ours), probabilities(np.zeros(count, int)), labels)
    report |= {"flex_ops": [], "bounds": check.BOUNDS["tflite-int8"]}
    return report | {"failures": check._failures(report), "undecided": check._undecided(report)}


def test_what_few_images_cannot_tell_is_said_and_not_refused():
    report = judged(33, 36)
    assert report["failures"] == []
    (line,) = report["undecided"]
    assert "91.67% (78.17% to 97.13%) of 36 images; the images are too few" in line


def test_what_is_clearly_worse_is_refused():
    report = judged(800, 1000)
    assert report["undecided"] == [] and "80.00% (77.41% to 82.36%) of 1000 images" in report["failures"][0]
    report = judged(980, 1000, labels=np.zeros(1000, int))
    (line,) = report["failures"]
    assert line.startswith("accuracy 2.00%") and report["top1_agreement"] == 0.98


def test_one_wrong_photo_of_48_is_undecided():
    report = judged(47, 48, labels=np.zeros(48, int))
    assert report["failures"] == [] and any("accuracy below Keras: 2.08%" in line for line in report["undecided"])


def test_many_images_decide():
    report = judged(1000, 1000, labels=np.zeros(1000, int))
    assert report["failures"] == report["undecided"] == []


def test_one_of_several_right_classes_is_right():
    labels = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]])
    report = check.compare(np.eye(3)[[1, 0, 2]], np.eye(3)[[0, 1, 2]], labels)
    assert (report["accuracy"], report["keras_accuracy"], report["labelled"]) == (1 / 3, 2 / 3, 3)
