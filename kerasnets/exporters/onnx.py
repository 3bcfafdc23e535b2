"""Write, run and inspect ONNX files: any batch, pixels 0-255 in, probabilities out."""

import contextlib
import io
import os
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from kerasnets.exporters.files import ExportError, Runner, first_line
from kerasnets.exporters.onnx_metadata import import_onnx, with_description
from kerasnets.exporters.tflite import pixel_network
from kerasnets.registry import Preprocessing

_INPUT, _OUTPUT = "image", "probabilities"
# The first one with all operators that tf2onnx writes for our networks; ONNX Runtime reads it since 1.10 (2021).
_OPSET = 15


def write_onnx(model, preprocessing: Preprocessing, about: dict, path: str | Path) -> None:
    """Writes a classifier as an ONNX file, by Keras's own export.

    Args:
        model: what `inference_form` gives, input (batch, size, size, channels), already normalised.
        preprocessing: the numbers of the normalisation, which becomes part of the file.
        about: what `files.describe` gives; the file holds it.
        path: the file, which does not exist yet.

    Raises:
        ValueError: a package of the extra `onnx` is not installed.
        ExportError: the network has an operator that ONNX does not have.
    """
    import keras

    onnx, _ = import_onnx("onnx"), import_onnx("tf2onnx")
    network = pixel_network(model, preprocessing, batch_size=None)
    signature = [keras.InputSpec(shape=network.input_shape, dtype="float32", name=_INPUT)]
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            network.export(str(path), "onnx", verbose=False, input_signature=signature, opset_version=_OPSET)
    except Exception as error:  # tf2onnx raises many kinds of errors.
        raise ExportError(f"The network cannot be converted to ONNX: {first_line(error)}") from error
    onnx.save(with_description(_with_names(onnx.load(str(path))), about), str(path))


def _with_names(model):
    """Names the output and the dimension of the batch; tf2onnx gives them numbers."""
    graph = model.graph
    for node in graph.node:
        node.output[:] = [_OUTPUT if name == graph.output[0].name else name for name in node.output]
    graph.output[0].name = _OUTPUT
    for tensor in (graph.input[0], graph.output[0]):
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def load_onnx(path: str | Path, threads: int | None = None) -> Runner:
    """Loads an ONNX file, to run on a number of threads; `None` takes as many as there are cores.

    Raises:
        ValueError: ONNX Runtime is not installed, or the file is damaged.
    """
    runtime = import_onnx("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # The classes of its errors are private.
        raise ValueError(f"{path} is not an ONNX file, or damaged: {first_line(error)}") from None

    def run(images: np.ndarray) -> np.ndarray:
        return session.run([_OUTPUT], {_INPUT: images.astype("float32")})[0]

    return Runner(run, session.get_outputs()[0].shape[-1])


def onnx_ops(path: str | Path) -> dict:
    """Counts the operators: `{"ops": {name: count}, "flex_ops": [name], "float_islands": []}`.

    `flex_ops` are those of another domain than ONNX's own, which a client would have to bring.
    """
    nodes = import_onnx("onnx").load(str(path)).graph.node
    counts = Counter(node.op_type for node in nodes)
    foreign = sorted({node.op_type for node in nodes if node.domain not in ("", "ai.onnx")})
    return {"ops": dict(counts.most_common()), "flex_ops": foreign, "float_islands": []}
