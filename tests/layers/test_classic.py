"""The layers of the networks before batch normalisation, against plain NumPy: forward, gradient, reload, precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnets.architectures.lenet import C3
from kerasnets.layers.fan_in import FanInUniform, scaled_tanh
from kerasnets.layers.filter_norm import MaxFilterRMS
from kerasnets.layers.local_response_norm import LocalResponseNormalization
from kerasnets.layers.partial_conv import PartialConv2D
from kerasnets.layers.rbf import RBFOutput, digit_codes, maximum_a_posteriori_loss
from kerasnets.layers.subsampling import TrainableSubsampling
from kerasnets.training.paper_losses import RBFLoss


def numpy_lrn(x, size, k, alpha, beta):
    reach, maps = size // 2, x.shape[-1]
    sums = [np.square(x[..., max(i - reach, 0) : i + reach + 1]).sum(-1) for i in range(maps)]
    return x / (k + alpha * np.stack(sums, -1)) ** beta


def numpy_subsampling(x, coefficient, bias):
    batch, height, width, maps = x.shape
    squares = x[:, : height // 2 * 2, : width // 2 * 2].reshape(batch, height // 2, 2, width // 2, 2, maps)
    return squares.sum((2, 4)) * coefficient + bias


def numpy_partial_conv(x, kernel, bias, connections):
    size, y, used = kernel.shape[0], [], 0
    height, width = (side - size + 1 for side in x.shape[1:3])
    for target, sources in enumerate(connections):
        total = np.full((len(x), height, width), bias[target])
        for source in sources:
            for i in range(size):
                for j in range(size):
                    total += x[:, i : i + height, j : j + width, source] * kernel[i, j, used]
            used += 1
        y.append(total)
    return np.stack(y, -1)


def numpy_rbf(x, classes):
    return -np.square(x[:, None] - digit_codes(classes).astype(float)[None]).sum(-1)


CONNECTIONS = ((0, 2), (1,), (0, 1, 2), (2, 0))
CASES = {
    "lrn": (LocalResponseNormalization(5, 2.0, 0.3, 0.75), (2, 3, 4, 9), lambda x: numpy_lrn(x, 5, 2.0, 0.3, 0.75)),
    "lrn divided": (
        LocalResponseNormalization(3, 1.0, 0.6, 0.5, divide_alpha=True),
        (2, 3, 4, 2),
        lambda x: numpy_lrn(x, 3, 1.0, 0.2, 0.5),
    ),
    "subsampling": (TrainableSubsampling(), (2, 5, 6, 3), numpy_subsampling),
    "partial": (
        PartialConv2D(CONNECTIONS, 3),
        (2, 6, 5, 3),
        lambda x, kernel, bias: numpy_partial_conv(x, kernel, bias, CONNECTIONS),
    ),
    "rbf": (RBFOutput(12), (3, 84), lambda x: numpy_rbf(x, 12)),
}


def prepared(case, dtype="float32"):
    """A new layer with weights that hide nothing, an input, a weighting of its output, and the reference."""
    template, shape, reference = CASES[case]
    layer = type(template).from_config({**template.get_config(), "dtype": dtype})
    random = np.random.default_rng(0)
    layer.build(shape)
    for weight in layer.weights:
        weight.assign(random.standard_normal(weight.shape))
    x = random.standard_normal(shape)
    return layer, x, random.standard_normal(layer.compute_output_shape(shape)), reference


@pytest.mark.parametrize("case", CASES)
def test_forward_and_gradient_equal_numpy(case):
    layer, x, weighting, reference = prepared(case)
    arrays = [x, *(np.array(w, float) for w in layer.weights)]
    np.testing.assert_allclose(layer(tf.constant(x, tf.float32)), reference(*arrays), rtol=1e-4, atol=1e-4)

    def loss(inputs):
        return tf.reduce_sum(layer(inputs) * tf.constant(weighting, tf.float32))

    for run in (loss, tf.function(loss)):
        inputs = tf.constant(x, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = run(inputs)
        gradients = tape.gradient(value, [inputs, *(w.value for w in layer.weights)])
        for i, gradient in enumerate(gradients):
            direction = np.random.default_rng(i).standard_normal(arrays[i].shape)
            ahead, behind = ([*arrays] for _ in range(2))
            ahead[i], behind[i] = arrays[i] + 1e-5 * direction, arrays[i] - 1e-5 * direction
            slope = ((reference(*ahead) - reference(*behind)) * weighting).sum() / 2e-5
            assert np.isclose((np.array(gradient) * direction).sum(), slope, rtol=1e-3, atol=1e-3), (case, i)


@pytest.mark.parametrize("case", CASES)
def test_mixed_precision_and_reload(case, tmp_path):
    layer, x, _, _ = prepared(case)
    half, *_ = prepared(case, "mixed_bfloat16")
    y = np.array(layer(tf.constant(x, tf.float32)))
    assert half(x).dtype == (tf.bfloat16)
    np.testing.assert_allclose(np.array(tf.cast(half(x), tf.float32)), y, atol=0.05 * np.abs(y).max())
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape[1:] == y.shape[1:]
    model.save(tmp_path / "layer.keras")
    again = keras.models.load_model(tmp_path / "layer.keras")
    np.testing.assert_array_equal(np.array(again(tf.constant(x, tf.float32))), y)


def test_c3_has_1516_weights_and_150000_multiply_adds():
    layer = PartialConv2D(C3)
    layer.build((None, 14, 14, 6))
    assert layer.count_params() == 1516
    assert layer.multiply_adds((None, 14, 14, 6), (None, 10, 10, 16)) == 150_000
    first = np.abs(np.array(layer.kernel)[..., :3])
    assert 0.9 * 2.4 / 75 < first.max() <= 2.4 / 75 and np.abs(np.array(layer.kernel)).min() < 0.01


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LocalResponseNormalization(4), "odd"),
        (lambda: PartialConv2D([[0], []]), "at least one"),
        (lambda: PartialConv2D([[0, 3]]).build((None, 9, 9, 3)), "0 to 2"),
        (lambda: RBFOutput(10).build((None, 80)), "84 long"),
        (lambda: RBFOutput(10, loss="mean"), "'map' or 'mle'"),
        (lambda: RBFLoss("mean"), "'map' or 'mle'"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_codes_are_the_papers_drawings():
    codes = digit_codes(12)
    assert codes.shape == (12, 84) and set(np.unique(codes)) == {-1.0, 1.0}
    one = ["".join("#" if v > 0 else "." for v in row) for row in codes[1].reshape(12, 7)]
    assert one[:4] == ["...##..", "..###..", ".####..", "...##.."] and one[9] == ".######"
    distances = np.square(codes[:, None] - codes[None]).sum(-1) + 1000 * np.eye(12)
    assert distances.min() >= 4 * 8
    np.testing.assert_array_equal(digit_codes(12), codes)


def test_losses_are_equations_8_and_9():
    y = np.random.default_rng(0).uniform(0, 9, (5, 10))
    labels = np.array([3, 0, 9, 9, 1])
    right = y[np.arange(5), labels]
    expected = right + np.log(np.exp(-2.0) + np.exp(-y).sum(-1))
    outputs = tf.constant(-y, tf.float32)
    np.testing.assert_allclose(maximum_a_posteriori_loss(labels, outputs, 2.0), expected, rtol=1e-4)
    np.testing.assert_allclose(RBFLoss("map", 2.0)(labels[:, None], outputs), expected.mean(), rtol=1e-4)
    np.testing.assert_allclose(RBFLoss("map", 2.0)(np.eye(10)[labels], outputs), expected.mean(), rtol=1e-4)
    np.testing.assert_allclose(RBFOutput(10, loss="mle").example_losses(tf.constant(labels), outputs), right, rtol=1e-4)
    again = RBFLoss.from_config(RBFLoss("mle").get_config())
    np.testing.assert_allclose(again(labels, outputs), right.mean(), rtol=1e-4)


def test_filters_are_renormalised_after_a_step():
    layer = keras.layers.Conv2D(2, 3, kernel_constraint=MaxFilterRMS(0.1), use_bias=False)
    layer.build((None, 8, 8, 4))
    kernel = np.random.default_rng(0).standard_normal((3, 3, 4, 2)) * np.array([1.0, 0.01])
    layer.kernel.assign(kernel)
    keras.optimizers.SGD(0.0).apply([tf.zeros((3, 3, 4, 2))], [layer.kernel])
    after = np.array(layer.kernel)
    np.testing.assert_allclose(np.sqrt(np.square(after[..., 0]).mean()), 0.1, rtol=1e-5)
    np.testing.assert_allclose(after[..., 1], kernel[..., 1], rtol=1e-5)
    assert not np.isnan(MaxFilterRMS(0.1)(tf.zeros((3, 3, 4, 2)))).any()


def test_squash_and_initialiser():
    np.testing.assert_allclose(scaled_tanh(tf.constant([1.0, -1.0, 0.0])), [1.0, -1.0, 0.0], atol=1e-4)
    draw = np.array(FanInUniform(seed=1)((5, 5, 4, 50)))
    assert 0.95 * 2.4 / 100 < draw.max() <= 2.4 / 100 and -2.4 / 100 <= draw.min() < -0.95 * 2.4 / 100
