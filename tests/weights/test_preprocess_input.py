"""`preprocess_input`: pure, for arrays and tensors of any dtype, and the same numbers as the pipeline."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from nets import build_twin, read_json

from kerasnets.data.images.per_image import normalise
from kerasnets.registry import get_variant
from kerasnets.weights.catalogue import all_checkpoints, checkpoints
from kerasnets.weights.preprocess import preprocess_input, preprocessing_of

KERAS = "keras.applications"
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype="uint8")


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
@pytest.mark.parametrize("make", [np.array, tf.constant], ids=["array", "tensor"])
def test_arrays_and_tensors_of_any_dtype(make, dtype):
    images = make(IMAGES.astype(dtype))
    result = preprocess_input(images, "efficientnet_lite0")
    assert isinstance(result, np.ndarray if make is np.array else tf.Tensor) and result.dtype == np.float32
    np.testing.assert_allclose(result, IMAGES / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(images, IMAGES.astype(dtype))
    np.testing.assert_array_equal(preprocess_input(images[0], "efficientnet_lite0"), result[0])


def keras_preprocess_input(builder: str):
    """What keras.applications does with the pixels of a network; some have it inside the model and not beside it."""
    modes = {"EfficientNet": "torch", "MobileNetV3": "tf"}
    if mode := next((mode for family, mode in modes.items() if builder.startswith(family)), None):
        return lambda x: keras.applications.imagenet_utils.preprocess_input(x, mode=mode)
    return sys.modules[getattr(keras.applications, builder).__module__].preprocess_input


PEERS = {name: found["keras.applications"] for name, found in read_json("parity_rows.json").items() if KERAS in found}


@pytest.mark.parametrize("name", PEERS)
def test_pixels_are_those_of_keras_applications(name):
    """For every checkpoint that keras.applications publishes, in `preprocess_input` and in the pipeline."""
    expected = keras_preprocess_input(PEERS[name])(IMAGES.astype("float32"))
    tags = [checkpoint.tag for checkpoint in checkpoints(name) if checkpoint.source == KERAS]
    assert tags
    for tag in tags:
        np.testing.assert_allclose(preprocess_input(IMAGES, name, tag), expected, atol=1e-4)
        np.testing.assert_allclose(normalise(IMAGES, preprocessing_of(name, tag)), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "pixel", "expected"),
    [
        # LeCun et al. 1998, section III.A: the background is -0.1, the ink 1.175.
        ("lenet5", (0,), (-0.1,)),
        ("lenet5", (255,), (1.175,)),
        # The authors' train_val.prototxt: blue, green, red less 104, 117, 123.
        ("nin", (255, 117, 0), (0 - 104, 117 - 117, 255 - 123)),
        # The mean and standard deviation that torchvision documents, for pixels from 0 to 1.
        ("resnet18", (255, 0, 51), ((1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225)),
    ],
)
def test_pixels_of_a_network_are_those_of_its_source(name, pixel, expected):
    image = np.array(pixel, np.uint8).reshape(1, 1, 1, -1)
    for result in (preprocess_input(image, name), normalise(image, preprocessing_of(name))):
        np.testing.assert_allclose(np.ravel(result), expected, atol=1e-4)


def test_every_public_checkpoint_has_its_numbers():
    for name, found in all_checkpoints().items():
        for checkpoint in found:
            image = np.full((1, 1, len(checkpoint.preprocessing.mean)), 100.0)
            mean, std = map(np.array, (checkpoint.preprocessing.mean, checkpoint.preprocessing.std))
            np.testing.assert_allclose(preprocess_input(image, name, checkpoint.tag), [[(100 - mean) / std]], rtol=1e-4)


def test_models_know_their_row():
    model = build_twin("efficientnet_lite0")
    np.testing.assert_array_equal(preprocess_input(IMAGES, model), preprocess_input(IMAGES, "efficientnet_lite0"))
    takes_pixels = build_twin("efficientnet_lite0", include_preprocessing=True)
    np.testing.assert_array_equal(preprocess_input(IMAGES, takes_pixels), IMAGES.astype("float32"))


def test_inside_a_graph():
    traced = tf.function(lambda x: preprocess_input(x, "efficientnet_lite0"))(tf.constant(IMAGES))
    np.testing.assert_allclose(traced, IMAGES / 127.5 - 1, atol=1e-6)


@pytest.mark.parametrize("scaled", [IMAGES / 255, IMAGES / 127.5 - 1], ids=["0 to 1", "-1 to 1"])
def test_pixels_that_were_scaled_are_noticed(scaled):
    with pytest.warns(UserWarning, match="look scaled already"):
        preprocess_input(scaled, "resnet18")


def test_no_warning_for_pixels(recwarn):
    preprocess_input(IMAGES, "resnet18")
    preprocess_input(np.zeros((1, 8, 8, 3), np.float32), "resnet18")
    assert not [w for w in recwarn if "scaled" in str(w.message)]


def test_a_file_called_as_a_checkpoint_has_its_numbers(tmp_path):
    caffe = checkpoints("resnet50")[0]
    assert preprocessing_of("resnet50", tmp_path / caffe.file) == caffe.preprocessing
    assert preprocessing_of("resnet50", caffe.tag) == preprocessing_of("resnet50", "imagenet") == caffe.preprocessing
    assert preprocessing_of("resnet50", "mine.safetensors") == preprocessing_of("resnet50")
    assert preprocessing_of("resnet50") == get_variant("resnet50").preprocessing != caffe.preprocessing


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((IMAGES, "resnet51"), "Did you mean 'resnet50"),
        ((IMAGES, "resnet50", "keres"), "Did you mean 'keras'"),
        ((IMAGES, "lenet5", "best"), "it has none"),
        ((IMAGES[..., :1], "resnet50"), "width, 3"),
        ((IMAGES[0, 0], "resnet50"), "width, 3"),
    ],
)
def test_wrong_requests(arguments, words):
    with pytest.raises(ValueError, match=words):
        preprocess_input(*arguments)
