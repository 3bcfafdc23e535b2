"""The three forms of ResNeXt's transformation (Xie et al. 2017, figure 3), which compute the same.

All take the third form's kernels: `reduce` (1, 1, channels, C d), `transform` (3, 3, d, C d) and `expand`
(1, 1, C d, filters) for C paths of width d, and return (batch, height, width, filters). There is a ReLU between the
convolutions. Normalisations are left out: they act on single channels and would be the same in all forms. The networks
have the third form, the fastest.
"""

from keras import ops


def split_transform_merge(x, reduce, transform, expand):
    """Figure 3a: every path from 1x1 to 1x1 on its own, then their sum."""
    return sum(_conv(path, expand_i) for path, expand_i in zip(*_paths(x, reduce, transform, expand), strict=True))


def early_concatenation(x, reduce, transform, expand):
    """Figure 3b: the paths end in their 3x3, are concatenated, and share one 1x1."""
    paths, _ = _paths(x, reduce, transform, expand)
    return _conv(ops.concatenate(paths, axis=-1), expand)


def grouped_convolution(x, reduce, transform, expand):
    """Figure 3c: one 1x1, one grouped 3x3, one 1x1."""
    y = ops.relu(_conv(x, reduce))
    return _conv(ops.relu(_conv(y, transform)), expand)


def _paths(x, reduce, transform, expand):
    """Outputs of every path's 3x3, and every path's part of the last 1x1."""
    cardinality = reduce.shape[-1] // transform.shape[2]
    first, second = ops.split(reduce, cardinality, axis=-1), ops.split(transform, cardinality, axis=-1)
    paths = [ops.relu(_conv(ops.relu(_conv(x, a)), b)) for a, b in zip(first, second, strict=True)]
    return paths, ops.split(expand, cardinality, axis=2)


def _conv(x, kernel):
    return ops.conv(x, kernel, padding="same", data_format="channels_last")
