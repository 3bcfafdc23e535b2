"""Weight files of keras.applications, written by its own `save_weights`, loaded into ours: the same logits."""

import numpy as np
import pytest
from keras_applications import SIZES, ours, peer
from nets import pixels

from kerasnets.weights.load import load_weights

SMALL = {"MobileNet": "mobilenet_v1", "MobileNetV3Small": "mobilenet_v3_small"}
LARGE = {
    "VGG16": "vgg16", "VGG19": "vgg19", "ResNet50": "resnet50", "ResNet101": "resnet101", "ResNet152": "resnet152",
    "ResNet50V2": "resnet50_v2_keras", "ResNet101V2": "resnet101_v2_keras", "ResNet152V2": "resnet152_v2_keras",
    "DenseNet121": "densenet121",
    "DenseNet169": "densenet169", "DenseNet201": "densenet201", "InceptionV3": "inception_v3",
    "InceptionResNetV2": "inception_resnet_v2", "Xception": "xception", "MobileNetV2": "mobilenet_v2",
    "MobileNetV3Large": "mobilenet_v3_large", "NASNetMobile": "nasnet_mobile", "NASNetLarge": "nasnet_large",
    **{f"EfficientNetB{n}": f"efficientnet_b{n}" for n in range(8)},
}  # fmt: skip


@pytest.mark.parametrize(
    ("builder", "variant"),
    [*SMALL.items(), *(pytest.param(*item, marks=pytest.mark.slow) for item in LARGE.items())],
)
def test_parity_with_a_file_of_keras_applications(builder, variant, tmp_path):
    size = SIZES.get(builder, 64)
    theirs = peer(builder, size)
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    x = pixels((1, size, size, 3))
    expected = np.asarray(theirs(x * (255 if "Efficient" in builder else 1), training=False))
    model = ours(variant, size)
    report = load_weights(model, tmp_path / "theirs.weights.h5")
    assert not report.kept_initial and not report.skipped
    folded = builder in ("ResNet50", "ResNet101", "ResNet152")  # biases in front of normalisations
    assert bool(report.adapted) == folded
    difference = np.abs(np.asarray(model(x, training=False)) - expected).max() / expected.std()
    assert expected.std() > 0.01 and difference <= 1e-4, f"{builder} -> {variant}: {difference:.1e}"
