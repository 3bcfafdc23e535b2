"""Weight files of keras.applications, written by its own `save_weights`, loaded into ours: the same logits."""

import dataclasses

import keras
import numpy as np
import pytest
from nets import fill, pixels

from kerasnets.registry import get_row
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
SIZES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 75, "NASNetLarge": 75, "NASNetMobile": 64}


def peer(builder: str, size: int):
    """The network of keras.applications with every weight filled."""
    options = {"weights": None, "classes": 10, "classifier_activation": None, "input_shape": (size, size, 3)}
    if builder.startswith("MobileNetV3"):
        options["include_preprocessing"] = False
    if builder.startswith("NASNet"):  # the public builder refuses to be small
        from keras.src.applications.nasnet import NASNet

        filters, cells, stem, skip = {"NASNetLarge": (4032, 6, 96, True), "NASNetMobile": (1056, 4, 32, False)}[builder]
        shape = {"penultimate_filters": filters, "num_blocks": cells, "stem_block_filters": stem}
        model = NASNet(**shape, skip_reduction=skip, default_size=size, **options)
    else:
        model = getattr(keras.applications, builder)(**options)
    # EfficientNet's own normalisation does nothing without data, and stays so.
    idle = [w for layer in model.layers if isinstance(layer, keras.layers.Normalization) for w in layer.weights]
    values = [np.array(w) for w in idle]
    fill(model)
    for weight, value in zip(idle, values, strict=True):
        weight.assign(value)
    return model


def ours(row: str, size: int):
    row = get_row(row)
    if row.family == "nasnet":  # keras.applications counts the zeros that it pads with, the authors do not
        row = dataclasses.replace(row, spec=row.spec._replace(counts_zeros=("avg", "max")))
    return row(classes=10, classifier_activation=None, input_shape=(size, size, 3))


@pytest.mark.parametrize(
    ("builder", "row"),
    [*SMALL.items(), *(pytest.param(*item, marks=pytest.mark.slow) for item in LARGE.items())],
)
def test_parity_with_a_file_of_keras_applications(builder, row, tmp_path):
    size = SIZES.get(builder, 64)
    theirs = peer(builder, size)
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    x = pixels((1, size, size, 3))
    expected = np.asarray(theirs(x * (255 if "Efficient" in builder else 1), training=False))
    model = ours(row, size)
    report = load_weights(model, tmp_path / "theirs.weights.h5")
    assert not report.left and not report.skipped
    folded = builder in ("ResNet50", "ResNet101", "ResNet152")  # biases in front of normalisations
    assert bool(report.adapted) == folded
    difference = np.abs(np.asarray(model(x, training=False)) - expected).max() / expected.std()
    assert expected.std() > 0.01 and difference <= 1e-4, f"{builder} -> {row}: {difference:.1e}"
