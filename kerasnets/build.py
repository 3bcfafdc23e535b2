"""Builders: the arguments that all networks share, their errors, help and initial weights.

`build(variant, ...)` makes the model of a variant. `builder(variant)` is the function that users call.
"""

import inspect
import re
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import keras

from kerasnets.architectures import catalogue  # noqa: F401  (registers every variant)
from kerasnets.architectures.variant import Variant
from kerasnets.graph.walk import deep_recursion
from kerasnets.layers.network import Network, at_size
from kerasnets.layers.preprocessing import PixelNormalization
from kerasnets.registry import Preprocessing, did_you_mean, get_variant
from kerasnets.weights.catalogue import split_tag
from kerasnets.weights.download import fetch
from kerasnets.weights.load import LoadReport, load_weights
from kerasnets.weights.preprocess import checkpoint_of, is_path, with_checkpoint

_COMMON = inspect.signature(
    lambda include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None, classes=1000,
    classifier_activation="softmax", name=None, *, include_preprocessing=False: None
)  # fmt: skip

_DOCUMENTATION = """{python_name}: {summary}

{reference}
{url}
{differences}
Args:
    include_top: whether to end in the classifier, the layer `predictions`.
    weights: `None` (random initialisation), `"imagenet"`, a checkpoint's tag, or the path of a weights file.
    input_tensor: a Keras tensor to build the network on, instead of a new input.
    input_shape: (height, width, channels). `None` is {input_shape}, or the size of the checkpoint that
        `weights` names; without the top it is (None, None, {channels}).
        {size_rule}
    pooling: without the top, `None` for the last feature map (batch, height, width, channels), `"avg"` or `"max"`
        for its mean or maximum over height and width (batch, channels).
    classes: number of outputs of the classifier.
    classifier_activation: activation of the classifier; `None` gives logits. The output is float32 in any precision.
    name: the model's name; the graph never depends on it.
    include_preprocessing: whether the model takes RGB pixels from 0 to 255 and normalises them itself, as its
        weights were trained.{extras}

Returns:
    A flat functional `keras.Model`: (batch, height, width, channels) -> (batch, classes).{aux}
    Its `preprocessing` is that of its weights.

Raises:
    ValueError: for a shape, pooling, number of classes or weights that the network cannot have.
"""

# Arguments that several families have. A family describes its other arguments in the docstrings of its body and head.
_EXTRAS = {
    "aux_heads": "whether to add the auxiliary classifiers; the output is then a dict.",
    "dropout": "rate of dropout before the classifier, 0 to 1.",
    "stochastic_depth": "probability that training skips the last residual block, at least 0 and less than 1. It grows "
    "linearly from the first block to the last.",
    "drop_mode": '`"batch"` decides once for all examples of a batch (the paper), `"sample"` for each example (timm).',
}


def create_model(name: str, **arguments) -> keras.Model:
    """Builds the network called `name`.

    Args:
        name: a variant, `"resnet50"`, or a variant and the tag of its weights, `"resnet50_v1_5.a1_in1k"`.
            `list_models` and `list_pretrained` list them.
        arguments: those of its builder, for example `classes=10` or `include_top=False`.

    Raises:
        ValueError: for an unknown name or tag, or a wrong argument.
    """
    network, weights = split_tag(name, arguments.get("weights"))
    return build(get_variant(network), **arguments | ({"weights": weights} if weights is not None else {}))


def build(variant: Variant, /, *args, **kwargs) -> keras.Model:
    """Builds the network of a variant, with the arguments of its `signature`."""
    expected, preprocessing = signature(variant), variant.preprocessing
    try:
        bound = expected.bind(*args, **kwargs)
    except TypeError as error:
        unknown = next((key for key in kwargs if key not in expected.parameters), None)
        hint = did_you_mean(unknown, expected.parameters) if unknown else ""
        raise TypeError(f"{variant.python_name}() {error}.{hint}") from None
    if bound.arguments.get("weights") is not None:
        bound.arguments, preprocessing = with_checkpoint(variant, bound.arguments)
    bound.apply_defaults()
    given = SimpleNamespace(**bound.arguments)
    model = _build(variant, given, preprocessing)
    if given.weights is not None:
        load_initial_weights(model, variant, given.weights, bound.arguments)
    return model


def signature(variant: Variant) -> inspect.Signature:
    """Returns a builder's signature: the common arguments with the variant's defaults, then the family's own."""
    common = _COMMON.parameters | {"classes": _COMMON.parameters["classes"].replace(default=variant.classes)}
    return inspect.Signature([*common.values(), *variant.extras.values()])


def builder(variant: Variant) -> Callable[..., keras.Model]:
    """Returns `build` for one variant, as a function with a name, signature and docstring of its own."""

    def build_variant(*args, **kwargs):
        return build(variant, *args, **kwargs)

    build_variant.__name__ = build_variant.__qualname__ = variant.python_name
    build_variant.__module__ = "kerasnets"
    build_variant.__signature__ = signature(variant)
    build_variant.__doc__ = _documentation(variant)
    return build_variant


def load_initial_weights(model: keras.Model, variant: Variant, weights, arguments: dict) -> LoadReport:
    """Loads what the `weights` argument of a builder names.

    Args:
        model: the network, built without weights.
        variant: what it was built from.
        weights: `"imagenet"`, a checkpoint's tag, or the path of a weights file.
        arguments: those that it was built with.
    """
    extras = {key: arguments[key] for key in variant.extras if key in arguments}
    path = Path(weights) if is_path(weights) else fetch(checkpoint_of(variant, weights, extras))
    report = load_weights(model, path)
    if report.kept_initial:
        warnings.warn(f"{path.name}: left at initial values: {'; '.join(report.kept_initial)}", stacklevel=2)
    return report


