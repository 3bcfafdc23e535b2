"""
Auxiliary losses of GoogLeNet
=============================

GoogLeNet has 22 layers and no batch normalisation. Its authors were concerned about how well gradients reach the first
layers, so they added two small classifiers at the side, whose losses count 0.3 each (section 5 of the paper). This
program measures what each of the three losses contributes to the gradient of each layer, before any training.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import kerasnets

keras.utils.set_random_seed(0)
model = kerasnets.GoogLeNet(aux_heads=True, classes=10, input_shape=(112, 112, 3))
print("outputs:", ", ".join(model.output_names))

digits = load_digits()
pixels = tf.image.resize(digits.images[:16, ..., np.newaxis] * (255 / 16), (112, 112))
images = kerasnets.preprocess_input(tf.repeat(pixels, 3, axis=-1), model)

# %%
# Three gradients
# ---------------
# Each loss has its own gradient. A layer behind the branch of an auxiliary classifier gets nothing from it.

weights = {"predictions": 1.0, "aux1": 0.3, "aux2": 0.3}
with tf.GradientTape(persistent=True) as tape:
    outputs = model(images)
    losses = {
        name: weight * tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(digits.target[:16], outputs[name]))
        for name, weight in weights.items()
    }
layers = [layer for layer in model.layers if layer.weights and layer.name.startswith(("conv", "inception"))]
layers = [layer for layer in layers if "branch" not in layer.name or ".branch1." in layer.name]
kernels = [layer.kernel.value for layer in layers]
sizes = {}
for name, loss in losses.items():
    found = tape.gradient(loss, kernels)
    sizes[name] = [0.0 if gradient is None else float(tf.norm(gradient)) for gradient in found]
print(f"{'layer':22}" + "".join(f"{name:>13}" for name in sizes))
for row, layer in enumerate(layers):
    print(f"{layer.name:22}" + "".join(f"{values[row]:13.2e}" for values in sizes.values()))

# %%
# Only for training
# -----------------
# A trained network has one output. The auxiliary classifiers are thrown away.

whole, small = kerasnets.GoogLeNet(aux_heads=True), kerasnets.GoogLeNet()
extra = whole.count_params() - small.count_params()
print(f"The network has {small.count_params():,} weights; its auxiliary classifiers have {extra:,} more.")

# %%
# The gradient along the network
# ------------------------------
# First layers are on the left. For the modules, the 1x1 convolution of the first branch is shown. The recipe
# `googlenet_digits` trains with all three losses.

figure, axis = plt.subplots(figsize=(9, 4), layout="constrained")
for (name, values), colour in zip(sizes.items(), ("#4269d0", "#ff725c", "#efb118"), strict=True):
    axis.plot([value or None for value in values], "o-", color=colour, label=name)
axis.set(yscale="log", ylabel="norm of the gradient", xticks=range(len(layers)))
axis.set_xticklabels(
    [layer.name.removesuffix(".conv").removesuffix(".branch1") for layer in layers], rotation=45, ha="right"
)
axis.legend(frameon=False)
plt.show()
