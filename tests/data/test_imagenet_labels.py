"""The names of the ImageNet classes are those that keras.applications downloads."""

import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf

from kerasnets.data.labels import decode_predictions, default_labels, imagenet_classes, readable

# Of imagenet_class_index.json, as keras.applications checks its download (keras/src/applications/imagenet_utils.py).
MD5_OF_KERAS = "c2c37ea517e94d9795004a39431a14cb"


def test_classes_are_those_of_keras_applications():
    index = {str(number): list(pair) for number, pair in enumerate(imagenet_classes())}
    assert hashlib.md5(json.dumps(index).encode()).hexdigest() == MD5_OF_KERAS


def test_decode_predictions_names_the_likeliest_first():
    predictions = np.full((2, 1000), 1e-4, np.float32)
    predictions[0, [967, 504]] = 0.7, 0.2
    predictions[1, 282] = 0.5
    for given in (predictions, tf.constant(predictions), predictions.tolist()):
        first, second = decode_predictions(given, top=2)
        assert [entry[:2] for entry in first] == [("n07920052", "espresso"), ("n03063599", "coffee_mug")]
        assert first[0][2] == pytest.approx(0.7) and isinstance(first[0][2], float)
        assert second[0][1] == "tiger_cat" and len(second) == 2
    assert len(decode_predictions(predictions)[0]) == 5
    assert len(decode_predictions(predictions, top=2000)[0]) == 1000


@pytest.mark.parametrize("shape", [(1, 10), (1000,), (1, 1, 1000)])
def test_other_shapes_are_refused_in_the_words_of_keras(shape):
    with pytest.raises(ValueError, match="expects a batch of predictions"):
        decode_predictions(np.zeros(shape))


def test_top_is_positive():
    with pytest.raises(ValueError, match="top=0"):
        decode_predictions(np.zeros((1, 1000)), top=0)


def test_labels_to_show():
    assert default_labels(1000)[2] == "great white shark" and default_labels(3) == ("0", "1", "2")
    assert readable(["n01440764", "n01484850"]) == ("tench", "great white shark")
    assert readable(["n01440764", "cat"]) == ("n01440764", "cat") and readable([]) == ()
