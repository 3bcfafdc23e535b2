"""The pipeline: same seed, same pixels; exact resumption; exact evaluation; files that cannot be decoded."""

import numpy as np
import pytest
import tensorflow as tf
from data_files import GREY, RGB, data_options, encode, photo, write_folder
from tensorflow.python.eager.context import context

from kerasnets.data import reading
from kerasnets.data.images.per_image import override
from kerasnets.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from kerasnets.data.sources import open_source
from kerasnets.registry import Preprocessing

DIGITS_AUGMENTATION = {
    "affine": {"shift": 0.1, "rotation": 15, "scale": [0.9, 1.1], "shear": 5},
    "pad_and_crop": {"padding": 2},
    "mixup": 0.2,
    "cutmix": 1.0,
}
PHOTO_AUGMENTATION = {
    "random_resized_crop": {},
    "random_flip": "horizontal",
    "color_jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    "pca_lighting": 0.1,
    "rand_augment": {"count": 2},
    "random_cutout": {},
    "cutmix": 1.0,
}


def batches_of(options, preprocessing, count, *, batch_size, seed=3, start_step=0):
    source = open_source(options.source, options.train_split)
    batches = training_batches(source, preprocessing, options, batch_size=batch_size, seed=seed, start_step=start_step)
    return source, [[part.numpy() for part in tf.nest.flatten(batch)] for batch in batches.take(count)]


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True)
    )


@pytest.fixture(params=["digits", "folder", "tfds"])
def case(request, tmp_path):
    """(options, preprocessing, batch size, steps in an epoch) of one source with much augmentation."""
    if request.param == "digits":
        return data_options(DIGITS_AUGMENTATION, kind="digits"), GREY, 500, 2
    if request.param == "folder":
        write_folder(tmp_path)
        return data_options(PHOTO_AUGMENTATION, kind="folder", path=str(tmp_path)), RGB, 6, 3
    folder = request.getfixturevalue("tfds_folder")
    source = {"kind": "tfds", "name": "shades", "data_dir": str(folder), "download": False, "shuffle_buffer": 9}
    return data_options({"scale_jitter": [28, 40], "random_flip": "both"}, **source), RGB, 5, 4


def test_same_seed_same_pixels_and_exact_resumption(case):
    options, preprocessing, size, steps = case
    source, first = batches_of(options, preprocessing, 2 * steps + 1, batch_size=size)
    assert steps_per_epoch(source, size) == steps
    _, again = batches_of(options, preprocessing, steps + 2, batch_size=size, start_step=steps - 1)
    assert same(first[steps - 1 :], again)
    assert not any(
        np.array_equal(a, b) for (a, *_), (b, *_) in zip(first[:steps], first[steps : 2 * steps], strict=True)
    )
    assert not source.bad_images.all()


def test_every_epoch_holds_each_example_once_but_the_tail(tmp_path):
    images = np.broadcast_to(np.arange(22, dtype="uint8")[:, None, None], (22, 16, 16))
    np.savez(tmp_path / "numbers.npz", x_train=images, y_train=np.arange(22))
    options = data_options(kind="arrays", path=str(tmp_path / "numbers.npz"))
    _, batches = batches_of(options, GREY, 10, batch_size=4)
    assert all(pixels.dtype == np.uint8 and labels.dtype == np.int32 for pixels, labels in batches)
    assert all(np.array_equal(pixels[:, 0, 0, 0], labels) for pixels, labels in batches)
    epochs = [np.concatenate([labels for _, labels in batches[i : i + 5]]) for i in (0, 5)]
    assert [len(set(epoch.tolist())) for epoch in epochs] == [20, 20]
    _, other = batches_of(options, GREY, 1, batch_size=4, seed=4)
    assert not same(batches[:1], other)
    assert set(epochs[0]) != set(epochs[1]) and list(epochs[0]) != sorted(epochs[0])


def test_stream_holds_each_example_once(tfds_folder):
    source = {"kind": "tfds", "name": "shades", "data_dir": str(tfds_folder), "download": False}
    options = data_options(**source)
    opened, batches = batches_of(options, RGB, 3, batch_size=7)
    assert opened.classes == ("dark", "grey", "light")
    assert np.bincount(np.concatenate([labels for _, labels in batches])).tolist() == [7, 7, 7]
    assert open_source(options.source, "train[:50%]").size in (10, 11)
    with pytest.raises(ValueError, match="Unknown split of shades; it has train, all"):
        open_source(options.source, "validation[:10%]")


@pytest.fixture
def process_seed():
    """Sets TensorFlow's global seed; afterwards the process has none, as at its start."""
    yield tf.random.set_seed
    context()._seed = None


