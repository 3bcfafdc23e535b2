"""Code the codebook indices of a kernel with probabilities that come from the indices before them.

The kernel has four axes, (inputs, height, width, outputs), and its indices are coded row by row; a row has the same
place in all axes but the last. Of each row come first the zeros (index 0, a weight that is zero), then the signs, then
the numbers of the centroids. The probabilities depend on

* the weights left of, above and beside the place in the same filter. Those of trained networks are alike: in the last
  3x3 layer of SqueezeNet their correlation is 0.7;
* in a kernel without height and width, the rows just before;
* how many weights of the same output, and of the same input, are not zero so far, how large they are, and their sum.

The probability of a zero, and of a sign, is a logistic function of these features. The encoder fits its coefficients
and stores them. The numbers of the centroids are counted while they are coded, in classes by their probable magnitude.

Features and coefficients are integers, so that a decoder has the same sums on every machine.
"""

from typing import NamedTuple

import numpy as np

from kerasnets.weights.range_coding import (
    Bernoulli,
    Categorical,
    Histogram,
    decode_floats,
    encode_floats,
    exponential,
    rounded,
)

# Neighbours in the filter: (rows up, columns left).
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0))
_ONE = 64  # the integer that stands for 1 in a feature, and for the magnitude of an average weight that is not zero
_COEFFICIENT = 1024  # the integer that stands for 1 in a coefficient
_TRUST = 20  # so many average weights are added to what is counted
_CLASSES = 4
_FITTED = 300_000  # coefficients are fitted on about so many weights
_MANTISSA = 7  # bits of a stored coefficient
_SHIFTS = (1, 2, 4)  # moving averages forget a half, a quarter, a sixteenth with each row
_STEPS, _LARGEST = 64, 12  # a logit of the table of probabilities has this resolution and range


class Parameters(NamedTuple):
    """What the encoder finds out about a kernel and stores.

    Attributes:
        general: the share of weights that are not zero, and their mean magnitude.
        zeros: coefficients of the zeros, [features].
        signs: coefficients of the signs, [features].
        bounds: limits of the classes, [_CLASSES - 1], in units of the table of probabilities.
    """

    general: np.ndarray
    zeros: np.ndarray
    signs: np.ndarray
    bounds: np.ndarray

    @classmethod
    def sizes(cls, shape) -> tuple[int, int, int, int]:
        """Returns how many numbers each attribute has."""
        return (2, *((21, 15) if shape[1] * shape[2] > 1 else (7, 5)), _CLASSES - 1)


class Features:
    """The features of the next row of a kernel, as integers."""

    def __init__(self, shape: tuple[int, int, int, int], density: float):
        self.area, self.width, self.outputs = shape[1] * shape[2], shape[2], shape[3]
        self.row, self.filter = 0, {}
        self.ones = np.full(self.outputs, _ONE, np.int64)
        self.expected = np.array([[density], [density], [0.0]]) * _ONE * _TRUST
        self.expected = self.expected.astype(np.int64)
        self.of_outputs = np.zeros((3, self.outputs), np.int64)  # not zero, magnitudes, sums; 64 stands for 1
        self.of_input = np.zeros((3, 1), np.int64)
        self.averages = np.zeros((len(_SHIFTS), 2, self.outputs), np.int64)  # magnitudes, weights

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the features of the zeros and of the signs, [features, outputs] each."""
        share, size, total = (self.of_outputs + self.expected) // (self.row + _TRUST)
        if self.area == 1:
            magnitudes, weights = self.averages[:, 0], self.averages[:, 1]
            zeros = [self.ones, share, size, *magnitudes, np.abs(weights[1])]
            return np.stack(zeros), np.stack([self.ones, total, *weights])
        place = self.row % self.area
        if place == 0:
            self.of_input[:], self.filter, self.whole = 0, {}, np.zeros(self.outputs, np.int64)
        y, x = divmod(place, self.width)
        near = np.zeros((len(_NEIGHBOURS), self.outputs), np.int64)
        inside = np.zeros((2, self.outputs), np.int64)
        for number, (up, left) in enumerate(_NEIGHBOURS):
            if (y - up, x - left) in self.filter:
                near[number] = self.filter[y - up, x - left]
                inside[number : number + 1] = _ONE  # left and above
        means = np.broadcast_to((self.of_input + self.expected) // (place * self.outputs + _TRUST), (3, self.outputs))
        # What the weight would be if its differences to left and above, or to the diagonal, went on.
        guesses = np.stack([near[0] + near[1], near[0] + near[1] - near[2], self.whole])
        place = np.full((1, self.outputs), place * _ONE // self.area)
        of_zeros = [[self.ones, share, size], means[:2], np.abs(near), (near[:4] != 0) * _ONE, inside]
        of_zeros += [np.minimum(np.abs(guesses), 8 * _ONE), place]
        of_signs = [[self.ones, total], means[2:], near, guesses[2:], np.sign(near[:4]) * _ONE]
        return np.concatenate(of_zeros), np.concatenate([*of_signs, np.sign(guesses[2:]) * _ONE])

    def add(self, values: np.ndarray) -> None:
        """Adds a row of integer weights."""
        sums = np.stack([(values != 0) * _ONE, np.abs(values), values])
        self.of_outputs += sums
        if self.area > 1:
            self.of_input += sums.sum(1, keepdims=True)
            self.filter[divmod(self.row % self.area, self.width)] = values
            self.whole = self.whole + values
        else:
            for shift, average in zip(_SHIFTS, self.averages, strict=True):
                average += (sums[1:] * 4 - average) >> shift  # 4: small averages keep some precision
        self.row += 1


class Writer:
    """Encodes what it is given."""

    def __init__(self, encoder):
        self.encoder = encoder

    def bits(self, probabilities: np.ndarray, bits: np.ndarray) -> np.ndarray:
        """Encodes bits, each with the probability that it is 1."""
        self.encoder.encode(bits.astype(np.int32), Bernoulli(perfect=False), probabilities)
        return bits

    def symbols(self, probabilities: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Encodes symbols, each with its own probabilities, [symbols, size]."""
        self.encoder.encode(symbols.astype(np.int32), Categorical(perfect=False), probabilities)
        return symbols


