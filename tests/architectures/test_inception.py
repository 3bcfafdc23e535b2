"""GoogLeNet's, Inception's and NASNet's modules against the papers' arithmetic, and their auxiliary heads."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from golden_files import golden
from nets import build_twin, fill, outline, pixels, twin

from kerasnets.architectures import googlenet, inception_resnet, inception_v4
from kerasnets.architectures.googlenet import MODULES, inception_module
from kerasnets.blocks.inception import average_pool
from kerasnets.build import build, create_model
from kerasnets.graph.cost import complexity
from kerasnets.graph.walk import producer
from kerasnets.registry import get_variant

# The lecture's module on 28x28x256: 64 channels before 3x3 and 5x5, and behind the pooling.
LECTURE = (128, 64, 192, 64, 96, 64)


def cost(filters, **options):
    x = keras.Input((28, 28, 256))
    return complexity(keras.Model(x, inception_module(x, filters, **options))).multiply_adds


def test_the_bottleneck_saves_two_thirds():
    """A widely printed 358 M for the lecture's module counts its 3x3 convolution twice."""
    assert cost(LECTURE, bottleneck=False) == 854_196_224
    assert cost(LECTURE) == 271_351_808
    assert cost(LECTURE) + 28 * 28 * 9 * 64 * 192 == 358_055_936


def test_the_papers_own_module_3b():
    assert cost(MODULES["3b"], bottleneck=False) == 854_196_224
    one, three, five, projection = 128 * 256, 128 * 256 + 9 * 192 * 128, 32 * 256 + 25 * 96 * 32, 64 * 256
    assert cost(MODULES["3b"]) == 28 * 28 * (one + three + five + projection) == 304_267_264


def test_naive_module_passes_the_pooled_input_on():
    x = keras.Input((8, 8, 16))
    model = keras.Model(x, inception_module(x, (4, 0, 6, 0, 2, 0), bottleneck=False))
    fill(model)
    image = np.abs(pixels((1, 8, 8, 16)))
    y = np.asarray(model(image))
    assert y.shape == (1, 8, 8, 4 + 6 + 2 + 16)
    np.testing.assert_array_equal(y[0, 3, 5, 12:], image[0, 2:5, 4:7].max((0, 1)))


def test_googlenet_of_naive_modules():
    naive = outline(build, get_variant("googlenet").with_spec(bottleneck=False, width=0.125))
    names = {layer.name for layer in naive.layers}
    assert "inception3a.branch2.1.conv" in names and "inception3a.branch2.0.conv" not in names
    assert naive.get_layer("inception3a").output.shape[-1] == 8 + 16 + 4 + 24  # the last 24 are the pooled input


@pytest.mark.parametrize(("counts_padding", "corner"), [(False, 1.0), (True, 4 / 9)])
def test_average_pooling_at_the_border(counts_padding, corner):
    spec = inception_v4.Spec(counts_padding=counts_padding)
    x = keras.Input((5, 5, 1))
    y = np.asarray(keras.Model(x, average_pool(x, spec, name="pool"))(np.ones((1, 5, 5, 1), "float32")))
    assert y[0, 0, 0, 0] == pytest.approx(corner) and y[0, 2, 2, 0] == pytest.approx(1.0)


def test_residuals_are_scaled_before_they_are_added():
    x = keras.Input((6, 6, 8))
    spec = inception_resnet.Spec(inception_resnet.stem_v1, scales=(0.17, 0.1, 0.2), width=0.25)
    model = keras.Model(x, inception_resnet.inception_resnet_a(x, spec, name="module"))
    fill(model)
    residual = keras.Model(x, model.get_layer("module.conv2d").output)
    image = pixels((1, 6, 6, 8))
    np.testing.assert_allclose(model(image), np.maximum(image + 0.17 * residual(image), 0), atol=1e-6)


# Trainable parameters with the auxiliary heads, where torchvision has the network its num_params.
AUXILIARY = {
    "googlenet": 13_378_280,
    "googlenet_torchvision": 13_004_888,
    "inception_v3_torchvision": 27_161_264,
    "inception_v4_timm": 46_039_280,
}


@pytest.mark.parametrize("name", ["googlenet", *(pytest.param(n, marks=pytest.mark.slow) for n in list(AUXILIARY)[1:])])
def test_parameters_with_auxiliary_heads(name):
    model = outline(create_model, name, aux_heads=True)
    assert list(model.output) == ["predictions", *get_variant(name).aux]
    assert complexity(model).parameters == AUXILIARY[name]


@pytest.mark.parametrize(
    ("name", "layer", "places"),
    [
        ("googlenet", "{head}.avgpool", {"aux1": "inception4a", "aux2": "inception4d"}),
        ("inception_v3", "AuxLogits.avgpool", {"aux1": "Mixed_6e"}),
    ],
)
def test_auxiliary_heads_stand_where_the_papers_have_them(name, layer, places):
    """GoogLeNet, section 5: on 4a and 4d. Inception v3, figure 8: on the last 17x17 map."""
    model = outline(create_model, name, aux_heads=True)
    for head, place in places.items():
        assert producer(model.get_layer(layer.format(head=head)).input).name == place


HE, XAVIER = {"class_name": "HeNormal"}, {"class_name": "GlorotUniform"}
NARROW = [{"class_name": "TruncatedNormal", "stddev": deviation} for deviation in (0.01, 0.001)]


