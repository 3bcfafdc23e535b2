"""What `kerasnets list` and `info` print: facts of every network in a JSON file, so that nothing is built for them.

`make tables` writes the file from the registry. Reading it needs only the standard library.
"""

import dataclasses
import fnmatch
import json
import re
from pathlib import Path

from kerasnets.registry import Paper, Preprocessing, did_you_mean
from kerasnets.weights.catalogue import PublicCheckpoint, all_checkpoints, checkpoints, split_tag, without_weights


@dataclasses.dataclass(frozen=True)
class Stage:
    """The layers of one stride, as `kerasnets.graph.features.stages` counts them.

    Attributes:
        stride: pixels of the input between two neighbours of the map; `None` for the layers behind the last map.
        shape: of the last feature map of this stride, (height, width, channels), or of the output.
        layers: number of convolutions and dense layers.
        parameters, multiply_adds: of all layers together.
    """

    stride: int | None
    shape: tuple[int, ...]
    layers: int
    parameters: int
    multiply_adds: int


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What is known of one network without building it.

    Attributes:
        name, python_name: `"resnet50"` for `create_model`, `"ResNet50"` for `kerasnets.ResNet50`.
        family: the networks that it belongs to, for example `"resnet"`.
        summary: what it is, in half a sentence.
        paper: title, authors, year and url.
        input_shape: its default (height, width, channels).
        classes: its default number of outputs.
        parameters: number of trainable weights at `input_shape` and `classes`, as papers count them.
        multiply_adds: those of convolutions and dense layers for one image of `input_shape`.
        stages: what the layers of each stride cost, smallest stride first.
        preprocessing: how an image file becomes its input.
        differences: how it differs from its paper, one sentence each.
        checkpoints: its public weights; the first is what `weights="imagenet"` means.
        citation: BibTeX of its paper as it was published; its year may be later than that of the preprint in `paper`.
    """

    name: str
    python_name: str
    family: str
    summary: str
    paper: Paper
    input_shape: tuple[int, int, int]
    classes: int
    parameters: int
    multiply_adds: int
    stages: tuple[Stage, ...]
    preprocessing: Preprocessing
    differences: tuple[str, ...]
    checkpoints: tuple[PublicCheckpoint, ...]
    citation: str


def model_index_path() -> Path:
    """Returns the path of the model index in the installed package."""
    return Path(__file__).with_name("model_index.json")


def read_model_index() -> dict[str, dict]:
    """Returns name -> facts of every network, as plain JSON values, the public checkpoints included."""
    rows, public = _rows(), all_checkpoints()
    return {name: row | {"checkpoints": _plain(public.get(name, ()))} for name, row in rows.items()}


def _rows() -> dict[str, dict]:
    return json.loads(model_index_path().read_text(encoding="utf-8"))


def _plain(checkpoints) -> list[dict]:
    # `dataclasses.asdict` copies everything, and would be a tenth of the time of `kerasnets list`.
    return [vars(found) | {"preprocessing": found.preprocessing.as_plain()} for found in checkpoints]


def citations() -> dict[str, str]:
    """Returns url of a paper -> BibTeX, from `citations.bib`."""
    entries = Path(__file__).with_name("citations.bib").read_text(encoding="utf-8").strip().split("\n\n")
    return {re.search(r"^  url = {(.+)},$", entry, re.M)[1]: entry for entry in entries}


def list_models(pattern: str | None = None, *, family: str | None = None, weights: bool | None = None) -> list[str]:
    """Returns the names of all networks, sorted, or those that match.

    Args:
        pattern: a shell pattern such as `"resnet*"`.
        family: a family's name such as `"resnet"`.
        weights: `True` for networks with public weights, `False` for those without.

    Raises:
        ValueError: for a family that does not exist.
    """
    rows, public = _rows(), {} if weights is None else all_checkpoints()
    families = sorted({row["family"] for row in rows.values()})
    if family is not None and family not in families:
        hint = did_you_mean(family, families)
        raise ValueError(f"The `family` argument should be one of {families}.{hint} Received: family={family!r}")
    return sorted(
        name
        for name, row in rows.items()
        if (pattern is None or fnmatch.fnmatchcase(name, pattern))
        and (family is None or row["family"] == family)
        and (weights is None or bool(public.get(name)) == weights)
    )


def list_pretrained(pattern: str | None = None, *, family: str | None = None) -> list[str]:
    """Returns the public weights as `"name.tag"`, sorted by name; a network's default weights come first.

    Args:
        pattern: a shell pattern for the whole, such as `"resnet*"` or `"*.a1_in1k"`.
        family: a family's name such as `"resnet"`.

    Raises:
        ValueError: for a family that does not exist.
    """
    rows = read_model_index()
    names = list_models(family=family, weights=True)
    found = [f"{name}.{checkpoint['tag']}" for name in names for checkpoint in rows[name]["checkpoints"]]
    return [name for name in found if pattern is None or fnmatch.fnmatchcase(name, pattern)]


def model_info(name: str) -> ModelInfo:
    """Returns what is known of a network.

    Args:
        name: `"resnet50"`, its Python name `"ResNet50"`, or with the tag of one of its checkpoints
            (`"resnet50_v1_5.a1_in1k"`), to be told of that one alone.

    Raises:
        ValueError: for an unknown name or tag, with the closest ones.
    """
    rows, (name, tag) = read_model_index(), split_tag(name)
    name = {row["python_name"]: key for key, row in rows.items()}.get(name, name)
    if name not in rows:
        raise ValueError(f"Unknown model {name!r}.{did_you_mean(name, rows)} `kerasnets.list_models()` lists all.")
    facts = rows[name] | {key: tuple(rows[name][key]) for key in ("input_shape", "differences")}
    facts["paper"], facts["checkpoints"] = Paper(**facts["paper"]), checkpoints(name)
    facts["stages"] = tuple(Stage(**stage | {"shape": tuple(stage["shape"])}) for stage in facts["stages"])
    facts["citation"] = citations()[facts["paper"].url]
    if tag:
        if not facts["checkpoints"]:
            raise ValueError(f"{without_weights(name)} Received: tag={tag!r}")
        facts["checkpoints"] = tuple(checkpoint for checkpoint in facts["checkpoints"] if checkpoint.tag == tag)
    facts["preprocessing"] = Preprocessing.from_plain(facts["preprocessing"])
    return ModelInfo(name, **facts)
