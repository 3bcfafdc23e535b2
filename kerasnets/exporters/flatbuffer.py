"""What is inside a .tflite file, read from the file's bytes; needs no TensorFlow."""

from collections import Counter
from pathlib import Path

_EDGES = ("QUANTIZE", "DEQUANTIZE")


def read_ops(path: str | Path) -> list[dict]:
    """Returns the operators of a .tflite file in the order of execution.

    Each is `{"op": "CONV_2D", "name": <name of its first output>, "float": <whether it computes in float32>}`; a
    custom operator (a TensorFlow "Flex" operator is one) goes by its own name.
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

    A float island is an operator of a quantised file that computes in float32 for want of an integer kernel (local
    response normalisation is the known one); the conversions at its edges are not counted.
    """
    counts = Counter(op["op"] for op in ops)
    islands = [f"{op['op']} {op['name']}" for op in ops if quantised and op["float"] and op["op"] not in _EDGES]
    return {
        "ops": dict(counts.most_common()),
        "flex_ops": sorted(name for name in counts if name.startswith("Flex")),
        "float_islands": islands,
    }


def _code_name(code, names: dict[int, str]) -> str:
    if code.CustomCode():
        return code.CustomCode().decode()
    # Old files keep the number in a field of one byte; the larger of the two is the right one.
    return names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
