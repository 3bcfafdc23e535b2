"""Write and read what an ONNX file says about itself: the entry `network.json` of its metadata."""

import hashlib
import json
from pathlib import Path

_NETWORK = "network.json"


def with_description(model, about: dict):
    """Adds a description to an `onnx.ModelProto`, and returns it.

    Args:
        about: what `files.describe` gives.
    """
    import onnx

    text = json.dumps(about | {"sha256": _graph_sha256(model)}, ensure_ascii=False)
    model.doc_string = about["description"]
    onnx.helper.set_model_props(model, {_NETWORK: text})
    return model


def read_description(path: str | Path) -> tuple[dict | None, str]:
    """Returns the description inside an ONNX file (`None` if there is none), and the SHA-256 of its graph.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read.
    """
    from google.protobuf.message import DecodeError

    onnx = import_onnx("onnx")
    try:
        model = onnx.load(str(path))
    except DecodeError:
        raise ValueError(f"{path} is not an ONNX file, or damaged.") from None
    texts = {entry.key: entry.value for entry in model.metadata_props}
    return (json.loads(texts[_NETWORK]) if _NETWORK in texts else None), _graph_sha256(model)


def import_onnx(name: str):
    """Imports a package of the extra `onnx`.

    Raises:
        ValueError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(f'ONNX files need the package {name}: pip install "kerasnets[onnx]"') from None


def _graph_sha256(model) -> str:
    return hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()