def _build(variant: Variant, given: SimpleNamespace, preprocessing: Preprocessing) -> keras.Model:
    """Builds the network with initial weights; `given` holds every argument of the signature."""
    _check(variant, given)
    extras = {name: getattr(given, name) for name in variant.extras}
    x = inputs = _input(variant, given)
    if given.include_preprocessing:
        x = PixelNormalization.from_numbers(preprocessing)(inputs)
    x = variant.body(x, variant.spec, **_taken_by(variant.body, extras))
    if given.include_top:
        taken = _taken_by(variant.head, extras)
        outputs = variant.head(x, variant.spec, given.classes, given.classifier_activation, **taken)
    else:
        outputs = _pool(x, given.pooling)
    if extras.get("aux_heads"):
        outputs = {"predictions": outputs, **_aux_outputs(variant, given, keras.Model(inputs, x))}
    sources = inputs if given.input_tensor is None else keras.utils.get_source_inputs(given.input_tensor)
    numbers = at_size(preprocessing, inputs.shape)
    with deep_recursion():
        return Network(sources, outputs, name=given.name or variant.name, preprocessing=numbers)


def _aux_outputs(variant, given, trunk) -> dict:
    """Returns the auxiliary outputs by their names."""
    taken = _taken_by(variant.aux_head, {"spec": variant.spec})
    taps = {name: trunk.get_layer(layer).output for name, layer in variant.aux.items()}
    arguments = given.classes, given.classifier_activation
    return {name: variant.aux_head(tap, name, *arguments, **taken) for name, tap in taps.items()}


def _taken_by(function, extras: dict) -> dict:
    return {key: value for key, value in extras.items() if key in inspect.signature(function).parameters}


def _check(variant, given) -> None:
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "kerasnets builds `channels_last` networks only; "
            "call `keras.config.set_image_data_format('channels_last')`. "
            f"Received: image_data_format={keras.config.image_data_format()!r}"
        )
    if given.pooling not in (None, "avg", "max"):
        raise ValueError(f"`pooling` should be either `None`, 'avg' or 'max'. Received: pooling={given.pooling!r}")
    if not isinstance(given.classes, int) or isinstance(given.classes, bool) or given.classes < 1:
        raise ValueError(f"`classes` should be a positive integer. Received: classes={given.classes!r}")
    if getattr(given, "aux_heads", False) and not given.include_top:
        raise ValueError("`aux_heads=True` needs `include_top=True`. Received: include_top=False")
    if (shape := given.input_shape) is None:
        return
    if not isinstance(shape, (tuple, list)) or len(shape) != 3:
        raise ValueError(f"`input_shape` must be a tuple of three integers. Received: input_shape={shape!r}")
    if shape[2] is None:
        raise ValueError(f"`input_shape` must name the number of channels. Received: input_shape={shape}")
    least = variant.min_size
    if any(size is not None and size < least for size in shape[:2]):
        raise ValueError(f"Input size must be at least {least}x{least}; Received: input_shape={tuple(shape)}")


def _input(variant, given):
    """Returns the tensor that the network reads: `input_tensor`, or a new input."""
    if given.input_tensor is None:
        default = variant.input_shape if given.include_top else (None, None, variant.input_shape[2])
        tensor = keras.Input(tuple(given.input_shape or default), name="image")
    elif keras.backend.is_keras_tensor(given.input_tensor):
        tensor = given.input_tensor
    else:
        tensor = keras.Input(tensor=given.input_tensor, name="image")
    if given.include_top and variant.fixed_size and None in tensor.shape[1:]:
        raise ValueError(
            "If `include_top` is True, you should specify a static `input_shape`. "
            f"Received: input_shape={tuple(tensor.shape[1:])}"
        )
    return tensor


def _pool(x, pooling: str | None):
    """The end of a network without its top."""
    layers = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
    return x if pooling is None else layers[pooling](name=f"{pooling}_pool")(x)


def _documentation(variant: Variant) -> str:
    about = dict(_EXTRAS)
    for text in (inspect.getdoc(variant.body), inspect.getdoc(variant.head)):
        about |= re.findall(r"^(\w+): (.+?)(?=^\w+: |\n\n|\Z)", text or "", re.MULTILINE | re.DOTALL)
    heads = ", ".join(["predictions", *variant.aux])
    paper, size_rule = variant.paper, ", and static with the top." if variant.fixed_size else ", or `None`."
    extras = [_filled(f"{name}: {about[name]}", " " * 4) for name in variant.extras]
    differences = [_filled(f"Differs from the paper: {difference}.") for difference in variant.differences]
    return _DOCUMENTATION.format(
        python_name=variant.python_name,
        summary=variant.summary,
        reference=_filled(f'From {paper.authors} ({paper.year}), "{paper.title}",'),
        url=paper.url,
        differences="".join(f"{line}\n" for line in differences),
        input_shape=variant.input_shape,
        channels=variant.input_shape[2],
        size_rule=f"Height and width are {variant.min_size} or more{size_rule}",
        extras="".join(f"\n{line}" for line in extras),
        aux=f"\n    With `aux_heads=True` a dict of such outputs: {heads}." if variant.aux else "",
    )


def _filled(text: str, indent: str = "") -> str:
    """Breaks a paragraph of a docstring into lines, those after the first indented twice."""
    return textwrap.fill(" ".join(text.split()), 116, initial_indent=indent, subsequent_indent=2 * indent)