@pytest.mark.parametrize(
    ("name", "last", "expected"),
    [
        ("inception_v3", "Mixed_6b", [HE, *NARROW]),
        ("inception_v4", "features.10", [HE, HE, XAVIER]),
        ("inception_resnet_v2", "mixed_6a", [XAVIER, XAVIER, XAVIER]),
    ],
)
def test_auxiliary_heads_start_as_in_the_released_code(name, last, expected):
    """TF-slim: v3 names two deviations of its own; v4 has its trunk's initialiser and slim's default for the dense
    layer; Inception-ResNet has the default everywhere."""
    variant, arguments = twin(name)
    model = build(dataclasses.replace(variant, aux={"aux1": last}), **arguments, aux_heads=True)
    for own, wanted in zip(("conv0.conv", "conv1.conv", "fc"), expected, strict=True):
        initializer = model.get_layer(f"AuxLogits.{own}").kernel_initializer
        found = {"class_name": type(initializer).__name__, **initializer.get_config()}
        assert wanted.items() <= found.items(), own


def test_inception_resnet_starts_from_xavier():
    """slim's arg scope of this network names no initialiser, so that its layers have slim's default."""
    convolutions = [v for v in build_twin("inception_resnet_v2").layers if isinstance(v, keras.layers.Conv2D)]
    assert {type(layer.kernel_initializer).__name__ for layer in convolutions} == {"GlorotUniform"}


def test_googlenet_s_auxiliary_heads_start_as_in_caffe():
    layers = {layer.name: layer for layer in build_twin("googlenet", aux_heads=True).layers}
    for head in ("aux1", "aux2"):
        hidden, last = layers[f"{head}.fc1"], layers[f"{head}.fc2"]
        np.testing.assert_array_equal(hidden.bias, np.full(hidden.units, 0.2, "float32"))
        np.testing.assert_array_equal(last.bias, np.zeros(last.units, "float32"))
        for layer in (hidden, layers["inception3a.branch1.conv"]):
            initializer = layer.kernel_initializer
            assert (initializer.scale, initializer.mode, initializer.distribution) == (1.0, "fan_in", "uniform")


def test_multiply_adds_with_auxiliary_heads():
    assert complexity(outline(create_model, "googlenet", aux_heads=True)).multiply_adds == 1_591_044_096


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("googlenet", 64),
        pytest.param("googlenet_torchvision", 96, marks=pytest.mark.slow),
        pytest.param("inception_v3", 107, marks=pytest.mark.slow),
    ],
)
def test_an_auxiliary_loss_trains_its_head_and_the_trunk_below(name, size):
    variant, arguments = twin(name)
    if name == "inception_v3":
        variant = dataclasses.replace(variant, aux={"aux1": "Mixed_6b"})  # the twin's last module B
    arguments |= {"input_shape": (size, size, 3), "classifier_activation": None}
    model = build(variant, **arguments, aux_heads=True)
    fill(model)
    for key, layer in variant.aux.items():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(pixels((4, size, size, 3)))[key] ** 2)
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        pairs = zip(model.trainable_variables, gradients, strict=True)
        reached = {v.path for v, gradient in pairs if gradient is not None and np.abs(gradient).max() > 0}
        below = {v.path for v in keras.Model(model.input, model.get_layer(layer).output).trainable_variables}
        assert below < reached
        assert {path.partition(".")[0] for path in reached - below} == {"AuxLogits" if name == "inception_v3" else key}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("googlenet_torchvision", "torchvision__googlenet"),
        pytest.param("inception_v3_torchvision", "torchvision__inception_v3", marks=pytest.mark.slow),
    ],
)
def test_names_are_the_checkpoints(name, source):
    """Every tensor of the public checkpoint, auxiliary heads included, has its place under its own name."""
    modules = {tensor.rpartition(".")[0] for tensor, _ in golden(source)["state_dict"]}
    ours = {layer.name for layer in outline(create_model, name, aux_heads=True).layers if layer.weights}
    assert ours - modules == {"predictions"} and modules - ours == {"fc"}


def test_googlenet_normalises_as_caffe_does():
    layer = create_model("googlenet", include_top=False).get_layer("norm1")
    x = np.abs(pixels((1, 2, 2, 64))) * 100
    energy = np.stack([(x[..., max(0, i - 2) : i + 3] ** 2).sum(-1) for i in range(64)], -1)
    np.testing.assert_allclose(layer(x), x / (1 + 1e-4 / 5 * energy) ** 0.75, rtol=1e-5)
    assert googlenet.Spec().kernel == 5


@pytest.mark.parametrize(("name", "momentum", "epsilon", "dropouts"), [
    ("nasnet_cifar", 0.9, 1e-5, 0),  # slim's cifar_config and nasnet_cifar_arg_scope
    ("nasnet_mobile", 0.9997, 1e-3, 1),
])  # fmt: skip
def test_nasnet_has_its_data_set_s_constants(name, momentum, epsilon, dropouts):
    variant, arguments = twin(name)
    variant = dataclasses.replace(variant, aux={"aux1": "cell_1"})  # the twin's last cell of its second stage
    layers = build(variant, **arguments, aux_heads=True).layers
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(momentum, epsilon)}
    assert sum(isinstance(layer, keras.layers.Dropout) for layer in layers) == dropouts
