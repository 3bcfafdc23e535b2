"""What every builder has in common: signature, help, errors, names, preprocessing, features."""

import inspect
import pydoc

import keras
import numpy as np
import pytest
from nets import fill, outline, pixels

import kerasnets
from kerasnets.build import build, builder, create_model
from kerasnets.graph.cost import complexity, reach
from kerasnets.graph.features import features
from kerasnets.registry import get_variant, variant_names

APPLICATIONS_ORDER = [
    "include_top", "weights", "input_tensor", "input_shape", "pooling", "classes", "classifier_activation", "name",
]  # fmt: skip


@pytest.mark.parametrize("name", variant_names())
def test_signature_and_help(name):
    variant = get_variant(name)
    function = builder(variant)
    parameters = inspect.signature(function).parameters
    assert list(parameters)[:8] == APPLICATIONS_ORDER
    assert all(p.kind is p.KEYWORD_ONLY for p in list(parameters.values())[8:])
    assert parameters["weights"].default is None and parameters["classes"].default == variant.classes
    text = pydoc.render_doc(function, renderer=pydoc.plaintext)
    assert f"{variant.python_name}(include_top=True" in text
    assert variant.paper.url in text and str(variant.input_shape) in text
    assert max(map(len, function.__doc__.splitlines())) <= 120
    for extra in variant.extras:
        assert f"    {extra}: " in text, f"{extra} is not documented"


def test_help_has_every_line_of_an_argument():
    assert "(the paper: 0.3 for CIFAR, 0.4 for SVHN)." in " ".join(kerasnets.WideResNet28_10CIFAR.__doc__.split())


