"""What happens to a logit when parts of the image are hidden: occlusion and RISE."""

import keras
import numpy as np
from keras import ops

from kerasnets.explain.network import all_logits, batches, checked, same_images


def occlusion(  # noqa: PLR0913 (the arguments of every method, and its own)
    model: keras.Model,
    images,
    target=None,
    layer: None = None,
    *,
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    fill=0.0,
    per_pixel: bool = False,
    batch_size: int = 32,
) -> np.ndarray:
    """Returns how much the logit falls when a window hides a part of the image.

    Windows go from the top left, left to right, and never over the edge. The paper gives neither size nor stride nor
    grey value of its square; by default the window is a quarter of the image, the stride an eighth, and it is filled
    with 0, the mean colour of normalised pixels.

    Args:
        model, images, target: as for `kerasnets.explain.grad_cam`.
        layer: not used; `None`.
        window, stride: pixels, a number or (height, width).
        fill: value of hidden pixels, a number or one for each channel.
        per_pixel: return maps as large as the images instead, in which a pixel has the mean of all windows over it.
        batch_size: forward passes at a time.

    Returns:
        float32 (batch, rows of windows, columns of windows), or (batch, height, width) with `per_pixel`.

    Raises:
        ValueError: for arguments that do not fit the model, or a window larger than the images.
        MemoryError: for a batch that does not fit into memory.

    Source: Zeiler and Fergus 2013, section 4.2, https://arxiv.org/abs/1311.2901
    """
    images, target = checked(model, images, target)
    _no_layer(layer)
    sides = images.shape[1:3]
    window, stride = _sides("window", window, sides, 4), _sides("stride", stride, sides, 8)
    if window[0] > sides[0] or window[1] > sides[1]:
        raise ValueError(f"`window` should fit into the images, {sides}. Received: window={window}")
    tops, lefts = (range(0, side - w + 1, s) for side, w, s in zip(sides, window, stride, strict=True))
    boxes = [(top, left) for top in tops for left in lefts]
    before, maps = all_logits(model, images, batch_size), [None] * len(images)
    aims = before.argmax(axis=1) if target is None else target
    for equal in same_images(images):
        after = []
        for part in batches(len(boxes), batch_size):
            hidden = np.repeat(images[equal[:1]], part.stop - part.start, axis=0)
            for copy, (top, left) in zip(hidden, boxes[part], strict=True):
                copy[top : top + window[0], left : left + window[1]] = fill
            after.append(all_logits(model, hidden, batch_size))
        for number in equal:
            drops = before[number, aims[number]] - np.concatenate(after)[:, aims[number]]
            spread = per_pixel and _spread(drops, boxes, window, sides)
            maps[number] = spread if per_pixel else drops.reshape(len(tops), len(lefts))
    return np.stack(maps)


def _spread(drops, boxes, window, sides) -> np.ndarray:
    """Returns the mean drop of the windows over each pixel; a pixel that no window covers has 0."""
    total, count = np.zeros(sides, "float32"), np.zeros(sides, "float32")
    for drop, (top, left) in zip(drops, boxes, strict=True):
        area = np.s_[top : top + window[0], left : left + window[1]]
        total[area] += drop
        count[area] += 1
    return total / np.maximum(count, 1)


def _sides(name: str, value, sides, share: int) -> tuple[int, int]:
    pair = tuple(max(1, side // share) for side in sides) if value is None else tuple(np.broadcast_to(value, 2))
    if any(int(number) != number or number < 1 for number in pair):
        raise ValueError(f"`{name}` should be one or two positive integers. Received: {name}={value!r}")
    return int(pair[0]), int(pair[1])


def rise(  # noqa: PLR0913 (the arguments of every method, and its own)
    model: keras.Model,
    images,
    target=None,
    layer: None = None,
    *,
    masks: int = 2000,
    cells: int = 7,
    share: float = 0.5,
    seed: int = 0,
    batch_size: int = 32,
) -> np.ndarray:
    """Returns the mean of random masks, weighted with the logit of the image seen through each.

    A mask is a coarse grid of zeros and ones, enlarged (bilinear) and shifted at random. The mean of all logits is
    subtracted first: this changes the map by a constant on average and makes it less noisy.

    Args:
        model, images, target: as for `kerasnets.explain.grad_cam`.
        layer: not used; `None`.
        masks: number of masks. The paper takes 4,000 to 8,000.
        cells: rows and columns of the coarse grid.
        share: of ones, between 0 and 1.
        seed: of the masks; they are the same for every image.
        batch_size: forward passes at a time.

    Returns:
        float32 (batch, height, width).

    Raises:
        ValueError: for arguments that do not fit the model, or out of range.
        MemoryError: for a batch that does not fit into memory.

    Source: Petsiuk et al. 2018, section 3, https://arxiv.org/abs/1806.07421, with logits as scores
    """
    if masks < 1 or cells < 1 or not 0 < share < 1:
        raise ValueError(
            "`masks` and `cells` are at least 1, `share` is between 0 and 1. "
            f"Received: masks={masks}, cells={cells}, share={share}"
        )
    images, target = checked(model, images, target)
    _no_layer(layer)
    before = all_logits(model, images, batch_size)
    aims = before.argmax(axis=1) if target is None else target
    scores, total = np.zeros((len(images), masks), "float32"), np.zeros(images.shape[:3], "float32")
    parts, groups = list(batches(masks, batch_size)), same_images(images)
    for part in parts:
        drawn = _masks(part, images.shape[1:3], cells, share, seed)
        for equal in groups:
            logits = all_logits(model, images[equal[0]] * drawn[..., None], batch_size)
            for number in equal:
                scores[number, part] = logits[:, aims[number]]
    weights = scores - scores.mean(axis=1, keepdims=True)
    for part in parts:  # the same masks again: a seed each, so that they need not be kept
        total += np.tensordot(weights[:, part], _masks(part, images.shape[1:3], cells, share, seed), 1)
    return total / (masks * share)


def _masks(part: slice, sides, cells: int, share: float, seed: int) -> np.ndarray:
    """Returns masks number `part.start` to `part.stop`, float32 (masks, height, width); each has a seed of its own."""
    grids, shifts = [], []
    cell = [-(-side // cells) for side in sides]
    for number in range(part.start, part.stop):
        draw = np.random.default_rng((seed, number))
        grids.append(draw.random((cells + 1, cells + 1)) < share)
        shifts.append([draw.integers(0, side) for side in cell])
    size = [(cells + 1) * side for side in cell]
    coarse = ops.convert_to_tensor(np.stack(grids)[..., None].astype("float32"))
    large = ops.convert_to_numpy(ops.image.resize(coarse, size, "bilinear"))[..., 0]
    height, width = sides
    return np.stack([m[top : top + height, left : left + width] for m, (top, left) in zip(large, shifts, strict=True)])


def _no_layer(layer) -> None:
    if layer is not None:
        raise ValueError(
            f"This method hides pixels and looks at no layer; leave `layer` out. Received: layer={layer!r}"
        )
