"""The blocks `prune` and `share` of a recipe.

`layers` gives layers values of their own, by their names with `*` and `?`: `{"conv*": 0.5}`.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from kerasnets.recipe.options import Fraction, Options

Bits = Annotated[int, Field(ge=1, le=8)]


class PruneOptions(Options):
    """Prunes the smallest weights of the kernels, more with each time (Zhu and Gupta 2017).

    The sparsity rises from `initial` at `from_epoch` to `sparsity` at `to_epoch` (by default the end), every
    `every_epochs` epochs. The scope `global` compares the magnitudes of all kernels of equal sparsity.
    """

    sparsity: Fraction = 0.5
    layers: dict[str, Fraction] = {}
    scope: Literal["layer", "global"] = "layer"
    initial: Fraction = 0.0
    from_epoch: NonNegativeFloat = 0.0
    to_epoch: PositiveFloat | None = None
    every_epochs: PositiveFloat = 0.1


class ShareOptions(Options):
    """From `from_epoch` on, the weights of each kernel are 2^bits numbers, and zero where they were pruned before.

    `start` is that of k-means. Each number moves by the `sum` or the `mean` of the gradients of its weights.
    """

    bits: Bits = 6
    layers: dict[str, Bits] = {}
    start: Literal["linear", "density", "random"] = "linear"
    gradient: Literal["sum", "mean"] = "sum"
    from_epoch: NonNegativeFloat = 0.0