def test_a_stream_is_shuffled_by_its_own_seed_whatever_the_process_has(tfds_folder, process_seed):
    options = data_options(kind="tfds", name="shades", data_dir=str(tfds_folder), download=False, shuffle_buffer=9)
    orders = []
    for seed in (0, 1, 2):
        process_seed(seed)
        orders.append(batches_of(options, RGB, 8, batch_size=5)[1])
    assert same(orders[0], orders[1]) and same(orders[1], orders[2])
    assert not same(orders[0], batches_of(options, RGB, 8, batch_size=5, seed=4)[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_evaluation_counts_every_example_once(channels):
    preprocessing = GREY if channels == 1 else Preprocessing(size=16, crop_fraction=1.0)
    options = data_options(kind="digits")
    source = open_source(options.source, "test")
    batches = list(evaluation_batches(source, preprocessing, options, batch_size=128))
    assert len(batches) == 3 and all(images.shape == (128, 16, 16, channels) for images, _, _ in batches)
    weights = np.concatenate([weight.numpy() for _, _, weight in batches])
    assert weights.tolist() == [1.0] * 360 + [0.0] * 24
    labels = np.concatenate([label.numpy() for _, label, _ in batches])[:360]
    assert labels.tolist() == [int(source.fetch(i)[1]) for i in range(360)]


def test_bad_images_are_replaced_counted_and_named(tmp_path):
    write_folder(tmp_path)
    folder = tmp_path / "train" / "cat"
    (folder / "00.jpg").write_bytes((folder / "00.jpg").read_bytes()[:300])
    (folder / "01.png").write_bytes(b"")
    (folder / "02.gif").write_bytes(encode(photo(2), "TIFF"))  # wrong ending, but Pillow reads it: not bad
    options = data_options(kind="folder", path=str(tmp_path), bad_image_limit=0.2)
    source, batches = batches_of(options, RGB, 4, batch_size=5)
    assert [image.name for image in source.bad_images.new()] and not source.bad_images.new()
    assert [image.index for image in source.bad_images.all()] == [0, 1]
    assert all(image.name.endswith(("00.jpg", "01.png")) and image.reason for image in source.bad_images.all())
    assert all(images.shape == (5, 24, 24, 3) and images.reshape(5, -1).any(axis=1).all() for images, _ in batches)
    assert sum(labels.sum() for _, labels in batches) >= 9
    _, again = batches_of(options, RGB, 2, batch_size=5, start_step=2)
    assert same(batches[2:], again)

    weights = [weight.numpy() for _, _, weight in evaluation_batches(source, RGB, options, batch_size=20)]
    assert weights[0].tolist() == [0.0, 0.0] + [1.0] * 18


@pytest.mark.parametrize("training", [True, False])
def test_too_many_bad_images_stop_with_one_line(tmp_path, training):
    write_folder(tmp_path, per_class=5)
    (tmp_path / "train" / "dog" / "03.bmp").write_bytes(b"BM nothing")
    options = data_options(kind="folder", path=str(tmp_path), bad_image_limit=0.05)
    source = open_source(options.source, "train")
    if training:
        batches = training_batches(source, RGB, options, batch_size=5, seed=0).take(2)
    else:
        batches = evaluation_batches(source, RGB, options, batch_size=5)
    with pytest.raises(RuntimeError, match=r"1 of 10 images \(10.00%\).*allows 5.00%.*First: .*03\.bmp \(") as caught:
        with source.bad_images.explained():
            list(batches)
    assert "\n" not in str(caught.value)


def test_a_batch_larger_than_the_source_is_refused():
    options = data_options(kind="digits")
    source = open_source(options.source, "test")
    with pytest.raises(ValueError, match="between 1 and the 360 examples of digits/test. Received: batch_size=361"):
        training_batches(source, GREY, options, batch_size=361, seed=0)


def test_options_override_preprocessing():
    options = data_options(kind="digits").model_copy(update={"size": 12, "interpolation": "bicubic"})
    result = override(GREY, options)
    assert (result.size, result.interpolation, result.crop_fraction) == (12, "bicubic", GREY.crop_fraction)
    source = open_source(options.source, "train")
    batches = training_batches(source, GREY, options, batch_size=8, seed=0)
    assert batches.element_spec == (tf.TensorSpec((8, 12, 12, 1), tf.uint8), tf.TensorSpec((8,), tf.int32))


def test_chunks_change_no_pixel(case, monkeypatch):
    """A chunk is what one thread loads: a share of a large batch, whose last chunk may be smaller."""
    options, preprocessing, size, steps = case
    # RandAugment takes seconds to trace; test_same_seed_same_pixels_and_exact_resumption has it.
    augmentation = options.augmentation.model_copy(update={"rand_augment": None})
    options = options.model_copy(update={"augmentation": augmentation})
    _, whole = batches_of(options, preprocessing, steps + 1, batch_size=size)
    source = open_source(options.source, options.train_split)

    def evaluated():
        batches = evaluation_batches(source, preprocessing, options, batch_size=size, share=slice(0, size - 1))
        return [tuple(tensor.numpy() for tensor in batch) for batch in batches]

    exact, loaded = evaluated(), []
    monkeypatch.setattr(reading, "LARGE", 4)
    monkeypatch.setattr(reading, "CHUNK", 4)
    load_batch = reading.load_batch
    monkeypatch.setattr(reading, "load_batch", lambda *a: loaded.append(a[-1]) or load_batch(*a))
    assert same(whole, batches_of(options, preprocessing, steps + 1, batch_size=size)[1])
    assert same(exact, evaluated())
    assert set(loaded) <= {3, 4} and loaded
