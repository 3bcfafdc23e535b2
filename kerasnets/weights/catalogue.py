"""Which public checkpoints each row has: facts of their publishers, kept as data in `catalogue.json`.

Nothing heavy is imported here, so that `kerasnets info` can answer from it.
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
        tag: its name among the checkpoints of a row.
        source: the project that publishes it: `"torchvision"`, `"timm"`, `"keras.applications"`, or an author's own.
        file: what it is called in the cache and in a mirror.
        license: as its publisher states it.
        preprocessing: the plain numbers that turn an image file into its input.
        hash: `"sha256:..."` or `"md5:..."`, as far as the publisher gives it; "" otherwise.
        url: where the file is; "" for one of the Hugging Face hub.
        hub, revision: repository and revision there.
        dataset: what it was trained for: `"imagenet"` (1,000 classes) or `"cifar10"`.
        top1, top5: published accuracy in percent on that data's held-out images, of `measured_at` pixels.
        arguments: what the row has to be built with, for example `{"alpha": 0.5}`.
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
        """The address that a browser would fetch it from."""
        return self.url or f"{_HUB}/{self.hub}/resolve/{self.revision}/model.safetensors"


def _facts() -> dict:
    return json.loads(Path(__file__).with_name("catalogue.json").read_text(encoding="utf-8"))


def checkpoints(name: str) -> tuple[PublicCheckpoint, ...]:
    """Returns the public checkpoints of the row called `name`, the one that `weights="imagenet"` means first."""
    return tuple(map(_checkpoint, _facts()["checkpoints"].get(name, ())))


def all_checkpoints() -> dict[str, tuple[PublicCheckpoint, ...]]:
    """Returns a row's name -> its public checkpoints, for every row that has any."""
    return {name: tuple(map(_checkpoint, found)) for name, found in _facts()["checkpoints"].items()}


def _checkpoint(facts: dict) -> PublicCheckpoint:
    return PublicCheckpoint(**{**facts, "preprocessing": Preprocessing.from_plain(facts["preprocessing"])})


def checkpoint_in(file: str) -> PublicCheckpoint | None:
    """Returns the public checkpoint whose file is called `file`, `None` for any other name."""
    named = (facts for found in _facts()["checkpoints"].values() for facts in found if facts["file"] == file)
    return next(map(_checkpoint, named), None)


def sibling(name: str) -> str:
    """Returns the row nearest to `name` that has public weights, "" when there is none."""
    return _facts()["siblings"].get(name, "")


def without_weights(name: str) -> str:
    """Returns a sentence for a row that nobody has published weights of: which other row has some."""
    nearest = sibling(name)
    return f"{name!r} has no public weights" + (f"; {nearest!r} has." if nearest else ", and no row near to it has.")


def choose(name: str, tag: str, given: dict, defaults: dict) -> PublicCheckpoint:
    """Returns the checkpoint that a builder's `weights` means.

    Args:
        name: a network.
        tag: a checkpoint's tag, or `"imagenet"` for the first that fits.
        given: arguments of the network that it is built with, for example `{"alpha": 0.5}`. A tag brings those that are
            not given; for `"imagenet"` they are the defaults.
        defaults: the network's own arguments with their defaults.

    Raises:
        ValueError: for a row without public weights, an unknown tag, or arguments that it was not trained with.
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
