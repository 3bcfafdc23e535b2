"""
Fold batch normalisation away
=============================

In prediction a batch normalisation multiplies each channel by a number and adds another. The convolution before it can
do both, with other weights. `fold_batch_norm` computes these weights: the same function with fewer layers. Exported
files are written from this form.
"""

from collections import Counter

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

import kerasnets

keras.utils.set_random_seed(0)
model = kerasnets.MobileNetV2(input_shape=(96, 96, 3), classifier_activation=None)

# %%
# A new network has statistics of 0 and 1, and folding would be too easy. So all of them get random values first.

random = np.random.default_rng(0)
for layer in model.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
        size = layer.gamma.shape
        layer.set_weights([random.uniform(low, 1.5, size) for low in (0.5, -0.5, -0.5, 0.5)])

# %%
# Fewer layers
# ------------

folded = kerasnets.fold_batch_norm(model)
kinds = {name: Counter(type(layer).__name__ for layer in net.layers) for name, net in
         (("before", model), ("folded", folded))}  # fmt: skip
for name, count in kinds.items():
    print(f"{name}: {count.total()} layers, {count['BatchNormalization']} of them batch normalisations")

# %%
# The same numbers
# ----------------

china, flower = (load_sample_image(name)[100:196, 200:296] for name in ("china.jpg", "flower.jpg"))
images = kerasnets.preprocess_input(np.stack([china, flower]), model)
before, after = (net.predict(images, verbose=0) for net in (model, folded))
print(f"outputs up to {np.abs(before).max():.3g}, largest difference {np.abs(before - after).max():.2g}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
bottom = np.zeros(2)
for kind, _ in kinds["before"].most_common(5):
    heights = np.array([count[kind] for count in kinds.values()])
    left.bar(list(kinds), heights, bottom=bottom, label=kind, width=0.6)
    bottom += heights
left.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
left.set_title("layers")
right.plot(before.ravel(), after.ravel(), ".", markersize=3)
right.set(title="the 1,000 outputs for two photos", xlabel="before", ylabel="folded")
plt.show()
