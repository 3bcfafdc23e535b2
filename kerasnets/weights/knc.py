"""The file format `.knc`: the weights of a network, each array coded in the way that makes it smallest.

    bytes           content
    4               the letters KNC and a line feed
    2               version of the format, 1; this and all other integers are little-endian
    32              SHA-256 of all bytes after it
    4               length of the table
    that length     the table, JSON compressed by zlib
    the rest        the code of each array, one after the other, without gaps

The table is `{"network": name, "preprocessing": numbers or null, "arrays": [[name, shape, coding, options, bytes]]}`.
Names are those of `weight_targets`, shapes those of the Keras variables. The codings and their options:

* `floats`: range-coded exponents and stored mantissas of `m` bits (`range_coding.encode_floats`).
* `range`: a codebook of `k` ascending numbers that are not 0, with mantissas of `m` bits (`encode_ascending`), and
  indices with adaptive probabilities (`index_coding`). `axes`, a permutation, brings the array, its shape filled up
  with ones on the left to four axes, into the order (inputs, height, width, outputs).
* `huffman`: the same codebook; distances between weights that are not 0 and their indices by Huffman's code
  (`huffman_coding`). The form of Han, Mao and Dally 2016, "Deep Compression".

Arrays of at most 256 different numbers beside 0 get the shortest of the three, others are `floats`. The minus sign of
-0 is lost in a codebook.
"""

import contextlib
import hashlib
import json
import math
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasnets.weights.huffman_coding import decode_huffman, encode_huffman
from kerasnets.weights.index_coding import decode_indices, encode_indices
from kerasnets.weights.range_coding import (
    RangeEncoder,
    decode_ascending,
    decode_floats,
    decoder_of,
    encode_ascending,
    encode_floats,
    finished,
)

MAGIC, VERSION = b"KNC\n", 1
_HEAD = struct.Struct("<4sH32sI")
# The arrays of a file may take this many times the memory of the file, and so many bytes more.
MOST_EXPANSION, _MORE = 400, 2**22
_LARGEST_TABLE, _MOST_ARRAYS, _LARGEST_CODEBOOK = 2**24, 100_000, 256
# The orders of axes that are tried: the outputs, or the inputs, are coded together.
_ORDERS = ((2, 0, 1, 3), (3, 0, 1, 2))


class StoredArray(NamedTuple):
    """One entry of the table; `start` is the first byte of its code in the file."""

    name: str
    shape: tuple[int, ...]
    coding: str
    options: dict
    start: int
    bytes: int


class Contents(NamedTuple):
    """What a file says about itself."""

    network: str
    preprocessing: dict | None
    arrays: list[StoredArray]


def write_knc(path, arrays: dict, *, network: str, preprocessing: dict | None = None, mantissa: int = 23) -> Contents:
    """Writes arrays to a file, as a whole or not at all.

    Args:
        path: of the file.
        arrays: float arrays by name, in Keras's layout.
        network: the registered name of the network, or that of the model.
        preprocessing: `Preprocessing.as_plain` of the network.
        mantissa: bits of the mantissas, 1 to 23. The numbers must already be rounded to them (`rounded`).

    Raises:
        ValueError: numbers that are not rounded, or arrays of so little content that the file could not be read.
        OSError: the file cannot be written. A former one is unchanged.
    """
    coded = [encode_array(np.asarray(array), mantissa) for array in arrays.values()]
    rows = [
        [name, list(np.shape(array)), coding, options, len(code)]
        for (name, array), (coding, options, code) in zip(arrays.items(), coded, strict=True)
    ]
    table = {"network": network, "preprocessing": preprocessing, "arrays": rows}
    table = zlib.compress(json.dumps(table, separators=(",", ":")).encode(), 9)
    body = b"".join([struct.pack("<I", len(table)), table, *(code for _, _, code in coded)])
    content = MAGIC + struct.pack("<H", VERSION) + hashlib.sha256(body).digest() + body
    contents = _contents(content[: _HEAD.size + len(table)], len(content), Path(path).name)
    _write_atomically(Path(path), content)
    return contents


