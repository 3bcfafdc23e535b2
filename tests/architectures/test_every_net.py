"""One contract for all variants of the registry: a new variant gets every test by being registered.

Counts and feature shapes are those of the variant itself, on a network that is built without initialising its weights;
by default of all but the deepest. All other tests run the variant's tiny twin, by default the smallest variant of each
family (gradients: of each body and head). The mark `slow` has the rest.
"""

import re

import fresh
import keras
import numpy as np
import pytest
from nets import SUPPORT, build_twin, check_tflite, fill, outline, pixels, read_json, representatives, twin

from kerasnets.build import build, create_model
from kerasnets.graph.cost import complexity
from kerasnets.graph.features import stages
from kerasnets.model_index import model_info, read_model_index
from kerasnets.registry import get_variant, variant_names

NUMBERS = read_json("outside_numbers.json")
# Families whose mirrored step is run by default; families with layers of our own (FractalNet and NASNet have tests of
# their own, because their twins are large too); families that were made for phones.
MIRRORED_BY_DEFAULT = {"lenet", "resnet"}
OWN_LAYERS = {"lenet", "alexnet", "resnet", "resnext", "deformable"}
ON_PHONES = {"squeezenet", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3", "efficientnet"}
# Networks with so many layers that building them takes long: a number of three digits in the name, and these families.
DEEP = re.compile(r"\d{3}|nasnet|inception_(v4|resnet)|efficientnet_b[4-7]")


def variants(default):
    """All variants; those that are not in `default` under the mark `slow`."""
    marked = [pytest.param(n, marks=() if n in default else pytest.mark.slow) for n in variant_names()]
    return pytest.mark.parametrize("name", marked)


def groups(default):
    """Groups of variants that share one fresh process: those in `default`, and the others by family as `slow`."""
    families = {}
    for name in sorted(set(variant_names()) - default):
        families.setdefault(get_variant(name).family, []).append(name)
    marked = [pytest.param(sorted(default), id="default")]
    marked += [pytest.param(names, id=f"{family}-rest", marks=pytest.mark.slow) for family, names in families.items()]
    return pytest.mark.parametrize("names", marked)


WITH_OWN_LAYERS = {name for name in representatives("family") if get_variant(name).family in OWN_LAYERS}
# AlexNet has grouped convolutions too, and takes a fifth of the time.
own_layers = variants(WITH_OWN_LAYERS - {"resnext50_32x4d"})
each_family = variants(set(representatives("family")))
exported = variants({name for name in representatives("family") if get_variant(name).family in OWN_LAYERS | ON_PHONES})
each_body = variants(set(representatives("family", "body", "head")))


@variants({name for name in variant_names() if not DEEP.search(name)} | set(representatives("family")))
def test_counts_and_feature_shapes(name):
    model = outline(create_model, name)
    cost, expected, index = complexity(model), NUMBERS[name], model_info(name)
    assert cost.parameters == expected["parameters"] == index.parameters, expected["source"]
    assert cost.multiply_adds == pytest.approx(expected["multiply_adds"], rel=0.01), expected["source"]
    assert cost.multiply_adds == index.multiply_adds
    assert stages(model) == read_model_index()[name]["stages"]
    assert model.layers[-1].name == "predictions" and len(model.outputs) == 1
    for layer, shape in get_variant(name).feature_shapes.items():
        assert tuple(model.get_layer(layer).output.shape[1:]) == tuple(shape), layer


@each_family
def test_arguments(name):
    outline(check_arguments, *twin(name))


def check_arguments(variant, arguments):
    size, channels = arguments["input_shape"][0], variant.input_shape[2]
    plain = build(variant, **arguments)
    assert plain.output_shape == (None, arguments["classes"])
    renamed = build(variant, **{**arguments, "name": "another"})
    assert renamed.name == "another" and [v.path for v in renamed.weights] == [v.path for v in plain.weights]
    headless = {**arguments, "include_top": False}
    features = build(variant, **{**headless, "input_shape": None}).output_shape
    assert features[:3] == (None, None, None)
    odd = size + 9
    for pooling in ("avg", "max"):
        x = build(variant, **{**headless, "input_shape": (odd, odd + 2, 4 if channels == 3 else 2), "pooling": pooling})
        assert x.output_shape == (None, features[3])
    tensor = keras.Input((size, size, channels))
    assert build(variant, **{**arguments, "input_shape": None, "input_tensor": tensor}).inputs[0] is tensor
    if not variant.fixed_size:
        assert build(variant, **{**arguments, "input_shape": (None, None, channels)}).output_shape == plain.output_shape


@each_body
def test_gradient_reaches_every_weight(name):
    import tensorflow as tf

    model = build_twin(name, classifier_activation=None)
    fill(model)
    x = tf.constant(pixels((4, *model.input_shape[1:])))
    target = tf.constant(np.random.default_rng(1).standard_normal((4, model.output_shape[-1])), tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x, training=True) - target) ** 2)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        values = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(values).all() and np.abs(values).max() > 0, variable.path


