"""Code arrays of numbers and of small integers with a range coder, in a form that only needs to know their shapes.

The range coder is that of the library constriction. The probabilities are computed here, from what is already coded, so
that a decoder computes the same ones. They are products and quotients of float64, which IEEE 754 defines to the last
bit (`exp` and `log` it does not), and sums that are exact in any order.
"""

import constriction
import numpy as np

RangeEncoder, RangeDecoder = constriction.stream.queue.RangeEncoder, constriction.stream.queue.RangeDecoder
Bernoulli, Categorical = constriction.stream.model.Bernoulli, constriction.stream.model.Categorical
Uniform = constriction.stream.model.Uniform
# Symbols are coded in blocks; the probabilities of a block come from the counts of the blocks before it.
_FIRST_BLOCK = 8
# The symbols are taken together in so many intervals for what is known of a group alone.
_INTERVALS = 16
# Weights are mostly between 2^-15 and 2; signs and exponents of float32, and the bits of distances between neighbours.
_EXPONENTS = tuple(0.4 if 112 <= symbol % 256 <= 127 else 0.01 for symbol in range(512))
_WIDTHS = tuple(0.4 if 5 <= width <= 20 else 0.05 for width in range(34))


class Histogram:
    """Adaptive probabilities of symbols, of each group from the symbols of that group before.

    The groups of one kind share its counts. A group has counts of its own of 16 intervals of symbols, by which the
    probabilities of its kind are multiplied. `probabilities` [kinds * groups, size] are computed again whenever an
    eighth more symbols were seen.

    Args:
        priors: the counts that each kind begins with, [kinds, size].
        groups: the groups of a kind.
    """

    def __init__(self, priors, groups: int = 1):
        # Multiples of 2^-10: their sums are exact in any order.
        self.priors = np.maximum(np.rint(np.asarray(priors, np.float64) * 1024), 1.0) / 1024
        self.counts = np.zeros((len(self.priors), groups, self.priors.shape[1]))
        self.seen, self.due = 0, 0
        self._compute()

    def _compute(self) -> None:
        kinds = (self.counts.sum(1) + self.priors)[:, None]
        total = kinds.sum(2, keepdims=True)
        found = kinds / total
        if self.counts.shape[1] > 1:
            size = self.counts.shape[2]
            starts = np.unique(np.arange(_INTERVALS) * size // _INTERVALS)
            shares = np.add.reduceat(kinds, starts, 2) / total
            own = np.add.reduceat(self.counts, starts, 2)
            factors = (own + 32.0 * shares) / (own.sum(2, keepdims=True) + 32.0) / shares
            found = found * np.repeat(factors, np.diff([*starts, size]), 2)
        self.probabilities = found.reshape(-1, found.shape[2]).astype(np.float32)

    def add(self, groups: np.ndarray, symbols: np.ndarray) -> None:
        """Counts symbols of the groups (numbered through all kinds)."""
        counted = np.bincount(groups * self.counts.shape[2] + symbols, minlength=self.counts.size)
        self.counts += counted.reshape(self.counts.shape)
        self.seen += len(symbols)
        if self.seen >= self.due:
            self.due = self.seen + self.seen // 8 + _FIRST_BLOCK
            self._compute()


def exponential(x: np.ndarray) -> np.ndarray:
    """Returns e^x, nearly: (1 + x/1024)^1024, the same on every machine."""
    y = 1.0 + np.clip(x, -12.0, 12.0) / 1024.0
    for _ in range(10):
        y = y * y
    return y


def blocks(count: int):
    """Yields the (start, end) of the blocks that symbols are coded in: each is as long as a quarter of those before."""
    start = 0
    while start < count:
        end = min(count, start + max(_FIRST_BLOCK, start // 4))
        yield start, end
        start = end


def encode_symbols(encoder, symbols: np.ndarray, prior) -> None:
    """Encodes integers; `prior` holds the counts that their probabilities begin with."""
    histogram = Histogram([prior])
    symbols = np.ascontiguousarray(symbols, np.int32)
    for start, end in blocks(len(symbols)):
        encoder.encode(symbols[start:end], Categorical(histogram.probabilities[0], perfect=False))
        histogram.add(0, symbols[start:end])


def decode_symbols(decoder, count: int, prior) -> np.ndarray:
    """Returns `count` integers that `encode_symbols` encoded."""
    histogram, symbols = Histogram([prior]), np.zeros(count, np.int32)
    for start, end in blocks(count):
        model = Categorical(histogram.probabilities[0], perfect=False)
        symbols[start:end] = decoder.decode(model, end - start)
        histogram.add(0, symbols[start:end])
    return symbols


def encode_bits(encoder, values: np.ndarray, widths: np.ndarray) -> None:
    """Encodes the lowest `widths` bits of each value (at most 32) as they are."""
    for low, shift in ((widths > 16, 16), (widths > 0, 0)):
        for width in np.unique(widths[low]):
            of_width = values[widths == width].astype(np.int64) >> shift
            bits = int(width) - 16 if shift else min(int(width), 16)
            encoder.encode((of_width & (2**bits - 1)).astype(np.int32), _uniform(bits))


def decode_bits(decoder, widths: np.ndarray) -> np.ndarray:
    """Returns the values of `encode_bits`."""
    values = np.zeros(len(widths), np.int64)
    for low, shift in ((widths > 16, 16), (widths > 0, 0)):
        for width in np.unique(widths[low]):
            bits = int(width) - 16 if shift else min(int(width), 16)
            of_width = widths == width
            values[of_width] |= decoder.decode(_uniform(bits), int(of_width.sum())).astype(np.int64) << shift
    return values


def _uniform(bits: int):
    return Uniform(2**bits)


def encode_floats(encoder, values: np.ndarray, mantissa: int = 23) -> None:
    """Encodes float32 numbers whose mantissas have `mantissa` bits; see `rounded`.

    Sign and exponent are one symbol, the bits of the mantissa are stored as they are.
    """
    bits = _pattern(values, mantissa)
    encode_symbols(encoder, bits >> mantissa, _EXPONENTS)
    encode_bits(encoder, bits, np.full(len(bits), mantissa))


def decode_floats(decoder, count: int, mantissa: int = 23) -> np.ndarray:
    """Returns the float32 numbers of `encode_floats`."""
    high = decode_symbols(decoder, count, _EXPONENTS).astype(np.int64) << mantissa
    return _floats(high | decode_bits(decoder, np.full(count, mantissa)), mantissa)


def encode_ascending(encoder, values: np.ndarray, mantissa: int = 23) -> None:
    """Encodes different float32 numbers in ascending order: the distances between their bit patterns."""
    steps = np.diff(_in_order(_pattern(values, mantissa), mantissa), prepend=0)
    widths = np.frexp(steps.astype(np.float64))[1]  # the number of bits of each
    encode_symbols(encoder, widths, _WIDTHS)
    encode_bits(encoder, steps, np.maximum(widths - 1, 0))


def decode_ascending(decoder, count: int, mantissa: int = 23) -> np.ndarray:
    """Returns the float32 numbers of `encode_ascending`."""
    widths = decode_symbols(decoder, count, _WIDTHS)
    low = np.maximum(widths - 1, 0)
    steps = decode_bits(decoder, low) | (np.int64(1) << low) * (widths > 0)
    return _floats(_in_order(np.cumsum(steps), mantissa, back=True), mantissa)


def _pattern(values: np.ndarray, mantissa: int) -> np.ndarray:
    """Returns sign, exponent and the first `mantissa` bits of the mantissa of float32 numbers as one integer."""
    return np.ascontiguousarray(values, "<f4").ravel().view("<u4").astype(np.int64) >> (23 - mantissa)


def _floats(pattern: np.ndarray, mantissa: int) -> np.ndarray:
    return ((pattern << (23 - mantissa)) & 0xFFFFFFFF).astype("<u4").view("<f4")


def _in_order(pattern: np.ndarray, mantissa: int, *, back: bool = False) -> np.ndarray:
    """Returns the patterns of floats changed so that integers and floats have one order, or the way `back`."""
    top = 1 << (8 + mantissa)
    return np.where((pattern & top == 0) if back else (pattern & top != 0), ~pattern & (2 * top - 1), pattern ^ top)


def rounded(values: np.ndarray, mantissa: int) -> np.ndarray:
    """Returns float32 numbers rounded to `mantissa` bits after the first; 23 leaves them as they are."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.int64)
    cut = 23 - mantissa
    bits = ((bits + (1 << cut >> 1)) >> cut) << cut
    return np.minimum(bits, 0xFFFFFFFF).astype(np.uint32).view(np.float32).reshape(np.shape(values))


def finished(encoder) -> bytes:
    """Returns the code of an encoder, without the zero bytes at its end."""
    return encoder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


def decoder_of(code: bytes):
    """Returns a decoder of the bytes that `finished` gave."""
    return RangeDecoder(np.frombuffer(code + bytes(-len(code) % 4), "<u4").astype(np.uint32))
