"""Write, run and inspect TFLite (LiteRT) files: batch 1, pixels 0-255 in, probabilities out, built-in operators only.

Running and inspecting a file needs neither TensorFlow nor Keras, as on a phone.
"""

import contextlib
import io
import os
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from kerasnets.exporters.files import CALIBRATED, QUANTISED, ExportError, Runner, first_line
from kerasnets.exporters.float_layers import with_float_softmax
from kerasnets.registry import Preprocessing

# The operators that convert between integers and float32.
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


def tflite_bytes(model, preprocessing: Preprocessing, form: str, calibration: np.ndarray | None = None) -> bytes:
    """Converts a classifier.

    Args:
        model: what `inference_form` gives, input (batch, size, size, channels), already normalised. A
            quantisation-aware model as `quantization_file.fixed` gives it needs no images for the 8-bit forms.
        preprocessing: the numbers of the normalisation, which becomes part of the file.
        form: `"tflite-int8"` and `"tflite-full-integer"` take uint8 pixels, the others float32 pixels 0-255.
            `"tflite-full-integer"` gives uint8 probabilities (1, classes), in units of 1/256; the others float32, also
            from a softmax in float32.
        calibration: real training images for the forms of `CALIBRATED`, pixels (examples, size, size, channels).

    Raises:
        ExportError: for a network that needs operators TFLite does not have.
    """
    import tensorflow as tf

    from kerasnets.compression.quantization import is_quantization_aware
    from kerasnets.graph.litert import converter_of

    trained_ranges = form in QUANTISED and is_quantization_aware(model)
    converter = converter_of(pixel_network(model, preprocessing, rounded=trained_ranges))
    sets = tf.lite.OpsSet
    converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS]
    if form == "tflite-sparse":
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    elif form != "tflite":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "tflite-float16":
        converter.target_spec.supported_types = [tf.float16]
    if form in CALIBRATED and not trained_ranges:
        # Operators without an integer kernel stay in float; the check of the file lists them.
        int16 = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        integer = int16 if form == "tflite-int16x8" else sets.TFLITE_BUILTINS_INT8
        converter.target_spec.supported_ops = [integer, sets.TFLITE_BUILTINS]
        images = whole_range(calibration)
        converter.representative_dataset = lambda: ([image[np.newaxis].astype("float32")] for image in images)
    if form in QUANTISED:
        converter.inference_input_type = tf.uint8
    if form == "tflite-full-integer":
        converter.inference_output_type = tf.uint8
    try:
        # The converter prints its temporary files, and warns that the ranges come from images and not from statistics.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            content = converter.convert()
    except Exception as error:  # The converter's own exception classes are private.
        raise ExportError(f"The network cannot be converted to TFLite: {_reason(error)}") from error
    return with_float_softmax(content) if form == "tflite-int8" else content


def pixel_network(model, preprocessing: Preprocessing, batch_size: int | None = 1, *, rounded: bool = False):
    """Returns `model` for pixels 0-255 (batch, size, size, channels), with the normalisation inside.

    Normalisation is affine in the channels of a pixel, so it is written as a 1x1 convolution, whose numbers are
    computed with `normalise`. Quantisation then treats it as one operator with a scale for each channel.

    Args:
        rounded: for a quantisation-aware model: pixels have the steps of uint8.
    """
    import keras

    from kerasnets.data.images.per_image import normalise
    from kerasnets.layers.fake_quantize import FakeQuantize, WholeBiasConv2D

    size, channels = preprocessing.size, len(preprocessing.mean)
    inputs = keras.Input((size, size, channels), batch_size=batch_size, name="image")
    unit = np.concatenate([np.zeros((1, channels)), np.eye(channels)]).astype("float32")
    offset, *columns = np.asarray(normalise(unit[:, np.newaxis, np.newaxis], preprocessing))[:, 0, 0]
    kernel = np.stack([column - offset for column in columns])[np.newaxis, np.newaxis]
    kind = WholeBiasConv2D if rounded else keras.layers.Conv2D
    convolution = kind(channels, 1, name="normalization", dtype="float32")
    x = convolution(FakeQuantize((0.0, 255.0), name="pixels")(inputs) if rounded else inputs)
    convolution.set_weights([kernel, offset])
    return keras.Model(inputs, model(x, training=False), name=model.name)


def whole_range(images: np.ndarray) -> np.ndarray:
    """Returns the images with one black and one white corner pixel in the first.

    Calibration takes the range of the input from the images. With 0 and 255 among the pixels, the input has exactly
    scale 1 and zero point 0, so the file's uint8 input is the pixel itself.
    """
    images = np.array(images)
    images[0, 0, 0], images[0, -1, -1] = 0, 255
    return images


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "ops:" in line.lower() or "error:" in line.lower()]
    return (telling or lines or [type(error).__name__])[0]


def load_tflite(path: str | Path, threads: int | None = 1) -> Runner:
    """Loads a .tflite file, to run on a number of threads; `None` takes as many as there are cores.

    Raises:
        ValueError: for a file that is truncated or not an exported network. Some damage only shows when it runs.
    """
    from ai_edge_litert.interpreter import Interpreter

    with _one_line(path):
        interpreter = Interpreter(model_path=str(path), num_threads=threads or os.cpu_count())
        interpreter.allocate_tensors()
        source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run_one(image: np.ndarray) -> np.ndarray:
        if source["dtype"] == np.uint8:
            image = np.clip(np.rint(image), 0, 255)
        with _one_line(path):
            interpreter.set_tensor(source["index"], image[np.newaxis].astype(source["dtype"]))
            interpreter.invoke()
        output = interpreter.get_tensor(sink["index"])[0]
        scale, zero = sink["quantization"]
        return (output.astype("float32") - zero) * np.float32(scale) if scale else output

    def run(images: np.ndarray) -> np.ndarray:
        return np.stack([run_one(image) for image in images])

    return Runner(run, int(sink["shape"][-1]))


@contextlib.contextmanager
def _one_line(path: str | Path):
    """Turns the errors of LiteRT for a damaged file into a ValueError of one line."""
    try:
        yield
    except (ValueError, RuntimeError, IndexError) as error:
        raise ValueError(f"{path} is not a TFLite file, or damaged: {first_line(error)}") from None


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
    response normalisation is the known one. The conversions around it are not counted, nor is the softmax at the end.
    """
    counts = Counter(op["op"] for op in ops)
    inner = ops[:-1] if ops and ops[-1]["op"] == "SOFTMAX" else ops
    islands = [f"{op['op']} {op['name']}" for op in inner if quantised and op["float"] and op["op"] not in _CONVERSIONS]
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