def _write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(f"Could not write {os.fspath(path)!r}: {error.strerror or error}") from None


def encode_array(array: np.ndarray, mantissa: int = 23) -> tuple[str, dict, bytes]:
    """Returns the coding of an array that is shortest, its options and the code."""
    array = np.ascontiguousarray(array, np.float32)
    if (array.view(np.uint32) & ((1 << (23 - mantissa)) - 1)).any():
        raise ValueError(f"The numbers should be rounded to {mantissa} bits before they are written.")
    encoder = RangeEncoder()
    encode_floats(encoder, array, mantissa)
    found = [("floats", {"m": mantissa}, finished(encoder))]
    if 1 < array.ndim <= 4 and np.isfinite(array).all():
        codebook = np.unique(array[array != 0])
        if len(codebook) <= _LARGEST_CODEBOOK:
            found += _shared(array, codebook, mantissa)
    return min(found, key=lambda each: len(each[2]) + _rows(array, each[1]) / 8)


def _rows(array: np.ndarray, options: dict) -> int:
    """Returns how many rows are coded one after the other. A row takes a reader about 0.1 ms, so many cost time."""
    full = (1,) * (4 - array.ndim) + array.shape
    return math.prod(full[axis] for axis in options["axes"][:3]) if "axes" in options else 0


def _shared(array: np.ndarray, codebook: np.ndarray, mantissa: int):
    """Yields the codings of an array with a codebook."""
    indices = np.where(array == 0, 0, np.searchsorted(codebook, array) + 1)
    indices = indices.reshape((1,) * (4 - array.ndim) + array.shape)
    options = {"k": len(codebook), "m": mantissa}
    for order in _ORDERS:
        encoder = RangeEncoder()
        encode_ascending(encoder, codebook, mantissa)
        encode_indices(encoder, np.ascontiguousarray(indices.transpose(order)), codebook)
        yield "range", options | {"axes": list(order)}, finished(encoder)
    encoder = RangeEncoder()
    encode_ascending(encoder, codebook, mantissa)
    code = finished(encoder)
    yield "huffman", options, struct.pack("<I", len(code)) + code + encode_huffman(indices.ravel(), len(codebook) + 1)


def decode_array(stored: StoredArray, code: bytes) -> np.ndarray:
    """Returns an array from its code.

    Raises:
        ValueError: for a damaged code.
    """
    options, count = stored.options, math.prod(stored.shape)
    if stored.coding == "floats":
        return decode_floats(decoder_of(code), count, options["m"]).reshape(stored.shape)
    full = (1,) * (4 - len(stored.shape)) + stored.shape
    if stored.coding == "huffman":
        (length,) = struct.unpack_from("<I", code)
        codebook = decode_ascending(decoder_of(code[4 : 4 + length]), options["k"], options["m"])
        indices = decode_huffman(code[4 + length :], count, len(codebook) + 1)
    else:
        decoder, axes = decoder_of(code), options["axes"]
        codebook = decode_ascending(decoder, options["k"], options["m"])
        indices = decode_indices(decoder, tuple(full[axis] for axis in axes), codebook)
        indices = indices.transpose(np.argsort(axes))
    return np.concatenate([np.zeros(1, np.float32), codebook])[indices].reshape(stored.shape)


def read_contents(path) -> Contents:
    """Reads and checks the table of a file, without its arrays.

    Raises:
        ValueError: for a damaged file or another kind.
        FileNotFoundError: when there is no such file.
    """
    path = Path(path)
    with open(path, "rb") as file:
        size, head = os.fstat(file.fileno()).st_size, file.read(_HEAD.size)
        length = _HEAD.unpack(head)[3] if len(head) == _HEAD.size else 0
        return _contents(head + file.read(min(length, size)), size, path.name)


