"""The one adapter between a family's functions and the builders that users call.

A family writes `body(x, spec, **extras) -> features` and, where the usual head will not do, `head(x, spec, classes,
activation, **extras)`. A `Variant` is one row of its table; calling it does all that every builder has in common: the
eight arguments of keras.applications, their errors, preprocessing, auxiliary heads, names and weights.
"""

import contextlib
import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import keras

from kerasnets.blocks.head import pooled_head
from kerasnets.layers.network import Network, at_size
from kerasnets.layers.preprocessing import PixelNormalization
from kerasnets.registry import Paper, Preprocessing, did_you_mean
from kerasnets.registry import register as add_to_registry

_COMMON = inspect.signature(
    lambda include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000,
    classifier_activation="softmax", name=None, *, include_preprocessing=False: None
)  # fmt: skip

_DOC = """{title}: {summary}

From {authors} ({year}), "{paper}", {url}.
{differences}
Args:
    include_top: whether to end in the classifier, the layer `predictions`.
    weights: `None` (random initialisation), `"imagenet"`, a checkpoint's tag, or the path of a weights file.
    input_tensor: a Keras tensor to build the network on, instead of a new input.
    input_shape: (height, width, channels); `None` is {input_shape}, or the size of the checkpoint that `weights`
        names, or (None, None, {channels}) without the top. {size_rule}
    pooling: without the top, `None` for the last feature map (batch, height, width, channels), `"avg"` or `"max"` for
    its
        mean or maximum over height and width (batch, channels).
    classes: number of outputs of the classifier.
    classifier_activation: activation of the classifier; `None` gives logits. The output is float32 in any precision.
    name: the model's name; the graph never depends on it.
    include_preprocessing: whether the model takes 0-255 pixels (RGB order) and normalises them itself, as its
        weights were trained.{extras}

Returns:
    A flat functional `keras.Model`: (batch, height, width, channels) -> (batch, classes).{aux} Its `preprocessing`
    is that of its weights.

Raises:
    ValueError: for a shape, pooling, class count or weights that the network cannot have.
"""


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of a family's table, callable as a builder.

    Attributes:
        name, python_name: `"resnet50"` and `"ResNet50"`.
        family: the name of the family's file.
        summary: half a sentence for `help()` and `kerasnets info`.
        body: `(x, spec, **extras) -> features`.
        spec: the row's columns, whatever the family needs.
        head: `(x, spec, classes, activation, **extras) -> predictions`.
        aux: name of an auxiliary output -> name of the layer that it is attached to.
        aux_head: `(x, name, classes, activation) -> output`, for a network with `aux`; it is given `spec` when it
        asks for it.
        fixed_size: whether the classifier is tied to the input size (it flattens).
        differences: in which ways the row differs from its paper, in words.
        stages: name of a layer -> its (height, width, channels) in the paper's table.
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
    stages: Mapping[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)

    @property
    def checkpoints(self) -> tuple:
        """The row's public checkpoints, the default first."""
        return _weights("catalogue").checkpoints(self.name)

    @property
    def extras(self) -> dict[str, inspect.Parameter]:
        """The family's own keyword-only arguments, those of its body and of its head, in this order."""
        found = {}
        for function in (self.body, self.head):
            parameters = inspect.signature(function).parameters.values()
            found.update({p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY})
        if self.aux:
            found["aux_heads"] = inspect.Parameter("aux_heads", inspect.Parameter.KEYWORD_ONLY, default=False)
        return found

    @property
    def signature(self) -> inspect.Signature:
        """The builder's signature: the common arguments, this row's defaults, then the family's own."""
        common = [
            p.replace(default=self.classes) if p.name == "classes" else p for p in _COMMON.parameters.values()
        ]  # fmt: skip
        return inspect.Signature(common + list(self.extras.values()))

    def with_spec(self, **changes) -> "Variant":
        """Returns the row with other numbers in some columns, `filters=[24, 64, 96, 96, 64]`: a narrow or shallow twin.

        Raises:
            ValueError: the row has no such column.
        """
        if not changes:
            return self
        columns = self.spec._asdict() if self.spec else {}
        if unknown := next((key for key in changes if key not in columns), None):
            raise ValueError(
                f"The table of {self.name} has no column {unknown!r}.{did_you_mean(unknown, columns)} "
                f"Allowed: {', '.join(columns) or 'none'}. Received: {unknown}={changes[unknown]!r}"
            )
        return dataclasses.replace(self, spec=self.spec._replace(**{key: _tuples(v) for key, v in changes.items()}))

    def __call__(self, *args, **kwargs) -> keras.Model:
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            unknown = next((key for key in kwargs if key not in self.signature.parameters), None)
            hint = did_you_mean(unknown, self.signature.parameters) if unknown else ""
            raise TypeError(f"{self.python_name}() {error}.{hint}") from None
        numbers = self.preprocessing
        if bound.arguments.get("weights") is not None:
            bound.arguments, numbers = _weights("preprocess").with_checkpoint(self, bound.arguments)
        bound.apply_defaults()
        return self._build(**bound.arguments, preprocessing=numbers)

    def _build(self, *, include_top, weights, input_tensor, input_shape, pooling, classes, classifier_activation, name,
               include_preprocessing, preprocessing, **extras) -> keras.Model:  # fmt: skip
        aux_heads = extras.pop("aux_heads", False)
        self._check(include_top, input_shape, pooling, classes, aux_heads)
        inputs = self._input(include_top, input_tensor, input_shape)
        x = inputs
        if include_preprocessing:  # the layer is there in any case; its constants belong to the weights
            x = PixelNormalization.from_numbers(preprocessing)(inputs)
        x = self.body(x, self.spec, **self._only(self.body, extras))
        if include_top:
            outputs = self.head(x, self.spec, classes, classifier_activation, **self._only(self.head, extras))
        else:
            outputs = pool(x, pooling)
        if aux_heads:
            trunk = keras.Model(inputs, x)
            taps = {key: trunk.get_layer(layer).output for key, layer in self.aux.items()}
            known = self._only(self.aux_head, {"spec": self.spec})
            heads = {key: self.aux_head(tap, key, classes, classifier_activation, **known) for key, tap in taps.items()}
            outputs = {"predictions": outputs, **heads}
        sources = keras.utils.get_source_inputs(input_tensor) if input_tensor is not None else inputs
        with deep_recursion():
            model = Network(
                sources, outputs, name=name or self.name, preprocessing=at_size(preprocessing, inputs.shape)
            )
        if weights is not None:
            _weights("load").load_initial_weights(model, self, weights, include_top, extras)
        return model

    @staticmethod
    def _only(function, extras: dict) -> dict:
        return {key: value for key, value in extras.items() if key in inspect.signature(function).parameters}

    def _check(self, include_top, input_shape, pooling, classes, aux_heads) -> None:
        if keras.config.image_data_format() != "channels_last":
            raise ValueError(
                "kerasnets builds `channels_last` networks only; "
                "call `keras.config.set_image_data_format('channels_last')`. "
                f"Received: image_data_format={keras.config.image_data_format()!r}"
            )
        if pooling not in (None, "avg", "max"):
            raise ValueError(f"`pooling` should be either `None`, 'avg' or 'max'. Received: pooling={pooling!r}")
        if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
            raise ValueError(f"`classes` should be a positive integer. Received: classes={classes!r}")
        if aux_heads and not include_top:
            raise ValueError("`aux_heads=True` needs `include_top=True`. Received: include_top=False")
        if input_shape is None:
            return
        if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
            raise ValueError(f"`input_shape` must be a tuple of three integers. Received: input_shape={input_shape!r}")
        if input_shape[2] is None:
            raise ValueError(f"`input_shape` must name the number of channels. Received: input_shape={input_shape}")
        if any(size is not None and size < self.min_size for size in input_shape[:2]):
            raise ValueError(
                f"Input size must be at least {self.min_size}x{self.min_size}; "
                f"Received: input_shape={tuple(input_shape)}"
            )

    def _input(self, include_top, input_tensor, input_shape):
        if input_tensor is None:
            default = self.input_shape if include_top else (None, None, self.input_shape[2])
            tensor = keras.Input(tuple(input_shape or default), name="image")
        elif keras.backend.is_keras_tensor(input_tensor):
            tensor = input_tensor
        else:
            tensor = keras.Input(tensor=input_tensor, name="image")
        if include_top and self.fixed_size and None in tensor.shape[1:]:
            raise ValueError(
                "If `include_top` is True, you should specify a static `input_shape`. "
                f"Received: input_shape={tuple(tensor.shape[1:])}"
            )
        return tensor


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _weights(file: str):
    """A file of `weights`, by name, because they live on a higher floor: the one place where building reaches up."""
    return importlib.import_module(f"kerasnets.weights.{file}")


