"""
Fine-tune on a few images
=========================

LeNet-5 first learns the digits 0 to 5. Then it gets a folder with five images each of 6, 7, 8 and 9, as you would have
with photos of your own, and learns these four. A new network gets the same folder and the same number of steps. Which
of the two is better? The program measures it, with one seed.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import kerasnets

root = Path(tempfile.mkdtemp())
digits = load_digits()


def write(name, classes, training_images):
    """Writes name/train/<digit>/*.png and name/test/<digit>/*.png."""
    for digit in classes:
        for number, index in enumerate(np.flatnonzero(digits.target == digit)):
            folder = root / name / ("train" if number < training_images else "test") / str(digit)
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.round(digits.images[index] * 255 / 16).astype("uint8")
            Image.fromarray(pixels).save(folder / f"{number:03d}.png")


write("known", range(6), 150)
write("new", range(6, 10), 5)


def train(name, run, *changes):
    source = ["data.source.kind=folder", f"data.source.path={root / name}", "evaluation.batch_size=100"]
    return kerasnets.train("lenet5_digits", root / run, overrides=[*source, *changes], progress=False)


# %%
# The first network
# -----------------

known = train("known", "first", "epochs=8", "evaluation.every_epochs=8")
print(f"0 to 5: {100 * known.evaluation['top1']:.1f} % of {known.evaluation['examples']} held-out images")

# %%
# Twenty images
# -------------
# `model.arguments.weights` names the file to begin with. Its classifier has six classes and the new one has four, so
# the classifier begins anew; all other layers are copied.

short = ("epochs=15", "batch_size=20", "evaluation.every_epochs=15")
weights = f"model.arguments.weights={known.path / 'model.keras'}"
results = {"from scratch": train("new", "scratch", *short), "fine-tuned": train("new", "tuned", *short, weights)}
scores = {name: run.evaluation for name, run in results.items()}
for name, score in scores.items():
    print(f"6 to 9, {name}: {100 * score['top1']:.1f} % of {score['examples']} held-out images")

# %%
# Both networks saw the same twenty images, fifteen times each. This is one measurement with one seed, and no rule for
# photos. The headers of the recipes `finetune_photos` and `features_photos` have results for a network that was trained
# on ImageNet; `--set seed=1` repeats a training with other random numbers.

gain = 100 * (scores["fine-tuned"]["top1"] - scores["from scratch"]["top1"])
print(f"fine-tuned minus from scratch: {gain:+.1f} percentage points")

figure, axis = plt.subplots(figsize=(7, 2.2), layout="constrained")
bars = axis.barh(list(scores), [100 * score["top1"] for score in scores.values()], color=["#9c9c9c", "#4269d0"])
axis.bar_label(bars, fmt="%.1f %%", padding=3)
axis.set(xlim=(0, 115), xticks=[], title="held-out images of 6, 7, 8 and 9 that are right")
axis.spines[["top", "right", "bottom"]].set_visible(False)
plt.show()
