"""
What a convolution costs
========================

Four ideas made convolutional networks cheaper. `complexity` counts any functional Keras model, so each idea can be
checked on a layer or two: a map of 28 x 28 positions with 192 channels goes in, and one of the same size comes out.
"""

import keras
import matplotlib.pyplot as plt

import kerasnets

SIZE, CHANNELS = 28, 192


def cost(make):
    inputs = keras.Input((SIZE, SIZE, CHANNELS))
    return kerasnets.complexity(keras.Model(inputs, make(inputs)))


def conv(filters, kernel, **options):
    return keras.layers.Conv2D(filters, kernel, padding="same", **options)


def plain(kernel, times=1):
    return keras.Sequential([conv(CHANNELS, kernel) for _ in range(times)])


# %%
# The pairs
# ---------
# Two 3x3 convolutions see as much as one of 5x5, three as much as one of 7x7 (VGG). A 1x1 convolution that first
# reduces the channels makes a large kernel affordable (GoogLeNet, ResNet). Groups do not see each other's channels
# (AlexNet, ResNeXt). A separable convolution looks at positions first and at channels afterwards (Xception, MobileNet).

bottleneck = keras.Sequential([conv(CHANNELS // 4, 1), conv(CHANNELS // 4, 3), conv(CHANNELS, 1)])
inception = (64, 96, 128, 16, 32, 32)
pairs = {
    "5x5": plain(5),
    "two 3x3": plain(3, 2),
    "7x7": plain(7),
    "three 3x3": plain(3, 3),
    "3x3": plain(3),
    "3x3 between 1x1": bottleneck,
    "3x3 in 8 groups": conv(CHANNELS, 3, groups=8),
    "3x3 separable": keras.layers.SeparableConv2D(CHANNELS, 3, padding="same"),
    "Inception, naive": lambda x: kerasnets.inception_module(x, inception, bottleneck=False),
    "Inception": lambda x: kerasnets.inception_module(x, inception),
}
costs = {name: cost(make) for name, make in pairs.items()}
for name, found in costs.items():
    print(f"{name:18} {found.parameters:10,} parameters {found.multiply_adds:14,} multiply-adds")

# %%
# How many times cheaper?
# -----------------------

for dear, cheap in (
    ("5x5", "two 3x3"),
    ("7x7", "three 3x3"),
    ("3x3", "3x3 between 1x1"),
    ("3x3", "3x3 in 8 groups"),
    ("3x3", "3x3 separable"),
    ("Inception, naive", "Inception"),
):
    print(f"{cheap} instead of {dear}: {costs[dear].multiply_adds / costs[cheap].multiply_adds:.2f} times cheaper")

figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
bars = axis.barh(list(costs), [found.multiply_adds / 1e6 for found in costs.values()], color="#4269d0")
axis.bar_label(bars, fmt="%.0f", padding=3)
axis.set(title="millions of multiply-adds", xticks=[])
axis.margins(x=0.12)
axis.invert_yaxis()
axis.spines[["top", "right", "bottom"]].set_visible(False)
plt.show()
