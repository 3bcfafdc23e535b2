"""The order of an epoch: class-balanced, several copies of each image, and resumed with the same pixels."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from data_files import GREY, RGB, photo
from golden_files import ingredients

from kerasnets.data import sampling
from kerasnets.data.images.per_image import training_transform
from kerasnets.data.pipeline import batch_names, training_batches
from kerasnets.data.sampling import class_balanced, make_sampler
from kerasnets.data.sources import open_source
from kerasnets.data.sources.source import labels_of
from kerasnets.recipe.data_options import DataOptions, SourceOptions

SEED = tf.constant([3, 4], tf.int64)
DIGITS = {"kind": "digits"}


def data(source=None, **values):
    return DataOptions(source=source or DIGITS, **values)


def drawn(source, options, batch_size=8, count=None):
    """Returns the numbers of an epoch, one array per batch."""
    count = count or source.size // batch_size * batch_size
    records = make_sampler(source, options, batch_size)(SEED, tf.constant(0, tf.int64), count)
    return np.array([number for number, *_ in records.as_numpy_iterator()]).reshape(-1, batch_size)


def test_class_balanced_rounds_and_turns():
    """Six images of class 0, two of class 1 and one of class 2: three draws per class, and classes start over."""
    labels = np.array([0, 0, 1, 0, 2, 0, 1, 0, 0])
    order = tf.function(class_balanced(labels))
    epochs = [order(tf.constant([0, i], tf.int64)).numpy() for i in range(400)]
    for numbers in epochs:
        images, copies = numbers % 9, numbers // 9
        assert len(numbers) == 9 and len(set(numbers)) == 9
        assert [sorted(labels[images[i : i + 3]]) for i in (0, 3, 6)] == [[0, 1, 2]] * 3
        assert sorted(copies[labels[images] == 2]) == [0, 1, 2]  # one image, three times, never the same number
        assert sorted(images[labels[images] == 1])[1:] in ([2, 6], [6, 6])
        assert set(images[labels[images] == 1][:2]) == {2, 6}
        assert len(set(images[labels[images] == 0])) == 3
    everything = np.concatenate(epochs) % 9
    shares = np.bincount(everything, minlength=9) / len(everything)
    np.testing.assert_allclose(shares, [1 / 18, 1 / 18, 1 / 6, 1 / 18, 1 / 3, 1 / 18, 1 / 6, 1 / 18, 1 / 18], atol=0.01)
    first = np.bincount(labels[np.array(epochs)[:, 0] % 9]) / 400
    np.testing.assert_allclose(first, 1 / 3, atol=0.07)


def test_class_balanced_batches_of_a_folder(tmp_path):
    for name, count in (("cat", 12), ("dog", 3)):
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(count):
            photo_path = tmp_path / "train" / name / f"{number}.png"
            photo_path.write_bytes(tf.io.encode_png(photo(number, 24, 24)).numpy())
    options = data({"kind": "folder", "path": str(tmp_path)}, class_balanced=True, augmentation={"random_flip": "both"})
    source = open_source(options.source, "train")
    np.testing.assert_array_equal(labels_of(source), [0] * 12 + [1] * 3)
    batches = training_batches(source, RGB, options, batch_size=4, seed=0).take(6)
    assert [sorted(labels.numpy()) for _, labels in batches] == [[0, 0, 1, 1]] * 6
    names = [name for step in range(3) for name in batch_names(source, options, 4, 0, step)]
    assert len({name for name in names if "dog" in name}) == 3


def test_labels_are_known_without_reading_images():
    source = open_source(SourceOptions(**DIGITS), "test")
    assert np.bincount(labels_of(source)).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]


def test_a_balanced_stream_needs_memory(tfds_folder):
    stream = {"kind": "tfds", "name": "shades", "data_dir": str(tfds_folder), "download": False}
    with pytest.raises(ValueError, match="set data.cache to memory for tfds and tfrecord"):
        data(stream, class_balanced=True)
    options = data(stream, class_balanced=True, cache="memory")
    source = open_source(options.source, "train")
    for _, labels in training_batches(source, RGB, options, batch_size=6, seed=0).take(3):
        assert sorted(labels.numpy()) == [0, 0, 1, 1, 2, 2]
    assert len(batch_names(source, options, 6, 0, 2)) == 6


@pytest.mark.parametrize("batch_size", [9, 8])
def test_repeats_are_copies_in_the_same_batch_and_other_shares(batch_size):
    """As the samplers of DeiT and timm for all ranks: each image three times, until the epoch ends."""
    source = open_source(SourceOptions(**DIGITS), "train")
    batches = drawn(source, data(augmentation={"repeats": 3}), batch_size)
    assert batches.shape == (source.size // batch_size, batch_size)
    numbers = batches.ravel()
    images, copies = numbers % source.size, numbers // source.size
    found, counts = np.unique(images, return_counts=True)
    assert len(set(numbers)) == len(numbers) and set(copies) == {0, 1, 2}
    assert len(found) == -(-len(numbers) // 3) and (counts == 3).sum() >= len(found) - 1
    if batch_size == 9:
        for batch in batches % source.size:  # the three thirds of a batch hold the same images
            assert set(batch[:3]) == set(batch[3:6]) == set(batch[6:])
    else:
        assert np.mean([len(set(batch)) for batch in batches % source.size]) < 4


def test_balanced_repeats_never_draw_the_same_number_twice():
    source = open_source(SourceOptions(**DIGITS), "test")
    numbers = drawn(source, data(augmentation={"repeats": 3}, class_balanced=True), 10).ravel()
    assert len(set(numbers)) == len(numbers)
    assert np.bincount(labels_of(source)[numbers % source.size]).tolist() == [36] * 10


def test_copies_are_augmented_each_by_itself_and_resume_exactly():
    augmentation = {"affine": {"shift": 0.2, "rotation": 20}, "repeats": 3}
    options = data(augmentation=augmentation)
    source = open_source(options.source, "test")
    whole = [
        (images.numpy(), labels.numpy())
        for images, labels in training_batches(source, GREY, options, batch_size=90, seed=1).take(7)
    ]
    resumed = training_batches(source, GREY, options, batch_size=90, seed=1, start_step=2).take(5)
    for (images, labels), (again, same) in zip(whole[2:], resumed, strict=True):
        np.testing.assert_array_equal(images, again)
        np.testing.assert_array_equal(labels, same)
    images, labels = whole[0]
    np.testing.assert_array_equal(labels[:30], labels[30:60])
    differing = [(images[i] != images[30 + i]).any() for i in range(30)]
    assert np.mean(differing) > 0.9  # the same image, moved another way
    assert batch_names(source, options, 90, 1, 0)[:30] == batch_names(source, options, 90, 1, 0)[30:60]


def test_repeats_of_a_stream(tfds_folder):
    options = data(
        {"kind": "tfds", "name": "shades", "data_dir": str(tfds_folder), "download": False, "shuffle_buffer": 4}
    )
    options = options.model_copy(update={"augmentation": options.augmentation.model_copy(update={"repeats": 2})})
    source = open_source(options.source, "train")
    batches = drawn(source, options, 4)
    assert len(set(batches.ravel())) == batches.size
    for batch in batches:
        np.testing.assert_array_equal(batch[:2] + source.size, batch[2:])
    records = make_sampler(source, options, 4)(SEED, tf.constant(4, tf.int64), 8)
    assert [number for number, *_ in records.as_numpy_iterator()] == batches[1].tolist()


def test_without_options_the_order_is_a_permutation():
    source = open_source(SourceOptions(**DIGITS), "test")
    numbers = drawn(source, data(), 10).ravel()
    assert sorted(numbers) == list(range(360)) and (numbers != np.arange(360)).any()


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_a_border_of_the_mean_is_zero_after_normalisation(order, both_ways):
    mean = (125.3, 123.0, 113.9)
    pixels = dataclasses.replace(RGB, size=16, mean=mean, std=(63.0, 62.1, 66.7), channel_order=order)
    options = DataOptions(source=DIGITS, augmentation={"pad_and_crop": {"padding": 4, "mode": "mean"}}).augmentation
    image = tf.constant(np.full((16, 16, 3), 255, "uint8"))
    border = [round(value) for value in (mean if order == "rgb" else mean[::-1])]
    transform = training_transform(dataclasses.replace(pixels, crop_fraction=1.0), options)
    moved = np.stack(both_ways(transform, image, seeds=range(12)))
    assert {tuple(colour) for colour in moved.reshape(-1, 3).tolist()} == {(255, 255, 255), tuple(border)}


def test_repeated_augmentation_takes_the_images_of_timm(monkeypatch):
    """Two replicas, batches of four: the same images in each batch, for the same shuffled order of the images."""
    golden = ingredients()
    monkeypatch.setattr(sampling, "_shuffle", lambda size: lambda seed: tf.constant(golden["repeat_order"], tf.int64))
    source = open_source(SourceOptions(kind="digits"), "train")
    source = dataclasses.replace(source, size=16)
    ours = drawn(source, data(augmentation={"repeats": 3}), batch_size=4) % 16
    theirs = golden["repeated"].reshape(2, 4, 2).transpose(1, 0, 2).reshape(4, 4)
    np.testing.assert_array_equal(np.sort(ours), np.sort(theirs))
