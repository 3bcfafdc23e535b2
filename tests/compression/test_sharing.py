"""Clusters, error compensation and masks, on arrays."""

import numpy as np
import pytest

from kerasnets.compression.pruning import mask_of, masks, scheduled_sparsity, value_for
from kerasnets.compression.sharing import bias_change, cluster, share


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("start", ["linear", "density", "random"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_clusters_are_a_fixed_point_of_k_means(start, bits):
    weights = np.where(draw(5000, 1) > 0, draw(5000), 0)
    found = cluster(weights, 2**bits, start=start, steps=2000)
    assert 2 <= len(found) <= 2**bits and (np.diff(found) > 0).all()
    nonzero = weights[weights != 0]
    members = np.abs(nonzero[:, None] - found).argmin(1)
    for number in np.unique(members):
        assert found[number] == pytest.approx(nonzero[members == number].mean(), abs=1e-3)


def test_few_weights_stay_as_they_are():
    weights = np.array([0, 0.5, -2, 0.5, 3], np.float32)
    np.testing.assert_array_equal(cluster(weights, 4), [-2, 0.5, 3])
    np.testing.assert_array_equal(share(weights.reshape(5, 1), 4).values(), weights.reshape(5, 1))
    assert len(cluster(np.zeros(4), 4)) == 0 and not share(np.zeros((4, 2)), 4).indices.any()


def test_important_weights_attract_centroids():
    weights = np.concatenate([np.linspace(1, 2, 100), np.linspace(5, 6, 100)])
    importance = np.where(weights < 3, 1.0, 1e-6)
    assert (cluster(weights, 4, importance=importance, start="density", steps=50) < 3).sum() >= 2
    with pytest.raises(ValueError, match="linear, density, random. Received: start='even'"):
        cluster(weights, 4, start="even")


def test_compensation_lowers_the_error_of_the_outputs():
    inputs = draw((2000, 36)) @ draw((36, 36), 1)  # correlated, as real inputs are
    kernel = draw((3, 3, 4, 16), 2)
    kernel[draw(kernel.shape, 3) > 0.5] = 0
    moments, mean = inputs.T @ inputs / len(inputs), inputs.mean(0)
    wanted = inputs @ kernel.reshape(36, 16)

    def error(**settings):
        shared = share(kernel, 8, **settings).values()
        assert len(np.unique(shared[shared != 0])) <= 8 and ((shared == 0) == (kernel == 0)).all()
        found = inputs @ shared.reshape(36, 16) + bias_change(kernel, shared, mean)
        return np.square(found - wanted).mean()

    plain, weighted, whole = error(), error(moments=np.diag(moments)), error(moments=moments)
    assert whole < 0.85 * min(plain, weighted)


def test_the_schedule_of_zhu_and_gupta():
    assert [scheduled_sparsity(step, 10, 30, 0.8) for step in (0, 10, 30, 99)] == [0, 0, 0.8, 0.8]
    assert scheduled_sparsity(20, 10, 30, 0.8) == pytest.approx(0.8 - 0.8 / 8)
    assert scheduled_sparsity(20, 10, 30, 0.8, 0.4) == pytest.approx(0.8 - 0.4 / 8)


def test_masks_of_one_layer_and_of_all():
    weights = {"a": draw((20, 10)), "b": 0.01 * draw((20, 10), 1)}
    wanted = dict.fromkeys(weights, 0.5)
    assert [mask.mean() for mask in masks(weights, wanted).values()] == [0.5, 0.5]
    together = masks(weights, wanted, "global")
    assert together["a"].mean() > 0.95 > 0.05 > together["b"].mean()
    smallest = np.sort(np.abs(weights["a"]).ravel())
    kept = np.abs(weights["a"])[mask_of(weights["a"], 0.3) == 1]
    assert kept.min() == smallest[60] and len(kept) == 140
    assert value_for("conv2", 0.5, {"conv*": 0.1, "*": 0.2}) == 0.1 and value_for("ip", 0.5, {}) == 0.5
