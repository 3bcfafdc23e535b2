"""Repeats the degradation experiment of the ResNet paper on handwritten digits.

Deeper plain networks reach a higher training error than shallow ones; deeper residual networks do not.

    python benchmarks/degradation.py [--output runs/degradation]

Trains `plain20_cifar`, `plain56_cifar`, `resnet20_cifar` and `resnet56_cifar` with `recipes/degradation_digits.yaml`,
one after the other. Prints the training error of every epoch and writes the curves to `degradation.html` in the output
folder.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # faster, also where TensorFlow does not use it by default

from kerasnets.evaluation.evaluate import evaluate
from kerasnets.report.charts import line_chart
from kerasnets.report.page import render_page, table
from kerasnets.training.loop import train

NETS = ("plain20_cifar", "plain56_cifar", "resnet20_cifar", "resnet56_cifar")
RECIPE = Path(__file__).parent.parent / "recipes" / "degradation_digits.yaml"


def training_errors(run_folder: Path) -> list[tuple[int, float]]:
    """Returns (epoch, share of wrong training examples), counted while the epoch was trained."""
    lines = [json.loads(line) for line in (run_folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(line["epoch"], 1 - line["top1"]) for line in lines if line["event"] == "epoch"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/degradation"))
    options = parser.parse_args()
    curves, held_out = {}, {}
    start = time.perf_counter()
    for net in NETS:
        run = train(RECIPE, options.output / net, overwrite=True, overrides=[f"model.name={net}"], progress=False)
        curves[net] = training_errors(run.path)
        held_out[net] = 1 - evaluate(run)["top1"]
        errors = " ".join(f"{error:.1%}" for _, error in curves[net])
        print(f"{net}: training error by epoch {errors}; held-out error {held_out[net]:.1%}", flush=True)
    rows = [[net, f"{curves[net][-1][1]:.1%}", f"{held_out[net]:.1%}"] for net in NETS]
    named = {net.removesuffix("_cifar"): points for net, points in curves.items()}
    chart = line_chart("Training error", named, x_label="epoch", percent=True)
    figures = table(["network", "training error", "held-out error"], rows, ("training error", "held-out error"))
    picture = options.output / "degradation.html"
    section = {"title": "Training error by epoch", "charts": [("", chart)], "table": figures}
    picture.write_text(render_page("Degradation", [section]), encoding="utf-8")
    print(f"{picture}, {time.perf_counter() - start:.0f} s")
    final = {net: points[-1][1] for net, points in curves.items()}
    print(f"difference plain56_over_plain20 {final['plain56_cifar'] - final['plain20_cifar']:.3f}")
    print(f"difference resnet56_over_resnet20 {final['resnet56_cifar'] - final['resnet20_cifar']:.3f}")


if __name__ == "__main__":
    main()