@contextlib.contextmanager
def open_knc(path: Path):
    """Yields the shapes of the arrays of a file by name, and a function that reads the array of a name.

    Raises:
        ValueError: for a damaged file, or one that does not match its checksum.
    """
    contents = read_contents(path)
    with open(path, "rb") as file:
        file.seek(6)
        expected, digest = file.read(32), hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
        if digest.digest() != expected:
            raise ValueError(f"{path.name} does not match its SHA-256: it is damaged. Fetch or write it again.")
        stored = {each.name: each for each in contents.arrays}

        def read(name: str) -> np.ndarray:
            file.seek(stored[name].start)
            with damage_as_value_error(path.name, name):
                return decode_array(stored[name], file.read(stored[name].bytes))

        yield {name: each.shape for name, each in stored.items()}, read


@contextlib.contextmanager
def damage_as_value_error(source: str, name: str):
    """Turns the errors that a wrong code causes into one line. constriction's panics are not `Exception`s."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{source}: the code of {name!r} is damaged: {reason}") from None


def _contents(head: bytes, size: int, source: str) -> Contents:
    """Returns the contents of a file of `size` bytes that begins with `head`, after every check but the checksum."""
    if head[:4] != MAGIC or len(head) < _HEAD.size:
        raise ValueError(f"{source} is not a .knc file: it should begin with {MAGIC!r}. Received: {head[:4]!r}")
    _, version, _, length = _HEAD.unpack_from(head)
    if version != VERSION:
        raise ValueError(f"{source} has version {version} of its format; this release reads version {VERSION}.")
    if len(head) != _HEAD.size + length:
        raise ValueError(f"{source} is cut off: its table has {length:,} bytes, the file {size:,}.")
    try:
        table = json.loads(_inflated(head[_HEAD.size :]))
        rows = [StoredArray(str(n), tuple(s), c, o, 0, b) for n, s, c, o, b in table["arrays"]]
        contents = Contents(str(table["network"]), table["preprocessing"], rows)
        _check_rows(rows, size, _HEAD.size + length)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error) as error:
        raise ValueError(f"{source} has a damaged table: {error}") from None
    starts = np.cumsum([_HEAD.size + length, *(row.bytes for row in rows)]).tolist()
    return contents._replace(arrays=[row._replace(start=start) for row, start in zip(rows, starts[:-1], strict=True)])


def _inflated(code: bytes) -> bytes:
    inflater = zlib.decompressobj()
    text = inflater.decompress(code, _LARGEST_TABLE)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("it does not end where it should")
    return text


def _check_rows(rows: list[StoredArray], size: int, start: int) -> None:
    """Checks types, options and sizes of the table's rows."""
    if len(rows) > _MOST_ARRAYS or len({row.name for row in rows}) != len(rows):
        raise ValueError(f"{len(rows):,} arrays, or two of one name")
    for row in rows:
        if not all(_whole(axis, 1, 2**40) for axis in row.shape) or not _whole(row.bytes, 0, size):
            raise ValueError(f"{row.name!r} should have positive sizes. Received: shape={row.shape}, {row.bytes} bytes")
        wanted = {"floats": {"m"}, "range": {"k", "m", "axes"}, "huffman": {"k", "m"}}.get(row.coding)
        if wanted != set(row.options) or not _whole(row.options["m"], 0, 23):
            raise ValueError(f"{row.name!r} has an unknown coding. Received: {row.coding!r}, {row.options}")
        if row.coding != "floats" and not (len(row.shape) <= 4 and _whole(row.options["k"], 0, _LARGEST_CODEBOOK)):
            raise ValueError(f"{row.name!r} has no codebook that fits. Received: {row.options}, shape={row.shape}")
        if row.coding == "range" and sorted(row.options["axes"]) != [0, 1, 2, 3]:
            raise ValueError(f"{row.name!r} has no order of axes. Received: axes={row.options['axes']}")
    if start + sum(row.bytes for row in rows) != size:
        raise ValueError(f"the arrays end at {start + sum(row.bytes for row in rows):,} in a file of {size:,} bytes")
    memory = 4 * sum(math.prod(row.shape) for row in rows)
    if memory > MOST_EXPANSION * size + _MORE:
        raise ValueError(f"{memory:,} bytes of weights in a file of {size:,}, more than {MOST_EXPANSION} times as many")


def _whole(value, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
