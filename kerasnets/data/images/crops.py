"""Several crops of one image for evaluation, as the papers take them, and whole images for dense evaluation.

* `1`: the central crop.
* `10`: four corners and centre of the image resized by the network's crop fraction, and their mirror images (ResNet,
  section 3.4).
* `alexnet`: the same ten crops of the central square of that image (AlexNet, section 4.1).
* `144`: the image in four sizes; in each the left, central and right (or top, central and bottom) square; of each
  square its four corners, its centre and the whole square resized; and their mirror images (GoogLeNet, section 7). The
  paper's sizes 256, 288, 320 and 352 belong to crops of 224, and scale with the crop.
"""

from collections.abc import Callable

import tensorflow as tf

from kerasnets.data.images.decode import crop, to_pixels
from kerasnets.data.images.geometry import central_window, resize, resize_shorter
from kerasnets.data.images.per_image import evaluation_transform
from kerasnets.registry import Preprocessing

CROPS = {"1": 1, "10": 10, "alexnet": 10, "144": 144}
_GOOGLENET_SIZES = (256, 288, 320, 352)


def multi_crop_transform(preprocessing: Preprocessing, crops: str = "1", flip: bool = False) -> Callable:
    """Returns image -> uint8 [crops, S, S, C]; an image is the bytes of a file or uint8 [height, width, C].

    Args:
        preprocessing: size, crop fraction, interpolation and channels.
        crops: one of `CROPS`.
        flip: adds the mirror image of the central crop; the other crops always have theirs.
    """
    size, channels, method = preprocessing.size, len(preprocessing.mean), preprocessing.interpolation
    shorter = round(size / preprocessing.crop_fraction)
    central = evaluation_transform(preprocessing)

    def resized(image, shorter):
        return resize_shorter(image, shorter, method, as_pillow=True)

    def crops_of(image):
        if crops == "1":
            return [central(image)]
        image = to_pixels(image, channels)
        if crops == "144":
            squares = [square for s in _GOOGLENET_SIZES for square in _squares(resized(image, round(s * size / 224)))]
            whole = [resize(square, size, size, method, True, True) for square in squares]
            return [found for square in squares for found in _corners_and_centre(square, size)] + whole
        image = resized(image, shorter)
        if crops == "alexnet":
            image = crop(image, central_window(tf.shape(image)[0], tf.shape(image)[1], shorter))
        return _corners_and_centre(image, size)

    @tf.function(autograph=False)
    def transform(image):
        found = tf.stack(crops_of(image))
        if flip or crops != "1":
            found = tf.concat([found, tf.reverse(found, [2])], 0)
        return tf.ensure_shape(found, [CROPS[crops] * (2 if flip and crops == "1" else 1), size, size, channels])

    return transform


def whole_image_transform(preprocessing: Preprocessing, scales) -> Callable:
    """Returns image -> string [len(scales)]: the whole image with its shorter side resized to each of `scales`.

    Each string is a serialised uint8 tensor [height, width, C], because the images of a batch differ in size.
    """
    channels, method = len(preprocessing.mean), preprocessing.interpolation

    @tf.function(autograph=False)
    def transform(image):
        image = to_pixels(image, channels)
        images = [resize_shorter(image, scale, method, as_pillow=True) for scale in scales]
        return tf.stack([tf.io.serialize_tensor(image) for image in images])

    return transform


def _corners_and_centre(image, size: int) -> list:
    """Returns the crops of `image` [height, width, C] at its four corners and its centre."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    down, right = height - size, width - size
    corners = [[0, 0, size, size], [0, right, size, size], [down, 0, size, size], [down, right, size, size]]
    windows = [*(tf.stack(corner) for corner in corners), central_window(height, width, size)]
    return [crop(image, window) for window in windows]


def _squares(image) -> list:
    """Returns the squares at the start, the centre and the end of the longer side of `image`."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    side = tf.minimum(height, width)
    central = central_window(height, width, side)
    windows = [[0, 0, side, side], tf.unstack(central), [height - side, width - side, side, side]]
    return [crop(image, tf.stack(window)) for window in windows]
