"""The index of a large folder: it names the same files as a scan, and a folder that changed is scanned again."""

import os

import numpy as np
import pytest
import tensorflow as tf
from data_files import RGB, data_options, write_folder

from kerasnets.data.pipeline import evaluation_batches
from kerasnets.data.sources import listing, open_source
from kerasnets.data.sources.source import held_out_split, labels_of
from kerasnets.recipe.data_options import SourceOptions

LONG_AGO = 10**18


@pytest.fixture
def photos(tmp_path):
    write_folder(tmp_path / "photos")
    age(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture
def scanned(monkeypatch):
    """The names of the class folders that were scanned."""
    names, scan = [], listing._scan
    monkeypatch.setattr(listing, "_scan", lambda folder: names.append(folder.name) or scan(folder))
    return names


def age(photos):
    """Lets the class folders look as if nobody had touched them for long."""
    for folder in (photos / "train").iterdir():
        os.utime(folder, ns=(LONG_AGO, LONG_AGO))


def opened(path, index=None, split="train"):
    return open_source(SourceOptions(kind="folder", path=str(path), index=index and str(index)), split)


@pytest.mark.parametrize("block", [256, 10, 3, 1])
def test_paths_labels_and_files_belong_together(photos, monkeypatch, block):
    monkeypatch.setattr(listing, "BLOCK", block)
    source = opened(photos)
    paths = sorted(str(path) for path in (photos / "train").rglob("*.*"))
    assert list(source.paths) == paths == [source.paths[place] for place in range(20)] and source.paths[-1] == paths[-1]
    assert labels_of(source).tolist() == [0] * 10 + [1] * 10
    for place, path in enumerate(paths):
        contents, label = source.fetch(tf.constant(place, tf.int64))
        assert contents.numpy() == open(path, "rb").read() and int(label) == place // 10
    with pytest.raises(IndexError):
        source.paths[20]


def test_the_names_are_not_in_the_graph(tmp_path, monkeypatch):
    """A graph is limited to 2 GB, and it is copied several times."""
    folder, names = tmp_path / "all" / "cat", [f"{number:0200}.jpg" for number in range(500)]
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"")
    monkeypatch.setattr(listing, "BLOCK", 2)
    fetch = opened(folder.parent, split="all").fetch
    graph = tf.function(fetch).get_concrete_function(tf.TensorSpec([], tf.int64)).graph.as_graph_def()
    assert graph.ByteSize() < 10_000


def test_names_that_are_not_ascii(tmp_path):
    folder = tmp_path / "Fotos" / "über alles"
    folder.mkdir(parents=True)
    for name in ("ä.jpg", "z 1.jpg", "日本.jpg"):
        (folder / name).write_bytes(name.encode())
    source = opened(folder.parent, split="all")
    assert [os.path.basename(path) for path in source.paths] == ["z 1.jpg", "ä.jpg", "日本.jpg"]
    assert [source.fetch(k)[0].numpy().decode() for k in range(3)] == ["z 1.jpg", "ä.jpg", "日本.jpg"]


def test_with_an_index_nothing_is_scanned_again(photos, tmp_path, scanned):
    first = opened(photos, tmp_path / "index.npz")
    assert sorted(scanned) == ["cat", "dog"] and (tmp_path / "index.npz").is_file()
    scanned.clear()
    second = opened(photos, tmp_path / "index.npz")
    assert not scanned and list(first.paths) == list(second.paths) and first.classes == second.classes
    assert first.facts() == second.facts()
    assert not [path for path in photos.rglob("*") if path.suffix == ".npz"]


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "class added", "class removed"])
def test_only_what_changed_is_scanned_again(photos, tmp_path, scanned, change):
    cats = photos / "train" / "cat"
    opened(photos, tmp_path / "index.npz")
    scanned.clear()
    if change == "added":
        (cats / "new.jpg").write_bytes(b"")
    elif change == "removed":
        (cats / "03.bmp").unlink()
    elif change == "renamed":
        (cats / "03.bmp").rename(cats / "other.bmp")
    elif change == "class added":
        (photos / "train" / "bird").mkdir()
        (photos / "train" / "bird" / "a.jpg").write_bytes(b"")
    else:
        for file in cats.iterdir():
            file.unlink()
        cats.rmdir()
    expected = {"class added": ["bird"], "class removed": []}.get(change, ["cat"])
    found = list(opened(photos, tmp_path / "index.npz").paths)
    assert scanned == expected and found == sorted(str(path) for path in (photos / "train").rglob("*.*"))
    age(photos)
    opened(photos, tmp_path / "index.npz")
    scanned.clear()
    assert list(opened(photos, tmp_path / "index.npz").paths) == found and not scanned