class Reader:
    """Decodes what a `Writer` encoded. It is given `None` for what is to be coded."""

    def __init__(self, decoder):
        self.decoder = decoder

    def bits(self, probabilities: np.ndarray, bits=None) -> np.ndarray:
        """Returns the next bits."""
        return self.decoder.decode(Bernoulli(perfect=False), probabilities) != 0

    def symbols(self, probabilities: np.ndarray, symbols=None) -> np.ndarray:
        """Returns the next symbols."""
        return self.decoder.decode(Categorical(perfect=False), probabilities)


def encode_indices(encoder, indices: np.ndarray, centroids: np.ndarray) -> None:
    """Encodes codebook indices.

    Args:
        indices: (inputs, height, width, outputs); 0 is the weight 0, `i` is `centroids[i - 1]`.
        centroids: ascending, without 0.
    """
    found = fit(indices, centroids)
    for numbers, mantissa in zip(found, (23, _MANTISSA, _MANTISSA, _MANTISSA), strict=True):
        encode_floats(encoder, numbers, mantissa)
    _code(Writer(encoder), indices.shape, centroids, found, indices.reshape(-1, indices.shape[-1]))


def decode_indices(decoder, shape: tuple[int, int, int, int], centroids: np.ndarray) -> np.ndarray:
    """Returns the indices that `encode_indices` encoded."""
    sizes, mantissas = Parameters.sizes(shape), (23, _MANTISSA, _MANTISSA, _MANTISSA)
    found = [decode_floats(decoder, size, bits) for size, bits in zip(sizes, mantissas, strict=True)]
    return _code(Reader(decoder), shape, centroids, Parameters(*found)).reshape(shape)


def _code(coder: Writer | Reader, shape, centroids: np.ndarray, found: Parameters, indices=None) -> np.ndarray:
    """Codes all rows and returns the indices."""
    if not all(np.isfinite(numbers).all() for numbers in found) or not 0 <= found.general[0] <= 1:
        raise ValueError("its coefficients are out of range")
    values, negative = integers(centroids, found), int((centroids < 0).sum())
    features, table = Features(shape, float(found.general[0])), _probabilities()
    of_zeros, of_signs = _integers(found.zeros), _integers(found.signs)
    # Groups by sign and class; the numbers of the centroids of a sign begin with 0.
    histogram = Histogram(centroid_priors(centroids, found), _CLASSES)
    dense, one_sign = found.general[0] >= 1, negative in (0, len(centroids))
    bounds = np.rint(np.clip(found.bounds, -1e6, 1e6)).astype(np.int64)
    result = np.zeros((shape[0] * shape[1] * shape[2], shape[3]), np.int64)
    for number, row in enumerate(result):
        zeros, signs = features.next()
        known = None if indices is None else indices[number]
        present = slice(None) if dense else coder.bits(_look_up(table, of_zeros @ zeros), _compared(known, 0))
        logits = (of_signs @ signs)[present] // (_ONE * _COEFFICIENT // _STEPS)
        known = None if known is None else known[present]
        positive = coder.bits(table[_place(logits)], _compared(known, negative)) if not one_sign else negative == 0
        towards = np.where(positive, logits, -logits)
        groups = np.searchsorted(bounds, towards) + _CLASSES * positive
        first = 1 + negative * positive
        symbols = coder.symbols(histogram.probabilities[groups], None if known is None else known - first)
        histogram.add(groups, symbols)
        row[present] = symbols + first
        features.add(values[row])
    return result


