"""A small ImageNet from tensorflow-datasets, folders named by synset, and shards: the same order of classes."""

import importlib.resources
import io
import sys
import tarfile

import pytest
from data_files import encode, photo

from kerasnets.data.labels import imagenet_classes, readable
from kerasnets.data.shard_writer import write_shards
from kerasnets.data.sources import open_source
from kerasnets.recipe.data_options import SourceOptions

SYNSETS = tuple(synset for synset, _ in imagenet_classes())
ESPRESSO = SYNSETS.index("n07920052")
# The classes of the first validation images, 65, 970 and 230 in Caffe's val.txt: sea snake, alp, Shetland sheepdog.
FIRST_OF_VALIDATION = (SYNSETS[65], SYNSETS[970], SYNSETS[230])


def tar(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as writer:
        for name, contents in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(contents)
            writer.addfile(entry, io.BytesIO(contents))
    return archive.getvalue()


def test_folders_named_by_synset_and_their_shards(tmp_path):
    contents = encode(photo(0, 8, 8), "JPEG")
    for synset in SYNSETS:
        (tmp_path / "imagenet" / "val" / synset).mkdir(parents=True)
        (tmp_path / "imagenet" / "val" / synset / f"{synset}_1.JPEG").write_bytes(contents)
    folder = open_source(SourceOptions(kind="folder", path=str(tmp_path / "imagenet")), "val")
    assert folder.classes == SYNSETS and readable(folder.classes)[ESPRESSO] == "espresso"
    assert int(folder.fetch(ESPRESSO)[1]) == ESPRESSO
    write_shards(tmp_path / "imagenet", tmp_path / "shards")
    shards = open_source(SourceOptions(kind="tfrecord", path=str(tmp_path / "shards")), "val")
    assert shards.classes == SYNSETS
    for index, image, label in shards.stream().take(5):
        assert image.numpy() == contents
        assert shards.image_name(int(index)).endswith(f"({SYNSETS[int(label)]}/{SYNSETS[int(label)]}_1.JPEG)")


def test_tensorflow_datasets(tmp_path, monkeypatch):
    # tensorflow-datasets 4.9.10 imports this package to prepare a set, and does not declare it.
    monkeypatch.setitem(sys.modules, "importlib_resources", importlib.resources)
    archives = tmp_path / "downloads" / "manual"
    archives.mkdir(parents=True)
    images = {s: encode(photo(i), "JPEG") for i, s in enumerate((SYNSETS[7], SYNSETS[ESPRESSO], SYNSETS[999]))}
    train = {f"{s}.tar": tar({f"{s}_1.JPEG": contents}) for s, contents in images.items()}
    names = [f"ILSVRC2012_val_0000000{i}.JPEG" for i in (1, 2, 3)]
    (archives / "ILSVRC2012_img_train.tar").write_bytes(tar(train))
    (archives / "ILSVRC2012_img_val.tar").write_bytes(tar(dict(zip(names, images.values(), strict=True))))
    options = SourceOptions(kind="tfds", name="imagenet2012", data_dir=str(tmp_path))
    source = open_source(options, "train")
    assert source.classes == SYNSETS and source.size == 3
    found = {SYNSETS[int(label)]: image.numpy() for _, image, label in source.stream()}
    assert found == images
    labels = {image.numpy(): SYNSETS[int(label)] for _, image, label in open_source(options, "validation").stream()}
    assert [labels[contents] for contents in images.values()] == list(FIRST_OF_VALIDATION)


def test_what_is_missing_is_one_line(tmp_path, monkeypatch):
    options = SourceOptions(kind="tfds", name="imagenet2012", data_dir=str(tmp_path))
    with pytest.raises(FileNotFoundError, match="imagenet2012 is not prepared in .*Set `download: true`"):
        open_source(options.model_copy(update={"download": False}), "train")
    monkeypatch.setitem(sys.modules, "importlib_resources", importlib.resources)
    with pytest.raises(
        FileNotFoundError, match="imagenet2012 cannot be prepared: .*ILSVRC2012_img_train.tar"
    ) as caught:
        open_source(options, "train")
    assert "\n" not in str(caught.value)
