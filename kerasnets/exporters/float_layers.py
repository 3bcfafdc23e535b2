"""Layers of an int8 TFLite file that compute in float: the file is rewritten around their operators.

The last softmax is one of them. In integers its probabilities would have steps of 1/256, and classes would often tie.
"""

import flatbuffers
import numpy as np

_LINEAR = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def with_float_layers(content: bytes, kernels: dict[str, np.ndarray]) -> bytes:
    """Returns a TFLite file in which some layers convert their input to float32 and their output back.

    Args:
        content: an int8 file of TFLite's converter.
        kernels: layer -> its kernel, as Keras has it, folded.

    Raises:
        ValueError: for a layer that is no operator of its own in the file.
    """
    model = _schema().ModelT.InitFromObj(_schema().Model.GetRootAs(content, 0))
    graph, left, operators = model.subgraphs[0], dict(kernels), []
    for operator in graph.operators:
        name = _layer(graph, operator, left) if _name(model, operator) in _LINEAR else None
        operators += [operator] if name is None else _in_float(model, graph, operator, left.pop(name))
    if left:
        raise ValueError(f"No operator of the file can be kept in float for the layers {', '.join(left)}.")
    graph.operators = operators
    return _packed(model)


def with_float_softmax(content: bytes) -> bytes:
    """Returns an int8 file whose last softmax computes in float32, if it has one and gives float32."""
    model = _schema().ModelT.InitFromObj(_schema().Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    *others, softmax, conversion = graph.operators
    if (_name(model, softmax), _name(model, conversion)) != ("SOFTMAX", "DEQUANTIZE"):
        return content
    between = softmax.outputs[0]
    graph.tensors[between].type, graph.tensors[between].quantization = _schema().TensorType.FLOAT32, None
    conversion.inputs, conversion.outputs, softmax.outputs = softmax.inputs, softmax.outputs, conversion.outputs
    softmax.inputs = np.array([between], np.int32)
    graph.operators = [*others, conversion, softmax]
    return _packed(model)


def _packed(model) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _layer(graph, operator, names) -> str | None:
    """Returns the layer of an operator: a part of the name of its kernel, which the converter may have numbered."""
    parts = graph.tensors[operator.inputs[1]].name.decode().split("/")
    return next((name for name in names if name in parts or f"{name}_1" in parts), None)


def _name(model, operator) -> str:
    code = model.operatorCodes[operator.opcodeIndex]
    return _names()[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _schema():
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


def _names() -> dict[int, str]:
    return {code: name for name, code in vars(_schema().BuiltinOperator).items() if not name.startswith("_")}


def _in_float(model, graph, operator, kernel: np.ndarray) -> list:
    """Returns the operators in place of one: from integers, the operator on float32, and to integers."""
    source, weights, *bias = operator.inputs
    if _name(model, operator) == "FULLY_CONNECTED":
        values = kernel.T
    elif _name(model, operator) == "DEPTHWISE_CONV_2D":
        values = kernel.reshape(1, *kernel.shape[:2], -1)
    else:
        values = kernel.transpose(3, 0, 1, 2)
    rounded = _dequantized(model, graph.tensors[weights])
    if rounded.shape != values.shape or np.abs(rounded - values).max() > np.abs(values).max() / 100:
        raise ValueError(f"The file has another kernel for {graph.tensors[weights].name.decode()}; leave it in int8.")
    floats = [_add(model, graph, weights, values)]
    floats += [_add(model, graph, each, _dequantized(model, graph.tensors[each])) for each in bias if each >= 0]
    before, after = _add(model, graph, source), _add(model, graph, operator.outputs[0])
    ends = [(source, before, "DEQUANTIZE"), (after, operator.outputs[0], "QUANTIZE")]
    first, last = (_conversion(model, *each) for each in ends)
    operator.inputs, operator.outputs = np.array([before, *floats], np.int32), np.array([after], np.int32)
    return [first, operator, last]


def _dequantized(model, tensor) -> np.ndarray:
    kind = {_schema().TensorType.INT8: np.int8, _schema().TensorType.INT32: np.int32}[tensor.type]
    values = np.frombuffer(bytes(model.buffers[tensor.buffer].data), kind).reshape(tensor.shape).astype(np.float32)
    scale, shape = np.asarray(tensor.quantization.scale), [1] * values.ndim
    if len(scale) > 1:
        shape[tensor.quantization.quantizedDimension] = -1
    return values * scale.reshape(shape)


def _add(model, graph, like: int, values: np.ndarray | None = None) -> int:
    """Adds a float32 tensor of the shape of another, with constant values or none, and returns its number."""
    tensor, pattern = _schema().TensorT(), graph.tensors[like]
    tensor.shape, tensor.type, tensor.name = pattern.shape, _schema().TensorType.FLOAT32, pattern.name + b".float"
    tensor.shapeSignature, tensor.hasRank = pattern.shapeSignature, pattern.hasRank
    if values is not None:
        buffer = _schema().BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values, np.float32).tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _conversion(model, source: int, target: int, name: str):
    code, operator = getattr(_schema().BuiltinOperator, name), _schema().OperatorT()
    known = [max(each.builtinCode, each.deprecatedBuiltinCode) for each in model.operatorCodes]
    if code not in known:
        added = _schema().OperatorCodeT()
        added.builtinCode = added.deprecatedBuiltinCode = code
        added.version = 2  # the first with int8
        model.operatorCodes.append(added)
        known.append(code)
    operator.opcodeIndex = known.index(code)
    operator.inputs, operator.outputs = np.array([source], np.int32), np.array([target], np.int32)
    return operator
