"""
Export to TFLite and compare
============================

`export` writes a file for phones, runs it in a fresh process on held-out images, and compares its answers with those of
Keras. A file that is too different is not kept. Here: 32-bit floats and 8-bit integers.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import kerasnets

root = Path(tempfile.mkdtemp())
run = kerasnets.train("lenet5_digits", root / "lenet5", overrides=["epochs=4"], progress=False)

# %%
# Two files
# ---------
# Integers need real images, which set the range of each layer. A run has its own.

reports = {}
for form, file in (("tflite", "lenet5.tflite"), ("tflite-int8", "lenet5_int8.tflite")):
    report = reports[form] = kerasnets.export(run.path, form, output=root / file)
    print(f"{form}: {report['bytes']:,} bytes, {100 * report['accuracy']:.1f} % of {report['labelled']} digits right "
          f"(Keras {100 * report['keras_accuracy']:.1f} %), same class as Keras on "
          f"{100 * report['top1_agreement']:.1f} %, probabilities differ by at most "
          f"{report['largest_difference']:.2g}")  # fmt: skip

# %%
# Size against agreement
# ----------------------

figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
drawn = (
    ("kilobytes", "%.0f", [report["bytes"] / 1e3 for report in reports.values()]),
    ("digits that are right, %", "%.1f", [100 * report["accuracy"] for report in reports.values()]),
    ("same class as Keras, %", "%.1f", [100 * report["top1_agreement"] for report in reports.values()]),
)
for axis, (title, form, values) in zip(axes, drawn, strict=True):
    bars = axis.bar(["float32", "int8"], values, color=["#4269d0", "#efb118"])
    axis.bar_label(bars, fmt=form, padding=3)
    axis.set(title=title, yticks=[])
    axis.margins(y=0.15)
    axis.spines[["top", "right", "left"]].set_visible(False)
plt.show()
