"""MixUp and CutMix: each device computes them in the step, from its own examples and numbers drawn by the pipeline."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from data_files import GREY, RGB, data_options, write_folder
from golden_files import ingredients

from kerasnets.data import reading
from kerasnets.data.images.per_batch import cut_squares, draw_mixing, mix
from kerasnets.data.pipeline import training_batches
from kerasnets.data.sources import open_source
from kerasnets.recipe.data_options import AugmentationOptions

SEED = tf.constant([1, 2], tf.int64)
KINDS = {"mixup": {"mixup": 1.0}, "cutmix": {"cutmix": 1.0}, "both": {"mixup": 1.0, "cutmix": 1.0}}


def one_colour_images(count=12, size=20):
    return tf.constant(np.repeat(np.arange(count, dtype="uint8") * 20, size * size).reshape(count, size, size, 1))


def mixed(options: dict, count=12, seed=SEED, compiled=False):
    """The mixed images and labels of images of one colour each, 20 times their label."""

    def run():
        draws = draw_mixing(AugmentationOptions(**options), count, 20, seed)
        step = tf.function(lambda *batch: mix(*batch, classes=count), jit_compile=compiled)
        return step(one_colour_images(count), tf.range(count), draws)

    return [tensor.numpy() for tensor in run()]


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
@pytest.mark.parametrize("count", [12, 11])
def test_mixed_labels_say_what_the_pixels_are(kind, count):
    images, labels = mixed(KINDS[kind], count)
    assert labels.dtype == np.float32 and labels.shape == (count, count)
    np.testing.assert_allclose(np.sum(labels, axis=1), 1.0, atol=1e-5)
    expected = labels @ (np.arange(count) * 20.0)
    np.testing.assert_allclose(np.mean(images.astype(float), axis=(1, 2, 3)), expected, atol=0.1)
    assert (np.max(labels, axis=1) < 0.99).sum() >= 6
    assert ((labels > 0).sum(axis=1) <= 2).all()


def test_neighbours_are_mixed_and_an_odd_last_image_with_the_first():
    _, labels = mixed(KINDS["mixup"], 5)
    partners = [int(np.flatnonzero(row)[np.flatnonzero(row) != i][0]) for i, row in enumerate(labels)]
    assert partners == [1, 0, 3, 2, 0]
    _, alone = mixed(KINDS["mixup"], 1)
    assert alone.tolist() == [[1.0]]


def test_both_mixers_take_turns():
    options, cut = AugmentationOptions(**KINDS["both"]), 0
    for seed in range(40):
        draws = draw_mixing(options, 12, 20, tf.constant([seed, 0], tf.int64))
        blends, cuts = bool(tf.reduce_any(draws["mixup"] < 1)), bool(tf.reduce_any(draws["cutmix"] > 0))
        assert blends != cuts
        cut += cuts
    assert 8 < cut < 32


@pytest.mark.parametrize("kind", KINDS)
def test_xla_mixes_the_same(kind):
    for one, other in zip(mixed(KINDS[kind]), mixed(KINDS[kind], compiled=True), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.fixture
def photos(tmp_path):
    """(options, source) of twenty files with all operations on batches."""
    write_folder(tmp_path)
    options = data_options({"random_cutout": {}, "mixup": 0.2, "cutmix": 1.0}, kind="folder", path=str(tmp_path))
    return options, open_source(options.source, "train")


def drawn(photos, **settings):
    options, source = photos
    return [keras.tree.map_structure(np.asarray, batch)
            for batch in training_batches(source, RGB, options, batch_size=8, seed=3, **settings).take(3)]  # fmt: skip


def test_a_worker_loads_its_own_examples_and_they_cross_as_bytes(photos, monkeypatch):
    loaded, load_batch = [], reading.load_batch
    monkeypatch.setattr(reading, "load_batch", lambda *a: loaded.append(a[-1]) or load_batch(*a))
    whole = drawn(photos)
    shares = [drawn(photos, share=share) for share in (slice(0, 4), slice(4, 8))]
    assert loaded == [8, 4, 4]
    assert whole[0][0].dtype == np.uint8 and whole[0][1].dtype == np.int32
    for batch, *parts in zip(whole, *shares, strict=True):
        joined = keras.tree.map_structure(lambda *each: np.concatenate(each), *parts)
        keras.tree.map_structure(np.testing.assert_array_equal, batch, joined)


def test_a_device_mixes_its_part_as_the_whole_batch_is_mixed(photos):
    for batch in drawn(photos):
        whole = mix(*batch, classes=2)
        first, second = (keras.tree.map_structure(lambda x, h=h: x[h], batch) for h in (slice(4), slice(4, 8)))
        halves = [mix(*first, classes=2), mix(*second, classes=2)]
        for one, *parts in zip(whole, *halves, strict=True):
            np.testing.assert_array_equal(one, np.concatenate(parts))


def test_copies_of_an_image_are_not_mixed_with_each_other():
    options = data_options({"mixup": 0.2, "repeats": 3}, kind="digits")
    source = open_source(options.source, "train")
    partners = source.size
    for images, _, _ in training_batches(source, GREY, options, batch_size=64, seed=0).take(4):
        pixels = images.numpy().reshape(32, 2, -1)
        partners = min(partners, (pixels[:, 0] != pixels[:, 1]).sum(axis=1).min())
    assert partners > 0


def test_mixup_and_cutmix_are_timms():
    """Two images and their labels, each mixed by a weight of its own (timm's mode `elem`), on the same draws."""
    golden = ingredients()
    images, labels, weights = golden["mixed_images"], tf.constant([1, 3]), golden["mixed_weights"]
    mixed_up = mix(images, labels, {"mixup": tf.constant(weights)}, classes=4)
    squares = cut_squares(tf.constant(weights), tf.constant(golden["cut_centres"].T, tf.float32), 10)
    for name, (ours, targets) in (("mixup", mixed_up), ("cutmix", mix(images, labels, {"cutmix": squares}, classes=4))):
        np.testing.assert_allclose(ours, golden[name], rtol=1e-6)
        np.testing.assert_allclose(targets, golden[f"{name}_labels"], atol=1e-6)