def test_a_folder_that_has_just_changed_is_not_trusted(photos, tmp_path, scanned):
    (photos / "train" / "cat" / "new.jpg").write_bytes(b"")
    opened(photos, tmp_path / "index.npz")
    scanned.clear()
    opened(photos, tmp_path / "index.npz")
    assert scanned == ["cat"]


def test_a_large_folder_has_its_index_in_the_cache(photos, tmp_path, monkeypatch, scanned):
    monkeypatch.setenv("KERASNETS_HOME", str(tmp_path / "home"))
    opened(photos)
    assert not (tmp_path / "home").exists()
    monkeypatch.setattr(listing, "LARGE", 20)
    opened(photos)
    (index,) = (tmp_path / "home" / "folders").iterdir()
    assert index.name.startswith("photos-train-") and index.suffix == ".npz"
    scanned.clear()
    opened(photos)
    assert not scanned
    monkeypatch.setenv("KERASNETS_HOME", os.devnull)
    assert opened(photos).size == 20


def test_splits_of_a_folder_without_splits_come_from_one_index(photos, tmp_path, scanned):
    train, test, everything = (
        opened(photos / "train", tmp_path / "i.npz", split) for split in ("train", "test", "all")
    )
    assert scanned.count("cat") == 1 and everything.size == 20
    assert list(test.paths) == [everything.paths[place] for place in (4, 9, 14, 19)]
    assert sorted([*train.paths, *test.paths]) == list(everything.paths)
    assert labels_of(test).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("contents", [b"", b"PK broken", b"notes of mine"])
def test_a_file_that_is_no_index_is_kept(photos, tmp_path, contents):
    index = tmp_path / "index.npz"
    index.write_bytes(contents)
    with pytest.raises(ValueError, match=r"is not an index of an image folder .*Delete it. Received: index=") as caught:
        opened(photos, index)
    assert "\n" not in str(caught.value) and index.read_bytes() == contents
    np.savez(index, x=np.arange(3))
    with pytest.raises(ValueError, match="is not an index of an image folder"):
        opened(photos, index)


@pytest.mark.slow
def test_20000_files_in_2000_classes(tmp_path, scanned):
    """Every step that a large set goes through, with a photo in each of a few classes."""
    write_folder(tmp_path)
    photo = next((tmp_path / "train" / "cat").glob("*.jpg"))
    for label in range(2000):
        folder = tmp_path / "large" / f"n{label:04}"
        folder.mkdir(parents=True)
        for number in range(10):
            os.link(photo, folder / f"n{label:04}_{number}.JPEG")
        os.utime(folder, ns=(LONG_AGO, LONG_AGO))
    source = opened(tmp_path / "large", tmp_path / "index.npz", "all")
    scanned.clear()
    again = opened(tmp_path / "large", tmp_path / "index.npz", "all")
    assert not scanned and again.size == 20_000 and list(again.paths) == list(source.paths)
    rest, held = held_out_split(again, 0.1, seed=0)
    assert (np.bincount(labels_of(rest)) == 9).all() and (np.bincount(labels_of(held)) == 1).all()
    options = data_options(kind="folder", path=str(tmp_path / "large"))
    images, labels, weights = next(iter(evaluation_batches(held, RGB, options, batch_size=50)))
    assert labels.numpy().tolist() == list(range(50)) and weights.numpy().all() and images.shape == (50, 24, 24, 3)
