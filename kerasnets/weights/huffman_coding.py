"""Huffman coding of the positions and indices of weights, as in Deep Compression (Han, Mao and Dally 2016, section 4).

Weights that are not zero are stored with the number of zeros before each, at most 15. A longer gap gets fillers with
index 0. Gaps and indices have one Huffman code each, whose counts stand before the codes.
"""

import struct

import constriction
import numpy as np

_LARGEST_GAP = 15
_EncoderTree, _DecoderTree = (
    constriction.symbol.huffman.EncoderHuffmanTree,
    constriction.symbol.huffman.DecoderHuffmanTree,
)


def gaps_and_indices(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the gaps before the stored entries, fillers included, and the indices of the entries."""
    places = np.flatnonzero(indices)
    gaps = np.diff(places, prepend=-1) - 1
    fillers = gaps // (_LARGEST_GAP + 1)
    ends = np.cumsum(fillers + 1) - 1
    entries = np.zeros(int((fillers + 1).sum()), np.int64)
    before = np.full(len(entries), _LARGEST_GAP)
    entries[ends], before[ends] = indices[places], gaps % (_LARGEST_GAP + 1)
    return before, entries


def encode_huffman(indices: np.ndarray, size: int) -> bytes:
    """Returns the code of the indices, integers below `size`; 0 is not stored."""
    parts = []
    for symbols, number in zip(gaps_and_indices(indices), (_LARGEST_GAP + 1, size), strict=True):
        counts, encoder = np.bincount(symbols, minlength=number), constriction.symbol.QueueEncoder()
        tree = _EncoderTree(counts.astype(np.float32))
        for symbol in symbols.tolist():
            encoder.encode_symbol(symbol, tree)
        words = encoder.get_compressed()[0].astype("<u4").tobytes()
        parts += [struct.pack("<II", len(symbols), len(words)), counts.astype("<u4").tobytes(), words]
    return b"".join(parts)


def decode_huffman(code: bytes, count: int, size: int) -> np.ndarray:
    """Returns the `count` indices that `encode_huffman` encoded.

    Raises:
        ValueError: for a code that does not fit.
    """
    found, start = [], 0
    for number in (_LARGEST_GAP + 1, size):
        entries, length = struct.unpack_from("<II", code, start)
        counts = np.frombuffer(code, "<u4", number, start + 8)
        words = np.frombuffer(code, "<u4", length // 4, start + 8 + 4 * number)
        start += 8 + 4 * number + length
        if entries > count or int(counts.sum()) != entries:
            raise ValueError(f"{entries:,} entries for {count:,} weights")
        tree, decoder = (
            _DecoderTree(counts.astype(np.float32)),
            constriction.symbol.QueueDecoder(words.astype(np.uint32)),
        )
        found.append(np.array([decoder.decode_symbol(tree) for _ in range(entries)], np.int64))
    if start != len(code) or len(found[0]) != len(found[1]):
        raise ValueError("the codes of positions and indices have other lengths than they say")
    places, indices = np.cumsum(found[0] + 1) - 1, np.zeros(count, np.int64)
    if len(places) and places[-1] >= count:
        raise ValueError("a position lies after the last weight")
    indices[places] = found[1]
    return indices
