"""Write and read what a TFLite file says about itself: names of inputs and outputs, TFLite Metadata, labels.

TFLite Metadata (https://ai.google.dev/edge/litert/models/metadata) is a FlatBuffer inside the model, and a ZIP archive
at its end. The archive holds `labels.txt`, which MediaPipe reads, and `network.json`, which `predict` reads. TFLite
itself ignores both. The numbers below are the positions of the fields in `metadata_schema.fbs`, version 1.5.
"""

import io
import json
import zipfile
from pathlib import Path

import numpy as np

SIGNATURE, INPUT, OUTPUT = "serving_default", "image", "probabilities"
_LABELS, _NETWORK = "labels.txt", "network.json"
_KEY, _IDENTIFIER = b"TFLITE_METADATA", b"M001"
_RGB, _GREY, _IMAGE, _NORMALISATION, _AXIS_LABELS, _TEXT = 1, 2, 2, 1, 2, 1


def with_metadata(content: bytes, about: dict) -> bytes:
    """Returns a converted model with names, metadata and an archive of its labels.

    Args:
        content: what the TFLite converter gives, with one input and one output.
        about: what `files.describe` gives.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    _set_names(model, schema)
    about = about | {"oldest_runtime": _oldest_runtime(model)}
    model.metadata = [entry for entry in model.metadata or [] if entry.name != _KEY]
    entry = schema.MetadataT()
    entry.name, entry.buffer = _KEY, len(model.buffers)
    model.metadata.append(entry)
    model.buffers = [_Buffer(buffer.data) for buffer in model.buffers]
    model.buffers.append(_Buffer(np.frombuffer(_metadata(about), np.uint8)))
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return _with_archive(bytes(builder.Output()), about)


def _oldest_runtime(model) -> str:
    """Returns the oldest release of TensorFlow Lite that runs a model, as the converter writes it; "" if unknown."""
    for entry in model.metadata or []:
        if entry.name == b"min_runtime_version":
            return bytes(np.asarray(model.buffers[entry.buffer].data, np.uint8)).split(b"\0")[0].decode()
    return ""


def read_inside(path: str | Path) -> dict | None:
    """Returns the description inside a TFLite file, or `None` if there is none.

    Raises:
        ValueError: if it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if _NETWORK not in archive.namelist():
                return None
            about = json.loads(archive.read(_NETWORK))
    except zipfile.BadZipFile:
        return None
    except (ValueError, KeyError) as error:
        raise ValueError(f"The description inside {path} cannot be read: {error}") from None
    return about if isinstance(about, dict) else None


def model_part(content: bytes) -> bytes:
    """Returns a TFLite file without the archive at its end."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return content[: min(entry.header_offset for entry in archive.infolist())]
    except (zipfile.BadZipFile, ValueError):
        return content


def _with_archive(content: bytes, about: dict) -> bytes:
    """Appends the archive. Its entries have no date, so that the same model gives the same file."""
    import hashlib

    about = about | {"sha256": hashlib.sha256(content).hexdigest()}
    whole = io.BytesIO(content)
    with zipfile.ZipFile(whole, "a") as archive:
        labels = "".join(f"{label}\n" for label in about["labels"])
        for name, text in ((_LABELS, labels), (_NETWORK, json.dumps(about, indent=2, ensure_ascii=False) + "\n")):
            archive.writestr(zipfile.ZipInfo(name), text)
    return whole.getvalue()


def _set_names(model, schema) -> None:
    """Names the input `image`, the output `probabilities`, and the signature `serving_default`."""
    graph, maps = model.subgraphs[0], []
    for name, (number,) in ((INPUT, graph.inputs), (OUTPUT, graph.outputs)):
        graph.tensors[number].name = name.encode()
        tensor = schema.TensorMapT()
        tensor.name, tensor.tensorIndex = name.encode(), number
        maps.append(tensor)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
    signature.inputs, signature.outputs = maps[:1], maps[1:]
    model.signatureDefs = [signature]


class _Buffer:
    """A buffer of a model that starts at a multiple of 16 bytes, as the schema demands.

    The classes that FlatBuffers generates for Python ignore `force_align`.
    """

    def __init__(self, data):
        self.data = data

    def Pack(self, builder):  # noqa: N802 - the name that FlatBuffers calls
        from ai_edge_litert import schema_py_generated as schema

        vector = None
        if self.data is not None and len(self.data):
            content = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(content), 16)
            builder.head = builder.Head() - len(content)
            builder.Bytes[builder.Head() : builder.Head() + len(content)] = content
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def _metadata(about: dict) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    grey = about["input"]["shape"][-1] == 1
    image = _content(builder, grey)
    # The normalisation is inside the graph, so a client leaves the pixels as they are.
    zero, one = (_floats(builder, [value]) for value in (0.0, 1.0))
    options = _table(builder, [zero, one])
    unit = _table(builder, [_Byte(_NORMALISATION), options])
    low, high = (_floats(builder, [value]) for value in (0.0, 255.0))
    source = [*_texts(builder, INPUT, about["input"]["pixels"]), None, image, _vector(builder, [unit])]
    source = _table(builder, [*source, _table(builder, [high, low])])
    labels = _table(builder, [*_texts(builder, _LABELS, "A label for each class."), _Byte(_AXIS_LABELS)])
    high = _floats(builder, [1.0])
    low = _floats(builder, [0.0])
    stats = _table(builder, [high, low])
    content = _table(builder, [_Byte(_TEXT), _table(builder, [])])
    sink = [*_texts(builder, OUTPUT, "The probability of each class."), None, content, None, stats]
    sink = _table(builder, [*sink, _vector(builder, [labels])])
    graph = _table(builder, [None, None, _vector(builder, [source]), _vector(builder, [sink])])
    network = _table(builder, [*_texts(builder, _NETWORK, "Preprocessing, labels and hashes."), _Byte(1)])
    head = _texts(builder, about["model"], about["description"], about["weights_sha256"])
    rest = [_vector(builder, [graph]), None, None, _vector(builder, [network]), *_texts(builder, "1.5.0")]
    builder.Finish(_table(builder, [*head, *rest]), _IDENTIFIER)
    return bytes(builder.Output())


class _Byte(int):
    """A field of one byte; every other field of a table is an offset."""


def _table(builder, fields: list) -> int:
    """Writes a table whose fields are in the order of the schema; `None` leaves a field out."""
    builder.StartObject(len(fields))
    for slot, field in enumerate(fields):
        if isinstance(field, _Byte):
            builder.PrependInt8Slot(slot, field, 0)
        elif field is not None:
            builder.PrependUOffsetTRelativeSlot(slot, field, 0)
    return builder.EndObject()


def _content(builder, grey: bool) -> int:
    properties = _table(builder, [_Byte(_GREY if grey else _RGB)])
    return _table(builder, [_Byte(_IMAGE), properties])


def _texts(builder, *texts: str) -> list[int]:
    return [builder.CreateString(text) for text in texts]


def _floats(builder, values: list[float]) -> int:
    return builder.CreateNumpyVector(np.array(values, np.float32))


def _vector(builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
