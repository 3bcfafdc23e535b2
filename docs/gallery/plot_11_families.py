"""
Compare the families
====================

`list_models` and `model_info` know every network without building it, so that all of them can be compared in a second:
what they cost, and when they were published.
"""

import matplotlib.pyplot as plt
import numpy as np

import kerasnets

networks = [info for info in map(kerasnets.model_info, kerasnets.list_models()) if info.classes == 1000]
families = sorted({info.family for info in networks})
print(f"{len(networks)} networks for ImageNet in {len(families)} families")

# %%
# The cheapest network of each family
# -----------------------------------

cheapest = [min((info for info in networks if info.family == family), key=lambda info: info.multiply_adds)
            for family in families]  # fmt: skip
for info in sorted(cheapest, key=lambda info: (info.paper.year, info.name)):
    weights, work = info.parameters / 1e6, info.multiply_adds / 1e6
    print(f"{info.paper.year} {info.name:28} {weights:7.1f} M parameters {work:9,.0f} M multiply-adds")

# %%
# All of them
# -----------
# Both axes are logarithmic. The networks for phones are at the lower left: few weights and little work.

figure, axis = plt.subplots(figsize=(9, 5.6), layout="constrained")
points = axis.scatter(
    [info.parameters / 1e6 for info in networks],
    [info.multiply_adds / 1e9 for info in networks],
    c=[info.paper.year for info in networks],
    cmap="viridis",
    s=36,
    edgecolor="white",
    linewidth=0.5,
)
taken = []
for info in sorted(cheapest, key=lambda info: info.multiply_adds):
    place = np.log10([info.parameters / 1e6, info.multiply_adds / 1e9])
    if all(abs(place[0] - x) > 0.28 or abs(place[1] - y) > 0.1 for x, y in taken):  # names must not overlap
        axis.annotate(info.name, 10**place, xytext=(6, -3), textcoords="offset points", fontsize=8)
        taken.append(place)
axis.set(
    xscale="log",
    yscale="log",
    xlim=(0.9, 500),
    xlabel="parameters, millions",
    ylabel="multiply-adds for one image, billions",
)
years = sorted({info.paper.year for info in networks})
figure.colorbar(points, label="year of the paper", ticks=years)
plt.show()
