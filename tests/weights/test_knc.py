"""The compressed format `.knc`, and SqueezeNet's published `.net` file."""

import hashlib
import json
import os
import resource
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from nets import build_twin, fill, representatives

from kerasnets.registry import Preprocessing
from kerasnets.weights import knc
from kerasnets.weights.files import open_checkpoint
from kerasnets.weights.huffman_coding import decode_huffman, encode_huffman
from kerasnets.weights.index_coding import decode_indices, encode_indices
from kerasnets.weights.knc import decode_array, encode_array, read_contents, write_knc
from kerasnets.weights.load import load_weights
from kerasnets.weights.mapping import weight_targets
from kerasnets.weights.range_coding import (
    RangeEncoder,
    decode_ascending,
    decode_floats,
    decoder_of,
    encode_ascending,
    encode_floats,
    finished,
    rounded,
)
from kerasnets.weights.squeezenet_net import _shapes


def kernel(shape, density=0.4, codebook=15, seed=0) -> np.ndarray:
    """A kernel of shared weights; in a filter, neighbours are alike."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=shape)
    if len(shape) == 4:
        values += 2 * draw.normal(size=(1, 1, *shape[2:]))
    levels = np.quantile(values, np.linspace(0, 1, codebook)).astype(np.float32)
    values = levels[np.abs(values[..., None] - levels).argmin(-1)]
    return np.where(draw.uniform(size=shape) < density, values, 0).astype(np.float32)


def code_of(encode, *arguments) -> bytes:
    encoder = RangeEncoder()
    encode(encoder, *arguments)
    return finished(encoder)


@pytest.mark.parametrize("mantissa", [0, 7, 10, 23])
def test_floats_keep_every_bit(mantissa):
    values = np.random.default_rng(0).normal(size=500) * 10.0 ** np.linspace(-44, 37, 500)
    values = rounded(np.concatenate([values, [0, -0.0, 1e-45]]).astype(np.float32), mantissa)
    found = decode_floats(decoder_of(code_of(encode_floats, values, mantissa)), len(values), mantissa)
    np.testing.assert_array_equal(found.view(np.uint32), values.view(np.uint32))
    ordered = np.unique(values)
    found = decode_ascending(decoder_of(code_of(encode_ascending, ordered, mantissa)), len(ordered), mantissa)
    np.testing.assert_array_equal(found, ordered)


@pytest.mark.parametrize("shape", [(3, 5, 5, 8), (24, 3, 3, 16), (70, 1, 1, 9), (1, 1, 1, 1), (1, 3, 3, 40)])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.5, 1.0])
def test_indices_come_back(shape, density):
    array = kernel(shape, density)
    codebook = np.unique(array[array != 0])
    indices = np.where(array == 0, 0, np.searchsorted(codebook, array) + 1)
    code = code_of(encode_indices, indices, codebook)
    np.testing.assert_array_equal(decode_indices(decoder_of(code), shape, codebook), indices)
    flat = indices.ravel()
    np.testing.assert_array_equal(
        decode_huffman(encode_huffman(flat, len(codebook) + 1), len(flat), len(codebook) + 1), flat
    )


def test_neighbours_make_the_code_shorter():
    array = kernel((3, 3, 32, 64))
    shuffled = np.random.default_rng(1).permutation(array.ravel()).reshape(array.shape)
    assert len(encode_array(array)[2]) < 0.95 * len(encode_array(shuffled)[2])


# The indices of `kernel((3, 3, 4, 8))` as this release encodes them.
KNOWN = (
    "b658975ecfe4be91cb3845592a8a4ecbc354a3ec90f15fbca69b8c6a1624f0ddb08a07eb9765bdcf94573ab9701bb0336901d34432d5e5"
    "f86d4aad169c51c653b656459e09bb260ecdc8df7777e103f469c4ca1e758f570c184777874aa26b0b3d2039f2cc2585d160b597658c3b"
    "90a7354df2cbc252ede789150397a6371659e5a4bc293e7508c8d69b106b77c41c4fbe2536e13c7dc095e77cc802"
)


def test_a_known_code_stays_readable():
    """Fails if a release of constriction or NumPy, or a change of ours, decodes with other probabilities."""
    array = kernel((3, 3, 4, 8))
    codebook = np.unique(array[array != 0])
    indices = decode_indices(decoder_of(bytes.fromhex(KNOWN)), array.shape, codebook)
    np.testing.assert_array_equal(np.concatenate([[0], codebook])[indices], array)


QUICK = ("lenet5", "squeezenet1_0", "mobilenet_v1")


@pytest.mark.parametrize(
    "name",
    [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in sorted({*representatives("family")} - {*QUICK}))],
)
def test_every_family_round_trips(name, tmp_path):
    model = build_twin(name)
    fill(model)
    arrays = {}
    for key, target in weight_targets(model).items():
        array = np.asarray(target.variable.numpy(), np.float32)
        small = array.ndim > 1 and array.size < 20_000
        arrays[key] = kernel(array.shape, seed=len(arrays)) if small else array
    path = tmp_path / "twin.knc"
    write_knc(path, arrays, network=name, preprocessing=model.preprocessing.as_plain())
    copy = build_twin(name)
    load_weights(copy, path)
    assert copy.preprocessing == model.preprocessing
    for key, target in weight_targets(copy).items():
        assert target.variable.numpy().tobytes() == (arrays[key] + 0.0).tobytes(), key


def small_file(path, preprocessing=None) -> bytes:
    arrays = {"a.weight": kernel((3, 3, 4, 8)), "a.bias": np.linspace(-1, 1, 8), "b.weight": kernel((32, 10))}
    write_knc(path, arrays, network="net", preprocessing=preprocessing)
    return path.read_bytes()


def read_all(path) -> dict:
    with open_checkpoint(path) as checkpoint:
        return {name: checkpoint[name] for name in checkpoint}


def sealed(content: bytes) -> bytes:
    """Content with a checksum that fits."""
    return content[:6] + hashlib.sha256(content[38:]).digest() + content[38:]


def test_damaged_files_cause_one_line(tmp_path):
    """1,000 damaged files, half of them with a checksum that fits: an error of one line, or another array."""
    path, draw = tmp_path / "net.knc", np.random.default_rng(0)
    whole = small_file(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    errors = 0
    for number in range(1000):
        content = bytearray(whole)
        if number % 4 == 0:
            content = content[: draw.integers(len(content))]
        else:
            for place in draw.integers(len(content), size=draw.integers(1, 6)):
                content[place] = draw.integers(256)
        path.write_bytes(sealed(bytes(content)) if number % 2 and len(content) > 38 else bytes(content))
        try:
            read_all(path)
        except ValueError as error:
            assert len(str(error).splitlines()) == 1 and path.name in str(error)
            errors += 1
        else:
            assert number % 2 or bytes(content) == whole
    assert errors > 600
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def with_table(whole: bytes, change) -> bytes:
    (length,) = struct.unpack_from("<I", whole, 38)
    table = json.loads(zlib.decompress(whole[42 : 42 + length]))
    change(table)
    table = zlib.compress(json.dumps(table).encode())
    return sealed(whole[:38] + struct.pack("<I", len(table)) + table + whole[42 + length :])


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t: t["arrays"][0].__setitem__(1, [2**20, 2**20]), "times as many"),
        (lambda t: t["arrays"][0].__setitem__(1, [3, -3, 4, 8]), "positive sizes"),
        (lambda t: t["arrays"][0].__setitem__(4, 2**40), "positive sizes"),
        (lambda t: t["arrays"][0].__setitem__(4, 1), "end at"),
        (lambda t: t["arrays"][0].__setitem__(2, "pickle"), "unknown coding"),
        (lambda t: t["arrays"][0][3].update(k=10**9), "no codebook"),
        (lambda t: t["arrays"][0][3].update(axes=[0, 0, 0, 0]), "order of axes"),
        (lambda t: t["arrays"].append(t["arrays"][0]), "two of one name"),
        (lambda t: t.pop("arrays"), "arrays"),
    ],
)
def test_a_table_that_lies_is_refused(tmp_path, change, words):
    path = tmp_path / "net.knc"
    path.write_bytes(with_table(small_file(path), change))
    with pytest.raises(ValueError, match=words):
        read_all(path)


def test_a_table_that_inflates_without_end_is_refused(tmp_path):
    path = tmp_path / "net.knc"
    whole, bomb = small_file(path), zlib.compress(bytes(2**26))
    path.write_bytes(sealed(whole[:38] + struct.pack("<I", len(bomb)) + bomb))
    with pytest.raises(ValueError, match="damaged table"):
        read_all(path)


def test_a_failed_write_leaves_the_former_file(tmp_path):
    path = tmp_path / "net.knc"
    former = small_file(path)
    with pytest.raises(ValueError, match="rounded"):
        write_knc(path, {"a.weight": np.full((2, 2), 0.1)}, network="net", mantissa=4)
    script = (
        "import resource, signal, sys, numpy as np; from kerasnets.weights.knc import write_knc\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_knc(sys.argv[1], {'a': np.random.default_rng(0).normal(size=2000)}, network='net')"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert "OSError: Could not write" in done.stderr
    assert path.read_bytes() == former and os.listdir(tmp_path) == ["net.knc"]


def test_huffman_is_chosen_by_size_and_decoded(tmp_path):
    array = kernel((40, 50), density=0.02, codebook=3)
    codings = {}
    for coding, options, code in knc._shared(array, np.unique(array[array != 0]), 23):
        stored = read_contents_row(tmp_path, coding, options, code, array.shape)
        np.testing.assert_array_equal(decode_array(stored, code), array)
        codings.setdefault(coding, len(code))
    assert set(codings) == {"range", "huffman"}
    assert len(encode_array(array)[2]) <= min(codings.values())


def read_contents_row(tmp_path, coding, options, code, shape):
    small_file(tmp_path / "net.knc", Preprocessing().as_plain())
    row = read_contents(tmp_path / "net.knc").arrays[0]
    return row._replace(shape=shape, coding=coding, options=options, bytes=len(code))


def net_file() -> tuple[bytes, dict]:
    """A file in the format of the published one, and its tensors."""
    draw, tensors, counts, parts = np.random.default_rng(0), {}, [], []
    for name, shape in _shapes().items():
        size = int(np.prod(shape))
        places = np.sort(draw.choice(size, size=min(size, 50), replace=False))
        codebook = np.concatenate([[0], draw.normal(size=255)]).astype("<f4")
        gaps, indices, at = [], [], -1
        for place in places:
            while place - at > 16:
                gaps.append(15), indices.append(0)
                at += 16
            gaps.append(place - at - 1), indices.append(draw.integers(1, 256))
            at = place
        kernel_, bias = np.zeros(size, np.float32), draw.normal(size=shape[0]).astype("<f4")
        kernel_[np.cumsum(np.array(gaps) + 1) - 1] = codebook[indices]
        tensors |= {f"{name}.weight": kernel_.reshape(shape), f"{name}.bias": bias}
        pairs = np.array([*gaps, 0])[: len(gaps) + len(gaps) % 2].reshape(-1, 2)
        counts.append(len(gaps))
        packed = (pairs[:, 0] | pairs[:, 1] << 4).astype(np.uint8)
        parts += [codebook.tobytes(), bias.tobytes(), np.array(indices, np.uint8).tobytes(), packed.tobytes()]
    return np.array(counts, "<u4").tobytes() + b"".join(parts), tensors


def test_the_published_squeezenet_file_is_read(tmp_path):
    path = tmp_path / "squeezenet.net"
    content, tensors = net_file()
    path.write_bytes(content)
    found = read_all(path)
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor)


@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: b"", lambda c: c[:3] + b"\xff" + c[4:]])
def test_a_damaged_net_file_is_refused(tmp_path, damage):
    path = tmp_path / "squeezenet.net"
    path.write_bytes(damage(net_file()[0]))
    with pytest.raises(ValueError, match="is not the compressed SqueezeNet"):
        read_all(path)
