"""The blocks `prune`, `share` and `quantize` of a recipe.

`layers` gives layers values of their own, by their names with `*` and `?`: `{"conv*": 0.5}`.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, model_validator

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


class QuantizeOptions(Options):
    """Quantisation-aware training: weights and activations are rounded as in the int8 TFLite file of the network.

    Rounding begins with epoch `from_epoch`, counted from 0; the ranges of activations are averages from epoch 0 on.
    From epoch `freeze_batch_norm_from` on, batch norm keeps its statistics, scale and offset, and activations keep
    their ranges. The kernels of the layers `keep_float` are not rounded.
    """

    bits: Literal[8] = 8
    from_epoch: NonNegativeInt = 0
    freeze_batch_norm_from: NonNegativeInt | None = None
    keep_float: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _in_order(self):
        if self.freeze_batch_norm_from is not None and self.freeze_batch_norm_from < self.from_epoch:
            raise ValueError("freeze_batch_norm_from should not come before from_epoch")
        return self
