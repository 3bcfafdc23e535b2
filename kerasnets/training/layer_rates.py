"""The learning rate of each variable, as a factor of the recipe's: `optimizer.rates` and `optimizer.layer_decay`."""

import math
import re


def variable_rates(variables, options) -> list[float]:
    """Returns what the learning rate of each variable is multiplied by: `rates` and `layer_decay` of the options."""
    rates = [math.prod(rate for part, rate in options.rates.items() if part in v.path) for v in variables]
    numbers = block_numbers(variables)
    return [r * options.layer_decay ** (numbers[-1] - n) for r, n in zip(rates, numbers, strict=True)]


def block_numbers(variables) -> list[int]:
    """Returns the number of the block of layers that each variable belongs to, counted from the input.

    A block has the kernels of the layers whose names are alike up to the first part with a digit, and the whole numbers
    after it: `layer1.0` of `layer1.0.conv1`. The other variables belong to the block of the kernel before them.
    """
    blocks, numbers, number = {}, [], 0
    for variable in variables:
        if len(variable.shape) > 1:
            name = variable.path.split("/")[0]
            block = re.match(r"([a-zA-Z_]+\.)*[^.]*\d[^.]*(\.\d+(?=\.|$))*", name)
            number = blocks.setdefault(block[0] if block else name, len(blocks))
        numbers.append(number)
    return numbers