def _compared(known, limit: int):
    return None if known is None else known > limit


def centroid_priors(centroids: np.ndarray, found: Parameters) -> np.ndarray:
    """Returns the counts that the numbers of the centroids of either sign begin with, [2, size].

    They fall with the distance from 0.
    """
    c = centroids.astype(np.float64)
    negative, size = int((c < 0).sum()), max((c < 0).sum(), (c > 0).sum(), 2)
    z = c / float(found.general[1])
    weights = 1.0 / (1.0 + np.minimum(z * z, 1e4) / 2)
    priors = np.zeros((2, size))
    for sign, part in enumerate((weights[:negative], weights[negative:])):
        if len(part):
            part = np.rint(part * 2**20)  # exact sums
            priors[sign, : len(part)] = 2.0 * len(part) * part / part.sum() + 0.1
    return priors


def integers(centroids: np.ndarray, found: Parameters) -> np.ndarray:
    """Returns the weight of each index as an integer that is not 0."""
    whole = np.rint(centroids.astype(np.float64) / float(found.general[1]) * _ONE)
    whole = np.sign(centroids) * np.clip(np.abs(whole), 1, 8 * _ONE)
    return np.concatenate([[0], whole]).astype(np.int64)


def _integers(coefficients: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(coefficients.astype(np.float64), -1e4, 1e4) * _COEFFICIENT).astype(np.int64)


def _probabilities() -> np.ndarray:
    """Returns the logistic function of the logits -_LARGEST to _LARGEST, `_STEPS` to a unit."""
    logits = np.arange(-_LARGEST * _STEPS, _LARGEST * _STEPS + 1) / _STEPS
    return np.clip(1.0 / (1.0 + exponential(-logits)), 2.0**-14, 1 - 2.0**-14).astype(np.float32)


def _place(logits: np.ndarray) -> np.ndarray:
    return np.clip(logits, -_LARGEST * _STEPS, _LARGEST * _STEPS) + _LARGEST * _STEPS


def _look_up(table: np.ndarray, sums: np.ndarray) -> np.ndarray:
    return table[_place(sums // (_ONE * _COEFFICIENT // _STEPS))]


def fit(indices: np.ndarray, centroids: np.ndarray) -> Parameters:
    """Returns the parameters of a kernel."""
    rows, sizes = indices.reshape(-1, indices.shape[-1]), Parameters.sizes(indices.shape)
    there, magnitudes = rows != 0, np.abs(np.concatenate([[0.0], centroids]))
    mean = magnitudes[rows[there]].mean() if there.any() else 1.0
    empty = [np.zeros(size, np.float32) for size in sizes]
    found = Parameters(np.array([there.mean(), mean], np.float32), *empty[1:])
    if not there.any():
        return found
    zeros, signs, rows = _sample(indices, integers(centroids, found), found)
    there, negative = rows != 0, int((centroids < 0).sum())
    positive = rows[there] > negative
    of_zeros = _fit_logistic(zeros / _ONE, there) if found.general[0] < 1 else found.zeros
    of_signs = _fit_logistic(signs[:, there] / _ONE, positive)
    logits = _integers(of_signs) @ signs[:, there] // (_ONE * _COEFFICIENT // _STEPS)
    bounds = np.quantile(np.where(positive, logits, -logits), np.arange(1, _CLASSES) / _CLASSES)
    return Parameters(found.general, of_zeros, of_signs, rounded(bounds, _MANTISSA))


def _sample(indices: np.ndarray, values: np.ndarray, found: Parameters) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the features of zeros and signs, [features, n] each, and the indices [n], of some rows."""
    features, chosen = Features(indices.shape, float(found.general[0])), []
    step = -(-indices.size // _FITTED)
    for number, row in enumerate(indices.reshape(-1, indices.shape[-1])):
        if number // features.area % step == 0:
            chosen.append((*features.next(), row))
        elif number % features.area == 0:
            features.next()
        features.add(values[row])
    return tuple(np.concatenate(parts, axis=-1) for parts in zip(*chosen, strict=True))


def _fit_logistic(features: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Returns the coefficients of a logistic regression, by Newton's method with a weak penalty."""
    coefficients = np.zeros(len(features))
    for _ in range(8):
        p = 1.0 / (1.0 + np.exp(-np.clip(coefficients @ features, -12, 12)))
        gradient = features @ (bits - p) - coefficients
        curvature = (features * (p * (1 - p))) @ features.T + np.eye(len(features))
        coefficients = coefficients + np.linalg.solve(curvature, gradient)
    return rounded(coefficients, _MANTISSA)
