"""AutoAugment, RandAugment, TrivialAugment and random erasing beside torchvision and timm, on the same random draws."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from golden_files import ingredients

from kerasnets.data.images import operations, policies
from kerasnets.data.images.auto_augment import PAIRS
from kerasnets.data.images.erasing import erased_window, random_erasing
from kerasnets.data.images.per_image import training_transform
from kerasnets.recipe.data_options import AugmentationOptions, RandAugment, RandomErasing
from kerasnets.registry import Preprocessing

GOLDEN = ingredients()
IMAGE = GOLDEN["image"]


@functools.cache
def traced(choices):
    return tf.function(policies.one_of(dict(choices)))


def applied(choices, name, level, sign=1.0, image=IMAGE):
    run, number = traced(tuple(choices.items())), tf.constant(list(choices).index(name))
    return run(tf.constant(image), number, tf.constant(level, tf.float64), tf.constant(sign, tf.float64)).numpy()


def assert_same_image(ours, theirs):
    """At most one value in two hundred differs, by one level: a tie that the other order of operations rounds apart."""
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= 1 and (difference > 0).mean() <= 0.005


@pytest.mark.parametrize("number", range(14), ids=list(policies.TRIVIAL))
def test_operations_of_trivial_augment_are_torchvisions(number):
    name = list(policies.TRIVIAL)[number]
    for place, level in enumerate((4, 17, 30)):
        sign = -1.0 if level % 2 else 1.0  # torchvision: an odd draw turns the sign
        ours = applied(policies.TRIVIAL, name, level / 30, sign)
        assert_same_image(ours, GOLDEN["trivial"][3 * number + place])


@pytest.mark.parametrize("number", range(14), ids=list(policies.TORCHVISION))
def test_operations_of_rand_augment_are_torchvisions(number):
    ours = applied(policies.TORCHVISION, list(policies.TORCHVISION)[number], 9 / 30, -1.0 if number % 2 else 1.0)
    assert_same_image(ours, GOLDEN["rand"][number])


def test_auto_augment_is_torchvisions():
    choices = policies.TORCHVISION | {"Invert": policies.Choice(operations.invert)}
    run, names = tf.function(policies.one_of(choices)), list(choices)
    assert {name: len(pairs) for name, pairs in PAIRS.items()} == {"imagenet": 25, "cifar10": 25, "svhn": 25}
    largest = []
    for number, pair in enumerate(PAIRS["imagenet"]):
        image = tf.constant(IMAGE)
        for (name, _, level), positive in zip(pair, (number % 2, 1), strict=True):
            sign = tf.constant(1.0 if positive else -1.0, tf.float64)
            image = run(image, tf.constant(names.index(name)), tf.constant(level / 9, tf.float64), sign)
        largest.append(np.abs(image.numpy().astype(int) - GOLDEN["auto"][number]).max())
    # A tie of a rotation that rounds apart can become several levels, where the image is equalized afterwards.
    assert np.sum(np.array(largest) > 2) <= 1 and max(largest) <= 8 and np.sum(np.array(largest) == 0) >= 18


# timm draws on Pillow's images, which keep the pixels at a border sharp.
@pytest.mark.parametrize("number", range(15), ids=list(policies.TIMM))
def test_operations_of_timm(number):
    name = list(policies.TIMM)[number]
    choice = policies.TIMM[name]
    for place, level in enumerate((0.2, 0.7, 0.9), 3 * number):
        argument = choice.argument(tf.constant(level, tf.float64), tf.constant(1.0, tf.float64), (1, 1)).numpy()
        offset = 1.0 if name in ("Color", "Contrast", "Brightness", "Sharpness") else 0.0
        assert argument + offset == pytest.approx(GOLDEN["timm_arguments"][place], abs=1e-6)
        if choice.operation in operations.GEOMETRIC:
            continue
        difference = np.abs(applied(policies.TIMM, name, level).astype(int) - GOLDEN["timm_images"][place])
        assert difference.max() <= (2 if name == "Color" else 1)


def test_random_erasing_is_torchvisions_and_timms():
    options = RandomErasing()
    for row, theirs, timms in zip(GOLDEN["erasing_draws"], GOLDEN["erasing"], GOLDEN["timm_erasing"], strict=True):
        draws = tf.constant(np.repeat(row[:, np.newaxis], 10, 1), tf.float32)
        for image, fill, scale, ratio in (
            (theirs, 9, options.scale, options.ratio),
            (timms, 0, (0.02, 1 / 3), (0.3, 1 / 0.3)),
        ):
            top, left, height, width = erased_window(18, 20, scale, ratio, draws).numpy()
            ours = IMAGE.copy()
            ours[top : top + height, left : left + width] = fill
            np.testing.assert_array_equal(ours, image)
            assert height and width


def test_erased_pixels_become_zero_and_noise_has_unit_deviation(both_ways):
    mean, std, image = (100.0, 120.0, 140.0), (20.0, 25.0, 30.0), np.zeros((40, 40, 3), np.uint8)
    always = {"probability": 1.0, "scale": (0.3, 0.4)}
    plain = both_ways(random_erasing(RandomErasing(**always), mean, std), image, seeds=range(4))
    for result in plain:
        inside = result[..., 0] > 0
        assert 0.25 < inside.mean() < 0.45 and (result[inside] == mean).all()
    noisy = both_ways(random_erasing(RandomErasing(fill="noise", **always), mean, std), image, seeds=range(4))
    for result, same_place in zip(noisy, plain, strict=True):
        pixels = (result[same_place[..., 0] > 0] - np.array(mean)) / std
        assert np.abs(pixels.mean()) < 0.1 and 0.9 < pixels.std() < 1.1
    rare = both_ways(random_erasing(RandomErasing(probability=0.25), mean, std), image, seeds=range(200))
    assert 0.15 < np.mean([result.any() for result in rare]) < 0.35


def test_a_rectangle_that_never_fits_erases_nothing():
    draws = tf.fill([4, 10], 0.999)
    assert erased_window(4, 40, (0.9, 1.0), (0.3, 3.3), draws).numpy().tolist() == [0, 0, 0, 0]


POLICIES = [
    {"trivial_augment": True},
    {"auto_augment": "svhn"},
    {"auto_augment": "cifar10"},
    {"rand_augment": {"policy": "timm", "magnitude": 0.7, "magnitude_stddev": 0.05, "rate": 0.5}},
]


@pytest.mark.parametrize("options", POLICIES, ids=lambda options: "-".join(map(str, options)))
def test_a_policy_depends_on_the_seed_of_the_image_alone(options, both_ways):
    transform = training_transform(Preprocessing(size=18), AugmentationOptions(**options))
    results = both_ways(transform, IMAGE[:, :18], seeds=range(40))
    again = both_ways(transform, IMAGE[:, :18], seeds=range(40))
    assert all(np.array_equal(a, b) for a, b in zip(results, again, strict=True))
    assert len({result.tobytes() for result in results}) > 8


def test_rand_augment_draws_operation_level_and_sign_apart():
    """10,000 images whose pixels say which operation they got, and its argument."""
    names = list(policies.TIMM)

    def probe(number):
        def operation(image, argument, fill=0.0):
            value = tf.cast(tf.round(128.0 + 100.0 * argument), tf.uint8)
            return tf.reshape(tf.stack([tf.constant(number + 1, tf.uint8), value, value]), [1, 1, 3])

        return operation

    choices = {
        name: policies.Choice(probe(number), 0.0, 1.0, choice.signed)
        for number, (name, choice) in enumerate(policies.TIMM.items())
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policies, "TIMM", choices)
        options = RandAugment(policy="timm", count=1, magnitude=0.7, magnitude_stddev=0.2, rate=0.5)
        augment = policies.rand_augment(options, (0.0, 0.0, 0.0))
        image = tf.zeros([1, 1, 3], tf.uint8)
        images = tf.data.Dataset.range(10_000).map(lambda i: augment(image, tf.stack([i, 7])))
        found = images.batch(10_000).get_single_element().numpy().reshape(-1, 3)
    assert (found[:, 0] == 0).mean() == pytest.approx(0.5, abs=0.02)
    wanted = np.clip(np.random.default_rng(0).normal(0.7, 0.2, 200_000), 0, 1)
    for number, name in enumerate(names):
        strengths = (found[found[:, 0] == number + 1, 1] - 128.0) / 100.0
        assert len(strengths) == pytest.approx(10_000 * 0.5 / 15, rel=0.25)
        if policies.TIMM[name].signed:
            assert (strengths < 0).mean() == pytest.approx(0.5, abs=0.1)
        assert np.abs(strengths).mean() == pytest.approx(wanted.mean(), abs=0.04)
        assert np.abs(strengths).std() == pytest.approx(wanted.std(), abs=0.04)
