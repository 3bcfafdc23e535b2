"""Images for calibration and for comparison: real ones, never the same."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from kerasnets.exporters.images import NOT_ITS_OWN, calibration_images, check_images, sample
from kerasnets.exporters.open_network import LoadedNetwork, open_network
from kerasnets.recipe.data_options import DataOptions, SourceOptions
from kerasnets.registry import Preprocessing
from kerasnets.runs.folder import is_run

RGB = Preprocessing(size=12, crop_fraction=1.0)


def by_name(data: DataOptions | None = None, classes: int = 3, grey: bool = False) -> LoadedNetwork:
    numbers = dataclasses.replace(RGB, mean=(0.0,), std=(1.0,)) if grey else RGB
    return LoadedNetwork("net", None, numbers, tuple(map(str, range(classes))), data)


def write_images(folder, levels) -> None:
    folder.mkdir(parents=True)
    for level in levels:
        image = np.full((20, 30, 3), level, "uint8")
        (folder / f"{level:03d}.png").write_bytes(tf.io.encode_png(image).numpy())


def levels_of(images: np.ndarray) -> list[int]:
    return [int(image[0, 0, 0]) for image in images]


def test_a_folder_without_splits_lends_every_second_file_to_each_side(tmp_path):
    write_images(tmp_path / "photos", range(10, 16))
    (tmp_path / "photos" / "012.png").write_bytes(b"broken")
    calibration = calibration_images(by_name(), tmp_path)
    images, labels, origin, _ = check_images(by_name(), tmp_path)
    assert calibration.dtype == np.uint8 and calibration.shape[1:] == (12, 12, 3)
    assert levels_of(calibration) == [10, 14]
    assert levels_of(images) == [11, 13, 15] and labels is None and str(tmp_path) in origin


def test_a_folder_with_splits_keeps_them_and_its_labels(tmp_path):
    for number, name in enumerate("abc"):
        write_images(tmp_path / "train" / name, [10 * number, 10 * number + 1])
        write_images(tmp_path / "val" / name, [10 * number + 5])
    assert levels_of(calibration_images(by_name(), tmp_path)) == [0, 1, 10, 11, 20, 21]
    images, labels, origin, _ = check_images(by_name(), tmp_path)
    assert levels_of(images) == [5, 15, 25] and list(labels) == [0, 1, 2] and "split 'val'" in origin
    other = check_images(by_name(classes=1000), tmp_path)
    assert other.labels is None and "accuracy: the images have no labels for this network" in other.unchecked


def test_a_sample_is_spread_over_the_source(tmp_path):
    data = DataOptions(source=SourceOptions(kind="digits"))
    images, labels, origin, unchecked = check_images(by_name(data, 10), None, count=60)
    assert origin == "split 'test' of digits" and not unchecked
    assert images.shape == (60, 12, 12, 3) and set(labels) == set(range(10))
    assert len(check_images(by_name(data, 10))[0]) == 360


def test_a_colour_network_by_name_is_compared_on_crops_of_the_sample_photos():
    images, labels, origin, unchecked = check_images(by_name())
    assert images.shape[1:] == (12, 12, 3) and images.dtype == np.uint8 and labels is None
    assert 24 <= len(images) <= 48 and len({image.tobytes() for image in images}) == len(images)
    assert images.std() > 40 and np.abs(images[..., 0].astype(int) - images[..., 2]).max() > 60  # photos, in colour
    assert (images == check_images(by_name())[0]).all()
    assert "china" in origin and "flower" in origin and NOT_ITS_OWN in unchecked
    few = check_images(by_name(), None, 4)[0]
    assert len(few) == 4 and {image.tobytes() for image in few} < {image.tobytes() for image in images}


def test_a_grey_network_by_name_is_compared_on_digits_and_int8_needs_images():
    images, labels, origin, unchecked = check_images(by_name(grey=True, classes=10), None, count=5)
    assert images.shape == (5, 12, 12, 1) and labels is None and "digits" in origin and len(unchecked) == 2
    with pytest.raises(ValueError, match="Received: calibrate=None"):
        calibration_images(by_name())


def test_a_colour_network_is_never_compared_on_digits():
    for images in (calibration_images, check_images):
        with pytest.raises(ValueError, match="folder of photos. Received: calibrate='digits'"):
            images(by_name(), "digits")
    run = by_name(DataOptions(source=SourceOptions(kind="digits")), 10)
    assert len(calibration_images(run, "digits", 5)) == 5


def test_int8_wants_an_image_to_compare_beside_one_to_calibrate(tmp_path):
    write_images(tmp_path / "photos", [1])
    with pytest.raises(ValueError, match="at least two images"):
        calibration_images(by_name(), tmp_path)
    assert levels_of(check_images(by_name(), tmp_path)[0]) == [1]


def test_a_run_without_its_images_is_compared_on_others(tmp_path):
    moved = DataOptions(source=SourceOptions(kind="folder", path=str(tmp_path / "moved")))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        check_images(by_name(moved))
    write_images(tmp_path / "photos", [1, 2])
    assert levels_of(check_images(by_name(moved), tmp_path / "photos")[0]) == [2]


def test_a_source_that_is_none_says_what_is_allowed(tmp_path):
    said = "digits, an .npz file, a folder of images or shards, or tfds:NAME. Received: calibrate='digit'"
    with pytest.raises(FileNotFoundError, match=said):
        calibration_images(by_name(), "digit")
    with pytest.raises(ValueError, match="The folder should hold images"):
        calibration_images(by_name(), tmp_path)


def test_a_stream_is_sampled_evenly():
    from kerasnets.data.errors import BadImages
    from kerasnets.data.sources.source import Source

    def stream():
        numbers = tf.data.Dataset.range(10)
        return numbers.map(lambda i: (i, tf.cast(tf.fill((12, 12, 3), i), tf.uint8), tf.cast(i, tf.int32)))

    source = Source("set", "train", ("a",), 10, False, BadImages(10), str, stream=stream)
    assert list(sample(source, RGB, 5)[1]) == [0, 2, 4, 6, 8]


def test_a_target_that_is_none_says_what_is_allowed(tmp_path):
    assert not is_run(tmp_path)
    with pytest.raises(ValueError, match="a run folder, a .keras file, an exported file .* Received: target="):
        open_network(tmp_path)


def test_calibration_images_are_training_images():
    digits = by_name(DataOptions(source=SourceOptions(kind="digits")), classes=10, grey=True)
    held_out, *_ = check_images(digits, None, 2000)
    seen = {image.tobytes() for image in calibration_images(digits, None)}
    assert len(seen) >= 100 and not seen & {image.tobytes() for image in held_out}
