"""
LeNet-5 on handwritten digits
=============================

A recipe is a file that decides everything about a training run. `lenet5_digits` comes with the package: the LeNet-5 of
today's textbooks on scikit-learn's 1,797 digits. The recipe has 30 epochs; here are four, to be quick.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import kerasnets

folder = Path(tempfile.mkdtemp()) / "lenet5"
run = kerasnets.train("lenet5_digits", folder, overrides=["epochs=4"], progress=False)
info = kerasnets.summary(run)
print(f"{info.model}, {info.parameters:,} parameters, {info.state} after {info.epochs} epochs")

# %%
# How good is it?
# ---------------
# `evaluate` counts each of the held-out digits exactly once.

score = kerasnets.evaluate(run)
confusion = np.array(score["confusion"])
print(f"{confusion.trace()} of {score['examples']} held-out digits are right: {100 * score['top1']:.1f} %")

# %%
# Which digits are mistaken for which?
# ------------------------------------
# A row is the true digit, a column is the answer. Everything off the diagonal is a mistake.

figure, axis = plt.subplots(figsize=(5.2, 5), layout="constrained")
axis.imshow(np.log1p(confusion), cmap="Blues")
for true, predicted in np.argwhere(confusion):
    colour = "white" if true == predicted else "#b00020"
    axis.text(predicted, true, confusion[true, predicted], ha="center", va="center", color=colour)
axis.set(xticks=range(10), yticks=range(10), xlabel="answer", ylabel="true digit")
plt.show()
