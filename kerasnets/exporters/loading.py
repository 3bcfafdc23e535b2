"""Load an exported file, whatever its form. TensorFlow is imported for a SavedModel only."""

from pathlib import Path

from kerasnets.exporters.files import CALIBRATED, Runner, is_saved_model
from kerasnets.exporters.onnx import load_onnx, onnx_ops
from kerasnets.exporters.tflite import load_tflite, read_ops, summarise_ops


def is_exported(path: str | Path) -> bool:
    """Whether `path` names a .tflite or .onnx file, or is the folder of a SavedModel."""
    return Path(path).suffix in (".tflite", ".onnx") or is_saved_model(path)


def load_exported(path: str | Path, threads: int | None = None) -> Runner:
    """Loads an exported file.

    Args:
        path: a .tflite or .onnx file, or a SavedModel's folder.
        threads: of a file; `None` takes as many as there are cores.

    Raises:
        ValueError: for a damaged file.
    """
    if Path(path).is_dir():
        from kerasnets.exporters.saved_model import load_saved_model

        return load_saved_model(path)
    return load_onnx(path, threads) if Path(path).suffix == ".onnx" else load_tflite(path, threads)


def exported_ops(path: str | Path, form: str) -> dict:
    """Counts the operators of an exported file: `{"ops": {name: count}, "flex_ops": [...], "float_islands": [...]}`."""
    if form == "saved-model":
        from kerasnets.exporters.saved_model import saved_model_ops

        return {"ops": saved_model_ops(path), "flex_ops": [], "float_islands": []}
    return onnx_ops(path) if form == "onnx" else summarise_ops(read_ops(path), quantised=form in CALIBRATED)
