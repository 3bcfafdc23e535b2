"""Does a map point at the right place: pointing games, and boxes from maps."""

from collections.abc import Callable

import keras
import numpy as np

from kerasnets.explain.metrics import decided, heatmap
from kerasnets.explain.network import checked


def grid_pointing_game(
    method: Callable, model: keras.Model, images, target=None, *, grids: int = 25, seed: int = 0
) -> dict[str, np.ndarray]:
    """Plays the pointing game on pictures of four photos, two by two: does the map of a class point at its photo?

    Each picture holds four photos of different classes. A model of fixed size gets photos of half the size, averaged
    over 2 x 2 pixels. Each photo of a picture is asked for once.

    Args:
        method: `(model, images, target) -> maps`.
        images: (photos, height, width, channels), best those that the model is sure of.
        target: the class of each photo. `None` takes the class with the largest logit.
        grids: how many pictures.

    Returns:
        `{"hits", "shares", "overlaps"}`, each (grids * 4,): whether the map's largest value lies in the photo, the
        photo's share of the positive values, and the intersection over union of the photo and `box_from_map`. For hits
        and shares 0.25 is chance. An empty map is no hit and has a share and an overlap of 0.

    Raises:
        ValueError: for photos of fewer than four classes.

    Source: Boehle et al. 2021, https://arxiv.org/abs/2104.00032
    """
    images, target = checked(model, images, target)
    target = np.asarray(decided(model, images, target))
    generator, found = np.random.default_rng(seed), []
    if len(np.unique(target)) < 4:
        raise ValueError(f"The photos should have four classes at least. Received: {len(np.unique(target))} classes")
    for _ in range(grids):
        classes = generator.choice(np.unique(target), 4, replace=False)
        photos = [images[generator.choice(np.flatnonzero(target == number))] for number in classes]
        picture = np.concatenate([np.concatenate(photos[row : row + 2], axis=1) for row in (0, 2)], axis=0)
        if model.inputs[0].shape[1] is not None:
            height, width = images.shape[1:3]
            picture = picture.reshape(height, 2, width, 2, -1).mean(axis=(1, 3))
        maps = heatmap(method(model, np.repeat(picture[None], 4, axis=0), classes.tolist()), picture.shape[:2])
        found += [_pointed(one, number) for number, one in enumerate(np.maximum(maps, 0))]
    hits, shares, overlaps = (np.array(column) for column in zip(*found, strict=True))
    return {"hits": hits, "shares": shares, "overlaps": overlaps}


def _pointed(one: np.ndarray, number: int) -> tuple[bool, float, float]:
    """Returns hit, share and overlap of a map for the photo of that number; a middle line is the first ones'."""
    if not one.any():
        return False, 0.0, 0.0
    height, width = one.shape
    rows = slice(0, -(-height // 2)) if number < 2 else slice(-(-height // 2), height)
    columns = slice(0, -(-width // 2)) if number % 2 == 0 else slice(-(-width // 2), width)
    inside = np.zeros(one.shape, bool)
    inside[rows, columns] = True
    box = rows.start, columns.start, rows.stop, columns.stop
    overlap = intersection_over_union(box, box_from_map(one))
    return bool(inside.flat[one.argmax()]), float(one[inside].sum() / one.sum()), overlap


def pointing_game(maps, boxes, *, tolerance: int = 15) -> np.ndarray:
    """Returns whether the largest value of each map lies in one of the image's boxes: the pointing game.

    Args:
        maps: at the size of the images; see `heatmap`.
        boxes: for each image a list of (top, left, bottom, right) in pixels, the ends not included.
        tolerance: pixels by which a box may be missed.

    Returns:
        bool (batch,).

    Source: Zhang et al. 2016, https://arxiv.org/abs/1608.00507
    """
    found = []
    for one, own in zip(heatmap(maps), boxes, strict=True):
        y, x = np.unravel_index(one.argmax(), one.shape)
        within = [
            top - tolerance <= y < bottom + tolerance and left - tolerance <= x < right + tolerance
            for top, left, bottom, right in own
        ]
        found.append(any(within))
    return np.array(found)


def box_from_map(map_, *, threshold: float = 0.2) -> tuple[int, int, int, int] | None:
    """Returns the box around the largest connected part of a map, (top, left, bottom, right), the ends not included.

    Args:
        map_: (height, width), at the size of the image.
        threshold: a pixel belongs to a part from this share of the largest value on.

    Returns:
        The box, or `None` for a map without a positive value.

    Source: Zhou et al. 2016, https://arxiv.org/abs/1512.04150
    """
    from scipy import ndimage

    map_ = np.asarray(map_, "float32")
    if not map_.max() > 0:
        return None
    parts, count = ndimage.label(map_ >= threshold * map_.max())
    largest = 1 + int(np.argmax(ndimage.sum_labels(np.ones_like(parts), parts, range(1, count + 1))))
    rows, columns = ndimage.find_objects(parts)[largest - 1]
    return rows.start, columns.start, rows.stop, columns.stop


def intersection_over_union(one: tuple, other: tuple) -> float:
    """Returns intersection over union of two boxes (top, left, bottom, right); ILSVRC counts 0.5 as found."""
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    common = max(height, 0) * max(width, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / (sum(areas) - common)
