"""The content of every kind of source, and one clear line for each wrong request."""

import numpy as np
import pytest
from data_files import photo, write_folder
from pydantic import ValidationError

from kerasnets.data.sources import open_source
from kerasnets.recipe.data_options import AugmentationOptions, DataOptions, SourceOptions


def labels_of(source):
    return np.array([int(source.fetch(index)[1]) for index in range(source.size)])


def test_digits_hold_out_is_stratified_and_disjoint():
    train, test = (open_source(SourceOptions(kind="digits"), split) for split in ("train", "test"))
    assert (train.size, test.size) == (1437, 360)
    assert train.classes == tuple("0123456789")
    counts = np.bincount(labels_of(test))
    assert counts.min() >= 34 and counts.max() <= 37
    pixels, _ = train.fetch(0)
    assert pixels.shape == (8, 8, 1) and pixels.dtype == "uint8"
    padded, _ = open_source(SourceOptions(kind="digits", pad=2), "train").fetch(0)
    np.testing.assert_array_equal(padded[2:-2, 2:-2], pixels)
    assert padded.shape == (12, 12, 1)


def test_folder_order_and_hold_out(tmp_path):
    write_folder(tmp_path)
    source = open_source(SourceOptions(kind="folder", path=str(tmp_path)), "train")
    assert source.classes == ("cat", "dog") and source.size == 20
    assert labels_of(source).tolist() == [0] * 10 + [1] * 10
    unsplit = SourceOptions(kind="folder", path=str(tmp_path / "train"))
    train, test, everything = (open_source(unsplit, split) for split in ("train", "test", "all"))
    assert (train.size, test.size) == (16, 4)
    assert sorted([*train.paths, *test.paths]) == sorted(everything.paths) == sorted(source.paths)


def test_folder_errors(tmp_path):
    def opened(path, split="train"):
        return open_source(SourceOptions(kind="folder", path=str(path)), split)

    with pytest.raises(FileNotFoundError, match="no such folder. Received: path="):
        opened(tmp_path / "missing")
    write_folder(tmp_path, per_class=2)
    with pytest.raises(ValueError, match="Unknown split of .*; it has train. Did you mean 'train'"):
        opened(tmp_path, "trian")
    (tmp_path / "train" / "empty").mkdir()
    with pytest.raises(ValueError, match="class folder .*empty holds no image"):
        opened(tmp_path)
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match="one sub-folder per class"):
        opened(tmp_path, "test")


def test_arrays(tmp_path):
    images = np.stack([photo(i)[..., 0] for i in range(6)])
    path = tmp_path / "set.npz"
    np.savez(path, x_train=images, y_train=np.arange(6) % 3, x_test=images[:2], y_test=np.arange(2))
    source = open_source(SourceOptions(kind="arrays", path=str(path), pad=2), "train")
    assert source.classes == ("0", "1", "2") and source.name == "set"
    assert source.fetch(5)[0].shape == (44, 60, 1) and labels_of(source).tolist() == [0, 1, 2, 0, 1, 2]
    with pytest.raises(ValueError, match="Unknown split .*it has train, test."):
        open_source(SourceOptions(kind="arrays", path=str(path)), "validation")
    with pytest.raises(FileNotFoundError, match="no such .npz file"):
        open_source(SourceOptions(kind="arrays", path="missing.npz"), "train")
    for wrong, message in (
        ({"x_train": images.astype("float32"), "y_train": np.arange(6)}, "must be uint8"),
        ({"x_train": images, "y_train": np.arange(5)}, "needs one whole number >= 0 as its label"),
        ({"x_train": images, "y_train": np.eye(6)}, "or whole numbers 0 and 1, one for each class"),
        ({"x_train": images, "y_train": 2 * np.eye(6, dtype=int)}, "Labels .N, classes. are 0 or 1"),
        ({"x_train": images, "y_train": np.arange(6), "classes": ["a", "b"]}, "needs a name for each of 6 classes"),
        ({"x_train": images, "y_train": np.eye(6, dtype=int), "classes": list("abcdefg")}, "Received: 7 in set.npz"),
    ):
        np.savez(path, **wrong)
        with pytest.raises(ValueError, match=message):
            open_source(SourceOptions(kind="arrays", path=str(path)), "train")
    path.write_bytes(b"PK broken")
    with pytest.raises(ValueError, match="not a readable .npz file"):
        open_source(SourceOptions(kind="arrays", path=str(path)), "train")


@pytest.mark.parametrize(
    "options",
    [
        {"source": {"kind": "digits", "pth": "x"}},
        {"source": {"kind": "folder"}},
        {"source": {"kind": "tfds"}},
        {"source": {"kind": "folder", "path": "x", "pad": 2}},
        {"source": {"kind": "digits"}, "agumentation": {}},
        {"source": {"kind": "digits"}, "augmentation": {"random_flip": "sideways"}},
        {"source": {"kind": "digits"}, "augmentation": {"random_resized_crop": {}, "scale_jitter": [30, 40]}},
        {"source": {"kind": "digits"}, "augmentation": {"random_resized_crop": {"scale": [0.5, 0.2]}}},
        {"source": {"kind": "digits"}, "bad_image_limit": 2.0},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ValidationError):
        DataOptions(**options)


def test_augmentation_is_off_by_default():
    assert AugmentationOptions().repeats == 1
    assert not any(
        value for name, value in AugmentationOptions() if name not in ("antialias", "interpolation", "repeats")
    )
