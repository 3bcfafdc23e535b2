"""Run an exported file as a function, and list its operators.

A .tflite file is run and read without TensorFlow, as on a phone.
"""

import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasnets.exporters.files import is_saved_model

# The operators that convert between integers and float32.
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


class Runner(NamedTuple):
    """A loaded file.

    Attributes:
        run: pixels 0-255 (batch, size, size, channels) -> probabilities (batch, classes).
        classes: the number of its classes.
    """

    run: Callable[[np.ndarray], np.ndarray]
    classes: int


def load_runner(path: str | Path, threads: int = 1) -> Runner:
    """Loads an exported file.

    Args:
        path: a .tflite file or a SavedModel's folder.
        threads: the number of threads that a .tflite file uses.

    Raises:
        ValueError: for a file that is truncated or not an exported network.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no exported file. Received: path={str(path)!r}")
    return _load_saved_model(path) if path.is_dir() else _load_tflite(path, threads)


def _load_tflite(path: Path, threads: int):
    from ai_edge_litert.interpreter import Interpreter

    with _one_line(path):
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
        source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run_one(image: np.ndarray) -> np.ndarray:
        if source["dtype"] == np.uint8:
            image = np.clip(np.rint(image), 0, 255)
        with _one_line(path):
            interpreter.set_tensor(source["index"], image[np.newaxis].astype(source["dtype"]))
            interpreter.invoke()
        return interpreter.get_tensor(sink["index"])[0]

    def run(images: np.ndarray) -> np.ndarray:
        try:
            return np.stack([run_one(image) for image in images])
        except (ValueError, RuntimeError) as error:  # Some damage only shows when the file runs.
            raise ValueError(f"{path} cannot be run: {_first_line(error)}") from None

    return Runner(run, int(sink["shape"][-1]))


@contextlib.contextmanager
def _one_line(path: Path):
    """Turns the errors of LiteRT for a damaged file into a ValueError of one line."""
    try:
        yield
    except (ValueError, RuntimeError, IndexError) as error:
        raise ValueError(f"{path} is not a TFLite file, or damaged: {_first_line(error)}") from None


def _load_saved_model(path: Path):
    import tensorflow as tf

    if not is_saved_model(path):
        raise ValueError(f"A SavedModel's folder should hold the file saved_model.pb. Received: path={str(path)!r}")
    try:
        loaded = tf.saved_model.load(str(path))
        classes = loaded.signatures["serving_default"].structured_outputs["probabilities"].shape[-1]
    except Exception as error:  # TensorFlow raises many kinds of errors for a damaged folder.
        raise ValueError(f"{path} is not a SavedModel, or damaged: {_first_line(error)}") from None

    def run(images: np.ndarray) -> np.ndarray:
        # The signature is looked up in `loaded` because it does not keep the variables alive by itself.
        serve = loaded.signatures["serving_default"]
        return serve(images=tf.constant(images, tf.float32))["probabilities"].numpy()

    return Runner(run, classes)


def load_bytes_runner(path: str | Path) -> Callable[[list[bytes]], np.ndarray]:
    """Returns a SavedModel's `serve_bytes`: encoded image files (bytes) -> probabilities (batch, classes)."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda files: loaded.signatures["serve_bytes"](files=tf.constant(files, tf.string))["probabilities"].numpy()


def saved_model_ops(path: str | Path) -> dict[str, int]:
    """Counts the TensorFlow operators of a SavedModel's `serving_default`, including the functions that it calls."""
    import tensorflow as tf

    definition = tf.saved_model.load(str(path)).signatures["serving_default"].graph.as_graph_def()
    nodes = list(definition.node) + [node for function in definition.library.function for node in function.node_def]
    return dict(Counter(node.op for node in nodes).most_common())


def read_ops(path: str | Path) -> list[dict]:
    """Returns the operators of a .tflite file in the order of execution.

    Each is `{"op": "CONV_2D", "name": <name of its first output>, "float": <whether it computes in float32>}`. A
    custom operator, such as a "Flex" operator of TensorFlow, has its own name as `"op"`.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(Path(path).read_bytes(), 0)
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    codes = [_code_name(model.OperatorCodes(i), names) for i in range(model.OperatorCodesLength())]
    ops = []
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for op in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            outputs = [graph.Tensors(op.Outputs(i)) for i in range(op.OutputsLength())]
            name = outputs[0].Name().decode() if outputs else ""
            is_float = any(tensor.Type() == schema.TensorType.FLOAT32 for tensor in outputs)
            ops.append({"op": codes[op.OpcodeIndex()], "name": name, "float": is_float})
    return ops


def summarise_ops(ops: list[dict], quantised: bool) -> dict:
    """Counts the operators: `{"ops": {name: count}, "flex_ops": [name], "float_islands": ["OP name"]}`.

    A float island is an operator of a quantised file that computes in float32 because it has no integer kernel. Local
    response normalisation is the known one. The conversions around it are not counted.
    """
    counts = Counter(op["op"] for op in ops)
    islands = [f"{op['op']} {op['name']}" for op in ops if quantised and op["float"] and op["op"] not in _CONVERSIONS]
    return {
        "ops": dict(counts.most_common()),
        "flex_ops": sorted(name for name in counts if name.startswith("Flex")),
        "float_islands": islands,
    }


def _code_name(code, names: dict[int, str]) -> str:
    if code.CustomCode():
        return code.CustomCode().decode()
    # Old files keep the number in a field of one byte; the larger of the two numbers is valid.
    return names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
