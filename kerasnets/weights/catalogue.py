"""The public checkpoints of each network, as their publishers describe them. The data is in `catalogue.json`.

Nothing heavy is imported here, because `kerasnets info` uses this file.
"""

import dataclasses
import json
from pathlib import Path

from kerasnets.registry import Preprocessing, did_you_mean

_HUB = "https://huggingface.co"


@dataclasses.dataclass(frozen=True)
class PublicCheckpoint:
    """One published set of weights.

    Attributes:
        tag: its name among the checkpoints of a network.
        source: the project that publishes it: `"torchvision"`, `"timm"`, `"keras.applications"`, or an author's own.
        file: the name of its file in the cache and in a mirror.
        license: as its publisher states it.
        preprocessing: the numbers that turn an image file into the input of the network.
        hash: `"sha256:..."` or `"md5:..."` with as many digits as the publisher gives; "" when there are none.
        url: the address of the file; "" when the file is on the Hugging Face hub.
        hub, revision: repository and revision on the Hugging Face hub.
        dataset: the data that it was trained on: `"imagenet"` (1,000 classes) or `"cifar10"`.
        top1, top5: published accuracy in percent on the held-out split of that data, at `measured_at` pixels.
        measured_at: height and width of the images that the accuracy was measured with.
        arguments: the builder's arguments that it was trained with, for example `{"alpha": 0.5}`.
    """

    tag: str
    source: str
    file: str
    license: str
    preprocessing: Preprocessing
    hash: str = ""
    url: str = ""
    hub: str = ""
    revision: str = ""
    dataset: str = "imagenet"
    top1: float | None = None
    top5: float | None = None
    measured_at: int | None = None
    arguments: dict = dataclasses.field(default_factory=dict)

    @property
    def address(self) -> str:
        """The address of the file for a browser."""
        return self.url or f"{_HUB}/{self.hub}/resolve/{self.revision}/model.safetensors"


def _facts() -> dict:
    return json.loads(Path(__file__).with_name("catalogue.json").read_text(encoding="utf-8"))


def checkpoints(name: str) -> tuple[PublicCheckpoint, ...]:
    """Returns the public checkpoints of a network; the first is the one that `weights="imagenet"` means."""
    return tuple(map(_checkpoint, _facts()["checkpoints"].get(name, ())))


def all_checkpoints() -> dict[str, tuple[PublicCheckpoint, ...]]:
    """Returns name -> public checkpoints, for every network that has any."""
    return {name: tuple(map(_checkpoint, found)) for name, found in _facts()["checkpoints"].items()}


def _checkpoint(facts: dict) -> PublicCheckpoint:
    return PublicCheckpoint(**{**facts, "preprocessing": Preprocessing.from_plain(facts["preprocessing"])})


def split_tag(name: str, weights=None) -> tuple[str, object]:
    """Splits `"resnet50_v1_5.a1_in1k"` into the name of a network and the tag of a checkpoint.

    Args:
        name: a network's name, with or without a tag.
        weights: what was asked for beside it; `None` for nothing.

    Returns:
        The name of the network, and the tag; `weights` for a name without a tag.

    Raises:
        ValueError: for a name with a tag and other `weights`, or a tag that none of the network's weights has.
    """
    network, dot, tag = name.partition(".")
    if not dot:
        return name, weights
    tags = [checkpoint.tag for checkpoint in checkpoints(network)]
    if tags and tag not in tags:
        raise ValueError(f"{network!r} has no checkpoint {tag!r}, but {', '.join(tags)}.{did_you_mean(tag, tags)}")
    if weights not in (None, tag):
        raise ValueError(f"A name with a tag already says its weights. Received: name={name!r}, weights={weights!r}")
    return network, tag


def checkpoint_in(file: str) -> PublicCheckpoint | None:
    """Returns the public checkpoint whose file has this name, or `None`."""
    named = (facts for found in _facts()["checkpoints"].values() for facts in found if facts["file"] == file)
    return next(map(_checkpoint, named), None)


def sibling(name: str) -> str:
    """Returns the network nearest to `name` that has public weights, or ""."""
    return _facts()["siblings"].get(name, "")


def without_weights(name: str) -> str:
    """Returns the sentence for a network without public weights. It names the nearest network that has some."""
    nearest = sibling(name)
    return f"{name!r} has no public weights" + (f"; {nearest!r} has." if nearest else ", nor has a network near to it.")


def choose(name: str, tag: str, given: dict, defaults: dict) -> PublicCheckpoint:
    """Returns the checkpoint that the `weights` argument of a builder means.

    Args:
        name: the name of the network.
        tag: the tag of a checkpoint, or `"imagenet"` for the first checkpoint that fits the arguments.
        given: the arguments of the builder, for example `{"alpha": 0.5}`. Those that are not given fit any tag; for
            `"imagenet"` they are the defaults.
        defaults: the family's own arguments of the builder with their defaults.

    Raises:
        ValueError: for a network without public weights, an unknown tag, or arguments that no checkpoint was trained
            with.
    """
    found = checkpoints(name)
    tags = {checkpoint.tag: checkpoint for checkpoint in found}
    if tag not in ("imagenet", *tags):
        raise ValueError(
            "The `weights` argument should be either `None` (random initialization), 'imagenet' (pre-training on "
            f"ImageNet), or the path to the weights file to be loaded.  Received: weights={tag}. Tags of {name!r}: "
            f"{', '.join(tags) or 'none'}.{did_you_mean(tag, tags)}"
        )
    if tag == "imagenet" and not any(checkpoint.dataset == tag for checkpoint in found):
        others = f"{name!r} has weights called {', '.join(tags)}, none of ImageNet." if tags else without_weights(name)
        raise ValueError(f"{others} Received: weights={tag!r}")
    shaping = {key: defaults[key] for checkpoint in found for key in checkpoint.arguments}
    wanted = {key: value for key, value in given.items() if key in shaping}
    wanted = shaping | wanted if tag == "imagenet" else wanted
    named = found if tag == "imagenet" else (tags[tag],)
    fitting = [checkpoint for checkpoint in named if (shaping | checkpoint.arguments).items() >= wanted.items()]
    if not fitting:
        trained = ", ".join(f"{c.tag}: {c.arguments or 'defaults'}" for c in found)
        raise ValueError(f"The weights of {name!r} were trained with {trained}. Received: weights={tag!r}, {wanted}")
    return fitting[0]