def digits(size: int, channels: int, brightness: float):
    """32 real digits, enlarged to the size of the input."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images[:32].reshape(32, 8, 8, 1).astype(np.float32) / 8 - 1
    where = np.arange(size) * 8 // size
    return brightness * np.repeat(images[:, where][:, :, where], channels, axis=-1), labels[:32]


@variants({"lenet5_modern", "resnet20_cifar"})
def test_overfits_32_digits(name):
    """Without dropout, the training accuracy reaches 100 %.

    Two learning rates, because some networks start with small weights. ZFNet starts with so small weights that it needs
    pixels in its own range, which is not scaled.
    """
    import tensorflow as tf

    variant, arguments = twin(name)
    for rate, brightness in ((1e-3, 1.0), (2e-4, 1.0), (1e-3, 127.5)):
        x, y = (tf.constant(v) for v in digits(arguments["input_shape"][0], variant.input_shape[2], brightness))
        keras.utils.set_random_seed(0)
        model = build_twin(name, classifier_activation=None)
        for layer in model.layers:
            if hasattr(layer, "rate"):
                layer.rate = 0.0
            # NiN and SqueezeNet have a ReLU behind the maps of classes: a map that starts below zero would stay dead.
            if getattr(layer, "filters", None) == arguments["classes"] and layer.use_bias:
                layer.bias.assign(tf.ones_like(layer.bias))
        optimizer = keras.optimizers.Adam(rate)
        optimizer.build(model.trainable_variables)

        @tf.function(jit_compile=False)
        def step(x=x, y=y, model=model, optimizer=optimizer):
            with tf.GradientTape() as tape:
                logits = model(x, training=True)
                loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True))
            optimizer.apply(tape.gradient(loss, [v.value for v in model.trainable_variables]))
            return tf.reduce_mean(tf.cast(tf.argmax(logits, -1, y.dtype) == y, tf.float32))

        if any(step() == 1.0 for _ in range(400)):
            return
    pytest.fail("never classified all 32")


@own_layers
def test_step_in_mixed_precision(name):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build_twin(name)
        fill(model)
        # With the usual first scale of 2**15 gradients overflow, the step is skipped and the scale is halved. A small
        # first scale needs fewer steps; the first gradients of some networks overflow at 8 too.
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-3), initial_scale=8.0)
        model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
        x, y = pixels((2, *model.input_shape[1:])), np.array([0, 1])
        before = [np.array(v) for v in model.trainable_variables]
        assert model.layers[-1].compute_dtype == "float32"
        for _ in range(10):
            loss = model.train_on_batch(x, y)
            after = [np.array(v) for v in model.trainable_variables]
            assert np.isfinite(loss) and all(np.isfinite(a).all() for a in after)
            if any((a != b).any() for a, b in zip(after, before, strict=True)):
                return
        pytest.fail("no step was taken")
    finally:
        keras.config.set_dtype_policy("float32")


RELOAD = """
import sys, keras, numpy as np
from pathlib import Path
import kerasnets
for folder in map(Path, sys.argv[1:]):
    model = keras.models.load_model(folder / "model.keras")
    x, y = (np.load(folder / f"{n}.npy") for n in "xy")
    np.testing.assert_allclose(np.asarray(model(x, training=False)), y, rtol=1e-4, atol=1e-5, err_msg=folder.name)
    print("same outputs")
"""


@groups(WITH_OWN_LAYERS)
def test_reload_in_a_fresh_process(names, tmp_path):
    for name in names:
        folder = tmp_path / name
        folder.mkdir()
        model = build_twin(name, classifier_activation=None)
        fill(model)
        x = pixels((2, *model.input_shape[1:]))
        y = np.asarray(model(x, training=False))
        model.save(folder / "model.keras")
        np.save(folder / "x.npy", x)
        np.save(folder / "y.npy", y)
        model.save_weights(folder / "w.weights.h5")
        again = build_twin(name, classifier_activation=None)
        again.load_weights(folder / "w.weights.h5")
        np.testing.assert_allclose(np.asarray(again(x, training=False)), y, rtol=1e-4, atol=1e-5, err_msg=name)
    folders = [str(tmp_path / name) for name in names]
    done = fresh.run("-c", RELOAD, *folders)
    assert done.stdout.count("same outputs") == len(names), done.stderr[-2000:]


@exported
def test_tflite_agrees_and_is_built_in(name, tmp_path):
    model = build_twin(name, classifier_activation=None)
    fill(model)
    check_tflite(model, pixels((1, *model.input_shape[1:])), tmp_path / "net.tflite")


MIRRORED = """
import sys
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, sys.argv[1])
from nets import build_twin, fill, pixels

def step(name, strategy, copies):
    with strategy.scope():
        model = build_twin(name, classifier_activation=None)
        fill(model)
        for layer in model.layers:
            if hasattr(layer, "rate"):
                layer.rate = 0.0
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(1e-3), loss, jit_compile=False)
    x, y = [pixels((8, *model.input_shape[1:]))] * copies, [np.arange(8)] * copies
    model.fit(np.concatenate(x), np.concatenate(y), batch_size=8 * copies, shuffle=False, verbose=0)
    return {v.path: np.array(v) for v in model.weights if "seed" not in v.path}

mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for name in sys.argv[2:]:
    one, two = step(name, tf.distribute.get_strategy(), 1), step(name, mirrored, 2)
    for path, value in one.items():
        difference = np.abs(value - two[path]).max() / (np.abs(value).max() + 1e-6)
        assert difference <= 1e-5, (name, path, difference)
    print("equal")
"""


@groups({name for name in representatives("family") if get_variant(name).family in MIRRORED_BY_DEFAULT})
def test_one_mirrored_step_is_one_step(names):
    """Both replicas get the same batch as the single device, so statistics, mean gradient and rounding are the same.

    Rounding matters where the input of a ReLU is very close to zero.
    """
    done = fresh.run("-c", MIRRORED, SUPPORT, *names)
    assert done.stdout.count("equal") == len(names), done.stderr[-2000:]