def test_public_builder_builds_its_variant():
    model = kerasnets.ResNet20CIFAR()
    assert isinstance(model, keras.Model) and model.name == "resnet20_cifar" and model.output_shape == (None, 10)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"pooling": "median"}, ValueError, "pooling='median'"),
        ({"classes": 0}, ValueError, "classes=0"),
        ({"classes": "ten"}, ValueError, "classes='ten'"),
        ({"input_shape": (32, 32)}, ValueError, "`input_shape` must be a tuple of three integers."),
        ({"input_shape": (32, 32, None)}, ValueError, "number of channels"),
        (
            {"input_shape": (16, 16, 3)},
            ValueError,
            "Input size must be at least 32x32; Received: input_shape=(16, 16, 3)",
        ),
        ({"weights": "nope"}, ValueError, "The `weights` argument should be either `None` (random initialization)"),
        ({"weights": "no/such/file.safetensors"}, FileNotFoundError, "No weights file"),
        ({"num_classes": 10}, TypeError, "Did you mean 'classes'?"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_errors_say_what_is_allowed(arguments, error, words):
    with pytest.raises(error) as caught:
        create_model("resnet18", **arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_name_is_answered_with_the_closest():
    with pytest.raises(ValueError, match="Did you mean 'resnet50'"):
        create_model("resnet5O")


def test_flattening_head_needs_a_size():
    with pytest.raises(ValueError, match="you should specify a static `input_shape`"):
        create_model("lenet5_modern", input_shape=(None, None, 1))


def test_channels_first_is_one_clear_error():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="channels_last"):
            create_model("resnet20_cifar")
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", ["resnet20_cifar", "lenet5_modern"])
def test_preprocessing_inside_the_model(name):
    variant = get_variant(name)
    inside, outside = create_model(name, include_preprocessing=True), create_model(name)
    fill(outside)
    inside.set_weights(outside.get_weights())
    raw = np.random.default_rng(0).uniform(0, 255, (2, *variant.input_shape)).astype(np.float32)
    normal = (raw - np.float32(variant.preprocessing.mean)) / np.float32(variant.preprocessing.std)
    np.testing.assert_allclose(inside(raw), outside(normal), rtol=1e-4, atol=1e-5)


def test_plain_net_is_the_residual_net_without_additions():
    kinds = {type(layer).__name__ for layer in outline(create_model, "plain20_cifar").layers}
    assert "Add" not in kinds and "PaddedIdentity" not in kinds


def test_option_a_block_with_zero_gamma_is_the_subsampled_identity():
    model = create_model("resnet20_cifar", include_top=False, input_shape=(32, 32, 3))
    fill(model)
    model.get_layer("layer2.0.bn2").gamma.assign(np.zeros(32))
    model.get_layer("layer2.0.bn2").beta.assign(np.zeros(32))
    part = keras.Model(model.input, [model.get_layer("layer1.2").output, model.get_layer("layer2.0").output])
    before, after = (np.asarray(t) for t in part(pixels((1, 32, 32, 3)), training=False))
    np.testing.assert_allclose(after[..., 8:24], before[:, ::2, ::2], rtol=1e-6)
    assert not after[..., :8].any() and not after[..., 24:].any()


def test_shortcuts_of_options_a_b_and_c():
    def convolutions(**options):
        names = [layer.name for layer in outline(create_model, "resnet20_cifar", **options).layers]
        return [name for name in names if name.endswith("downsample.0")]

    changed, blocks = ("layer2.0", "layer3.0"), [f"layer{i}.{j}" for i in (1, 2, 3) for j in range(3)]
    assert convolutions() == convolutions(shortcut="A") == []
    assert convolutions(shortcut="B") == [f"{block}.downsample.0" for block in changed]
    assert convolutions(shortcut="C") == [f"{block}.downsample.0" for block in blocks]
    with pytest.raises(ValueError, match="`shortcut` should be 'A', 'B', 'C' or None. Received: shortcut='D'"):
        create_model("resnet20_cifar", shortcut="D")


def test_strides_of_the_two_forms_of_resnet50():
    def strides(name):
        model = outline(create_model, name, include_top=False)
        return {f"layer2.0.conv{i}": model.get_layer(f"layer2.0.conv{i}").strides[0] for i in (1, 2, 3)}

    assert strides("resnet50") == {"layer2.0.conv1": 2, "layer2.0.conv2": 1, "layer2.0.conv3": 1}
    assert strides("resnet50_v1_5") == {"layer2.0.conv1": 1, "layer2.0.conv2": 2, "layer2.0.conv3": 1}


def test_features_give_one_map_a_stride():
    model = create_model("resnet18", input_shape=(64, 64, 3))
    maps = features(model)(pixels((1, 64, 64, 3)))
    assert {int(k): tuple(v.shape[1:]) for k, v in maps.items()} == {
        2: (32, 32, 64), 4: (16, 16, 64), 8: (8, 8, 128), 16: (4, 4, 256), 32: (2, 2, 512),
    }  # fmt: skip
    assert [int(k) for k in features(model, (8, 32)).output] == [8, 32]
    with pytest.raises(ValueError, match=r"levels=\[64\]"):
        features(model, (64,))


def test_features_of_named_layers_are_those_of_a_model_cut_by_hand():
    model = create_model("resnet18", input_shape=(64, 64, 3))
    fill(model)
    names, x = ["layer2.1", "layer4.0.conv1", "predictions"], pixels((2, 64, 64, 3))
    cut = keras.Model(model.input, [model.get_layer(name).output for name in names])
    found = features(model, layers=names)(x)
    assert sorted(found) == sorted(names)
    for name, wanted in zip(names, cut(x), strict=True):
        np.testing.assert_array_equal(found[name], wanted)
    assert features(model, layers=names).preprocessing == model.preprocessing


def test_wrong_layers_of_features():
    model = create_model("resnet20_cifar")
    shared = keras.layers.Dense(3, name="shared")
    inputs = keras.Input((3,))
    with pytest.raises(ValueError, match="Did you mean 'layer2.1.conv1'.* Received: layer 'layer2.1.con1'"):
        features(model, layers=["layer2.1.con1"])
    with pytest.raises(ValueError, match="either `levels` or `layers`"):
        features(model, (2,), layers=["conv1"])
    for layers in ([], "conv1"):
        with pytest.raises(ValueError, match="a list of names"):
            features(model, layers=layers)
    with pytest.raises(ValueError, match="called once. Received: layer 'shared'"):
        features(keras.Model(inputs, shared(shared(inputs))), layers=["shared"])


def test_complexity_layer_by_layer():
    cost = complexity(create_model("lenet5_modern"))
    by_layer = {layer.name: layer.multiply_adds for layer in cost.layers if layer.multiply_adds}
    assert by_layer == {
        "c1": 28 * 28 * 6 * 25, "c3": 10 * 10 * 16 * 6 * 25, "c5": 120 * 400, "f6": 120 * 84, "predictions": 840,
    }  # fmt: skip
    assert sum(layer.parameters for layer in cost.layers) == cost.parameters == 61_706
    with pytest.raises(ValueError, match="known input size"):
        complexity(create_model("resnet20_cifar", include_top=False))


def test_receptive_field_of_stacked_convolutions():
    """Simonyan and Zisserman 2014, section 2.3: two 3x3 convolutions see 5x5, three see 7x7."""
    x = inputs = keras.Input((32, 32, 1))
    for name in ("one", "two", "three"):
        x = keras.layers.Conv2D(1, 3, name=name)(x)
    assert [r.receptive_field for r in reach(keras.Model(inputs, x)).values()] == [3, 5, 7]
    assert reach(outline(create_model, "resnet18"))["layer4.1"].receptive_field == 435


def test_a_variant_with_other_values_in_its_spec():
    variant = get_variant("alexnet")
    narrow = variant.with_spec(filters=[24, 64, 96, 96, 64], hidden=32)
    model = build(narrow, input_shape=(67, 67, 1), classes=10)
    assert model.get_layer("conv2").kernel.shape == (5, 5, 12, 64) and model.get_layer("fc7").units == 32
    assert variant.with_spec() is variant and variant.spec.hidden == 4096
    with pytest.raises(ValueError, match=r"no column 'hiden'. Did you mean 'hidden'\? Allowed: filters, hidden"):
        variant.with_spec(hiden=3)
    with pytest.raises(ValueError, match="Allowed: none"):
        get_variant("lenet5_modern").with_spec(filters=[1])
