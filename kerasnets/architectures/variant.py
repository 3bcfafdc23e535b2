"""`Variant`: one network of a family as plain data. `kerasnets.build` makes the model of it.

A family writes `body(x, spec, **extras) -> features` and, where global average pooling and one dense layer are not its
head, `head(x, spec, classes, activation, **extras)`. Its table holds one `Variant` for each of its networks.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from kerasnets.blocks.head import pooled_head
from kerasnets.registry import Paper, Preprocessing, add_variant, did_you_mean

# What the variants for CIFAR have in common, as keyword arguments of `Variant`.
CIFAR = {"input_shape": (32, 32, 3), "classes": 10, "min_size": 8, "preprocessing": Preprocessing(32, 1.0)}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A network of its family: the functions that build it, the numbers that they take, and what is known of it.

    Attributes:
        name, python_name: `"resnet50"` and `"ResNet50"`.
        family: the name of the family's file.
        summary: half a sentence for `help()` and `kerasnets info`.
        body: `(x, spec, **extras) -> features`. Its docstring has an entry `extra: text` for each
            keyword-only argument that `kerasnets.build` does not describe for all families.
        spec: a named tuple of the numbers that the family's functions take, its columns; `None` without any.
        input_shape, classes: the builder's defaults.
        head: `(x, spec, classes, activation, **extras) -> predictions`, documented as `body` is.
        aux: name of an auxiliary output -> name of the layer that it reads.
        aux_head: `(x, name, classes, activation) -> output`, for a network with `aux`; it may take `spec` as well.
        min_size: the smallest height and width.
        fixed_size: whether the classifier needs a known input size, because it flattens.
        preprocessing: how images are prepared for weights of no public checkpoint.
        differences: how the network differs from its paper, one sentence each.
        feature_shapes: name of a layer -> its (height, width, channels) in the paper's table.
    """

    name: str
    python_name: str
    family: str
    summary: str
    paper: Paper
    body: Callable
    spec: Any
    input_shape: tuple[int, int, int] = (224, 224, 3)
    classes: int = 1000
    head: Callable = pooled_head
    aux: Mapping[str, str] = dataclasses.field(default_factory=dict)
    aux_head: Callable | None = None
    min_size: int = 32
    fixed_size: bool = False
    preprocessing: Preprocessing = Preprocessing()
    differences: tuple[str, ...] = ()
    feature_shapes: Mapping[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)

    @property
    def extras(self) -> dict[str, inspect.Parameter]:
        """The family's own keyword-only arguments: those of the body, those of the head, then `aux_heads`."""
        parameters = [p for f in (self.body, self.head) for p in inspect.signature(f).parameters.values()]
        if self.aux:
            parameters.append(inspect.Parameter("aux_heads", inspect.Parameter.KEYWORD_ONLY, default=False))
        return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    def with_spec(self, **changes) -> "Variant":
        """Returns a variant with other values in some columns of `spec`, for example `filters=[24, 64, 96, 96, 64]`.

        Raises:
            ValueError: for a column that `spec` does not have.
        """
        if not changes:
            return self
        columns = self.spec._asdict() if self.spec else {}
        if unknown := next((key for key in changes if key not in columns), None):
            raise ValueError(
                f"The spec of {self.name!r} has no column {unknown!r}.{did_you_mean(unknown, columns)} "
                f"Allowed: {', '.join(columns) or 'none'}. Received: {unknown}={changes[unknown]!r}"
            )
        return dataclasses.replace(self, spec=self.spec._replace(**{key: _tuples(v) for key, v in changes.items()}))


def register(*variants: Variant) -> None:
    """Adds variants to the registry."""
    for variant in variants:
        add_variant(variant.name, variant)


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
