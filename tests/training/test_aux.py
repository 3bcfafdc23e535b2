"""Auxiliary heads through the ordinary recipe: in the loss and in the log while training, gone afterwards."""

from pathlib import Path

import pytest

from kerasnets.exporters.export import export
from kerasnets.runs.log import read_log
from kerasnets.training.loop import train

RECIPE = Path(__file__).parents[2] / "recipes" / "googlenet_digits.yaml"
OTHERS = {
    "googlenet": ("aux1", "aux2"),
    "inception_v3": ("aux1",),
    "nasnet_cifar": ("aux1",),
    "nasnet_mobile": ("aux1",),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == "googlenet" else pytest.mark.slow) for n in sorted(OTHERS)]
)
def test_weighted_losses_are_logged_and_the_heads_are_dropped(name, tmp_path):
    size = {"inception_v3": 75, "nasnet_cifar": 32}.get(name, 64)
    weights = ", ".join(f"{head}: 0.3" for head in OTHERS[name])
    overrides = [f"model.name={name}", f"data.size={size}", f"loss.weights={{{weights}}}"]
    overrides += ["model.spec={width: 0.125}"] * (name == "googlenet")
    run = train(RECIPE, tmp_path / "run", smoke=True, overrides=overrides, progress=False)
    (epoch,) = (event for event in read_log(run.path) if event["event"] == "epoch")
    parts = {head: epoch[f"{head}_loss"] for head in ("predictions", *OTHERS[name])}
    total = parts["predictions"] + 0.3 * sum(parts[head] for head in OTHERS[name])
    assert epoch["loss"] == pytest.approx(total, rel=1e-4)
    assert len(run.model.outputs) == 1 and not any("aux" in layer.name.lower() for layer in run.model.layers)
    if name == "nasnet_cifar":
        report = export(run.path, "tflite", output=tmp_path / "net.tflite")
        assert report["passed"] and not report["flex_ops"] and not report["float_islands"]
