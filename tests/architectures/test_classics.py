"""What the classics promise beyond the contract of every variant."""

import keras
import numpy as np
import pytest
from nets import build_twin, outline

from kerasnets.build import build, create_model
from kerasnets.layers.filter_norm import MaxFilterRMS
from kerasnets.layers.rbf import RBFOutput
from kerasnets.registry import get_variant
from kerasnets.training.paper_losses import RBFLoss


def digits():
    """32 handwritten digits, 8x8, spread to 32x32 with the paper's background and ink."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    big = np.kron(images[:32].reshape(-1, 8, 8, 1), np.ones((1, 4, 4, 1)))
    return (big / 16 * 1.275 - 0.1).astype("float32"), labels[:32]


@pytest.mark.parametrize("criterion", ["map", "mle"])
def test_lenet5_learns_digits_by_heart_with_its_own_loss(criterion):
    keras.utils.set_random_seed(0)
    x, y = digits()
    model = create_model("lenet5", classifier_activation=None, loss=criterion)
    assert isinstance(model.layers[-1], RBFOutput) and model.layers[-1].loss == criterion
    model.compile(keras.optimizers.Adam(2e-3), RBFLoss(criterion), metrics=["accuracy"], jit_compile=False)
    model.fit(x, y, batch_size=16, epochs=60, verbose=0)
    assert (model.predict_on_batch(x).argmax(-1) == y).all()


def test_lenet5_gives_probabilities_that_rank_like_the_distances():
    keras.utils.set_random_seed(0)
    x, _ = digits()
    distances, probabilities = create_model("lenet5", classifier_activation=None), create_model("lenet5")
    probabilities.set_weights(distances.get_weights())
    y, p = distances.predict_on_batch(x), probabilities.predict_on_batch(x)
    assert (y <= 0).all() and np.allclose(p.sum(-1), 1, atol=1e-5)
    assert (y.argmax(-1) == p.argmax(-1)).all()


def test_lenet5_serves_more_than_ten_classes():
    assert create_model("lenet5", classes=26).output_shape == (None, 26)


def test_c3_of_lenet5_by_another_table():
    full = build(get_variant("lenet5").with_spec(c3=[list(range(6))] * 16))
    assert create_model("lenet5").get_layer("c3").count_params() == 1516
    assert full.get_layer("c3").count_params() == 2416 and full.get_layer("c3").output.shape[1:] == (10, 10, 16)


def test_pooling_of_alexnet_without_overlap_gives_the_same_maps():
    """Section 3.4 compares windows of 3 and of 2, with outputs of equal size."""
    overlapping, plain = (outline(build, get_variant("alexnet").with_spec(pool=side)) for side in (3, 2))
    for name in ("pool1", "pool2", "pool5"):
        assert plain.get_layer(name).pool_size == (2, 2)
        assert plain.get_layer(name).output.shape == overlapping.get_layer(name).output.shape


def test_order_of_the_separable_convolution_s_halves():
    def halves(**spec):
        model = outline(build, get_variant("xception").with_spec(**spec))
        names = [layer.name for layer in model.layers if layer.name.startswith("block1.rep.0.")]
        return names, model.output_shape

    assert halves()[0] == ["block1.rep.0.conv1", "block1.rep.0.pointwise"]
    assert halves(pointwise_first=True) == (halves()[0][::-1], halves()[1])


def test_zfnet_limits_its_filters():
    model = build_twin("zfnet")
    limits = [layer.kernel_constraint for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(limits) == 5 and all(isinstance(limit, MaxFilterRMS) and limit.limit == 0.1 for limit in limits)
    assert build_twin("zfnet", filter_rms=None).get_layer("conv1").kernel_constraint is None


def test_alexnet_starts_as_the_paper_says():
    model = build_twin("alexnet")
    biases = {
        name: float(np.mean(model.get_layer(name).bias)) for name in ("conv1", "conv2", "conv3", "conv4", "conv5")
    }
    assert biases == {"conv1": 0.0, "conv2": 1.0, "conv3": 0.0, "conv4": 1.0, "conv5": 1.0}
    assert float(np.mean(model.get_layer("fc6").bias)) == 1.0
    assert 0.009 < float(np.std(model.get_layer("conv2").kernel)) < 0.011


def test_vgg_a_lrn_is_a_with_alexnet_s_normalisation_behind_its_first_convolution():
    plain, normalised = build_twin("vgg11"), build_twin("vgg11_lrn")
    names = [layer.name for layer in normalised.layers]
    assert [name for name in names if name not in {layer.name for layer in plain.layers}] == ["features.1.lrn"]
    layer = normalised.get_layer("features.1.lrn")
    assert layer.input is normalised.get_layer("features.1").output
    assert layer.output is normalised.get_layer("features.2").input
    assert (layer.size, layer.k, layer.alpha, layer.beta, layer.divide_alpha) == (5, 2.0, 1e-4, 0.75, False)


@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("nin", "none for ImageNet"),
        ("vgg16", "only the mean colour is subtracted"),
        ("vgg11_bn", "only the mean colour is subtracted"),
        ("fractalnet20_cifar", "38.6 million"),
        ("fractalnet34", "our assumption where the paper does not say"),
        ("resnet110_stochastic_depth_cifar", "no biases"),
        ("mobilenet_v3_small", "squeeze-and-excitation in the last convolution"),
        ("mobilenet_v3_small_torchvision", "squeeze-and-excitation in the last convolution"),
    ],
)
def test_what_differs_from_the_paper_is_said(name, difference):
    assert any(difference in line for line in get_variant(name).differences)


def test_squeezenet_bypass_adds_what_the_row_says():
    adds = {
        name: sum(isinstance(layer, keras.layers.Add) for layer in build_twin(name).layers)
        for name in ("squeezenet1_0", "squeezenet1_0_bypass", "squeezenet1_0_complex_bypass")
    }
    assert list(adds.values()) == [0, 4, 8]
