"""
Build a network and read its layers
===================================

Every network is built by one function call and is a plain Keras model. `complexity` counts what each of its layers
costs; `model_info` knows the same for the whole network without building it.
"""

import matplotlib.pyplot as plt

import kerasnets

info = kerasnets.model_info("resnet18")
print(f"{info.python_name}: {info.summary}")
print(f"{info.paper.authors}, {info.paper.year}: {info.paper.title}")
print(f"{info.parameters:,} parameters, {info.multiply_adds:,} multiply-adds for an image of {info.input_shape}")

# %%
# The layers
# ----------
# `complexity` has an entry for every layer, in the order of the graph. These are the convolutions and dense layers.

model = kerasnets.ResNet18()
cost = kerasnets.complexity(model)
print(f"{'layer':26} {'output':>16} {'parameters':>12} {'multiply-adds':>14}")
for layer in cost.layers:
    if layer.multiply_adds:
        shape = " x ".join(map(str, layer.output_shape))
        print(f"{layer.name:26} {shape:>16} {layer.parameters:12,} {layer.multiply_adds:14,}")
assert (cost.parameters, cost.multiply_adds) == (info.parameters, info.multiply_adds)

# %%
# Where the cost is
# -----------------
# The first stages work on large maps with few channels, the last ones on small maps with many. So the work is spread
# evenly, and most of the weights are at the end.

names = [f"stride {stage.stride}" if stage.stride else "classifier" for stage in info.stages]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
for axis, key, colour in zip(axes, ("parameters", "multiply_adds"), ("#4269d0", "#ff8ab7"), strict=True):
    whole = sum(getattr(stage, key) for stage in info.stages)
    bars = axis.barh(names, [100 * getattr(stage, key) / whole for stage in info.stages], color=colour)
    axis.bar_label(bars, fmt="%.1f %%", padding=3)
    axis.set(title=key.replace("_", "-"), xticks=[])
    axis.margins(x=0.2)
    axis.spines[["top", "right", "bottom"]].set_visible(False)
axes[0].invert_yaxis()
plt.show()