@contextlib.contextmanager
def deep_recursion(limit: int = 50_000):
    """Lets Keras trace very deep graphs: it walks them recursively, and ResNet-1202 is deeper than Python's usual
    limit."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, limit))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def pool(x, pooling: str | None):
    """The end of a network without its top."""
    layers = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
    return x if pooling is None else layers[pooling](name=f"{pooling}_pool")(x)


def builder(variant: Variant) -> Callable[..., keras.Model]:
    """Returns the row as a function with a real name, signature and docstring, for users and `help()`."""

    def build(*args, **kwargs):
        return variant(*args, **kwargs)

    build.__name__ = build.__qualname__ = variant.python_name
    build.__module__ = "kerasnets"
    build.__signature__ = variant.signature
    build.__doc__ = _documentation(variant)
    return build


def _documentation(variant: Variant) -> str:
    about = {p.split(":", 1)[0].strip(): p.strip() for p in (variant.body.__doc__ or "").splitlines() if ":" in p}
    about |= {p.split(":", 1)[0].strip(): p.strip() for p in (variant.head.__doc__ or "").splitlines() if ":" in p}
    about["aux_heads"] = "aux_heads: whether to add the auxiliary classifiers; the output is then a dict."
    extras = "".join(f"\n    {about.get(name, name + ': see the paper.')}" for name in variant.extras)
    heads = ", ".join(["predictions", *variant.aux])
    smallest = f"Height and width are {variant.min_size} or more"
    return _DOC.format(
        title=variant.python_name,
        summary=variant.summary,
        authors=variant.paper.authors,
        year=variant.paper.year,
        paper=variant.paper.title,
        url=variant.paper.url,
        differences="".join(f"Differs from the paper: {line}.\n" for line in variant.differences),
        input_shape=variant.input_shape,
        channels=variant.input_shape[2],
        size_rule=smallest + (", and static with the top." if variant.fixed_size else ", or `None`."),
        extras=extras,
        aux=f"\n    With `aux_heads=True` a dict of such outputs: {heads}." if variant.aux else "",
    )


def register(*variants: Variant) -> None:
    """Adds rows to the registry."""
    for variant in variants:
        add_to_registry(variant.name, variant)
