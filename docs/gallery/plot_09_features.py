"""
Feature maps and what they see
==============================

`features` gives the last feature map of each stride. A position of a later map depends on more of the image. This
program measures how much: it asks for the gradient of one position in the middle with respect to the pixels, and
counts the pixels whose gradient is not zero. The weights are random; what a position can see does not depend on them.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_sample_image

import kerasnets

keras.utils.set_random_seed(0)
photo = load_sample_image("china.jpg")[100:324, 200:424]
model = kerasnets.VGG11(include_top=False, input_shape=(224, 224, 3))
maps = kerasnets.features(model, levels=(2, 4, 8, 16))
pixels = tf.constant(kerasnets.preprocess_input(photo[np.newaxis], model))

# %%
# The side of the window
# ----------------------

with tf.GradientTape(persistent=True) as tape:
    tape.watch(pixels)
    found = maps(pixels)
    middle = {stride: values[0, values.shape[1] // 2, values.shape[2] // 2] for stride, values in found.items()}
    totals = {stride: tf.reduce_sum(values) for stride, values in middle.items()}
windows = {}
for stride, total in totals.items():
    gradient = np.abs(tape.gradient(total, pixels)[0]).max(-1)
    rows, columns = np.nonzero(gradient)
    windows[stride] = gradient, (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    shape = " x ".join(map(str, found[stride].shape[1:]))
    print(f"stride {stride:2}: map {shape:14} a position sees {windows[stride][1][2]} x {windows[stride][1][3]} pixels")

# %%
# The maps, and the pixels that count
# -----------------------------------
# Top: the photo as the mean of each map's channels. Bottom: the window of one position, and how strongly it depends on
# each pixel. The middle of the window counts most.

figure, axes = plt.subplots(2, len(windows), figsize=(10, 5.2), layout="constrained")
for (above, below), stride in zip(axes.T, windows, strict=True):
    gradient, (left, top, width, height) = windows[stride]
    above.imshow(np.mean(found[stride][0], -1), cmap="viridis")
    above.set_title(f"stride {stride}")
    below.imshow(photo)
    below.imshow(gradient, cmap="magma", alpha=np.where(gradient > 0, 0.85, 0.0), vmax=np.quantile(gradient, 0.999))
    below.add_patch(plt.Rectangle((left - 0.5, top - 0.5), width, height, fill=False, color="white"))
    below.set_title(f"{width} x {height} pixels")
    above.axis("off")
    below.axis("off")
plt.show()
