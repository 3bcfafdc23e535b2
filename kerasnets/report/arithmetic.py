"""The arithmetic of convolutions that lectures teach, counted on real layers.

`kerasnets.arithmetic()` prints it.
"""

import keras

from kerasnets.build import create_model
from kerasnets.graph.cost import complexity, reach


def arithmetic() -> list[dict]:
    """Prints, and returns, what well-known replacements of a convolution cost and see.

    Returns:
        Rows `{"topic", "form", "weights", "multiply_adds", "receptive_field", "note"}`. Weights are without biases.
        `multiply_adds` are for one image, of the size that the form names.
    """
    rows = [*_stacks(), *_reduction(), *_separable(), *_inception(), *_memory()]
    for topic in dict.fromkeys(row["topic"] for row in rows):
        print(topic)
        for row in (row for row in rows if row["topic"] == topic):
            figures = [f"{row[key]:,} {name}" for key, name in _NAMES.items() if row[key] is not None]
            print("  " + "; ".join([row["form"], *figures, *filter(None, [row["note"]])]))
    return rows


_NAMES = {"weights": "weights", "multiply_adds": "multiply-adds", "receptive_field": "pixels seen along each side"}


def _row(topic: str, form: str, model: keras.Model | None, note: str = "", field: bool = False) -> dict:
    cost = complexity(model) if model else None
    seen = max(found.receptive_field for found in reach(model).values()) if field else None
    counts = {"weights": cost and cost.parameters, "multiply_adds": cost and cost.multiply_adds}
    return {"topic": topic, "form": form, **counts, "receptive_field": seen, "note": note}


def _model(shape, *layers) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *layers])


def _conv(filters: int, kernel: int) -> keras.Layer:
    return keras.layers.Conv2D(filters, kernel, padding="same", use_bias=False)


def _stacks() -> list[dict]:
    """VGG, section 2.3: stacks of 3x3 see what one large convolution sees, with fewer weights."""
    topic, shape = "3x3 stacks against large kernels, 64 channels, 56x56 (VGG, section 2.3)", (56, 56, 64)
    forms = {"one 5x5": (5,), "two 3x3": (3, 3), "one 7x7": (7,), "three 3x3": (3, 3, 3)}
    models = {form: _model(shape, *[_conv(64, kernel) for kernel in kernels]) for form, kernels in forms.items()}
    return [_row(topic, form, model, field=True) for form, model in models.items()]


def _reduction() -> list[dict]:
    """GoogLeNet, section 4: a 1x1 convolution first makes the channels fewer."""
    topic, shape = "1x1 as channel reduction, 28x28x192 to 32 maps (GoogLeNet, module 3a)", (28, 28, 192)
    forms = {"5x5": [_conv(32, 5)], "1x1 to 16, then 5x5": [_conv(16, 1), _conv(32, 5)]}
    return [_row(topic, form, _model(shape, *layers)) for form, layers in forms.items()]


def _separable() -> list[dict]:
    """MobileNet, section 3.1: one filter for each channel, then 1x1."""
    topic = "depthwise separable against plain, 3 channels to 3, 32x32 (MobileNet, section 3.1)"
    separable = keras.layers.SeparableConv2D(3, 3, padding="same", use_bias=False)
    return [
        _row(topic, form, _model((32, 32, 3), layer))
        for form, layer in (("3x3", _conv(3, 3)), ("separable", separable))
    ]


def _inception() -> list[dict]:
    """The naive module of GoogLeNet's figure 2 (a) against that of figure 2 (b), at 28x28x256."""
    topic = "inception module, 28x28x256: 128, 192 and 96 maps of 1x1, 3x3 and 5x5 (GoogLeNet, figure 2)"
    image = keras.Input((28, 28, 256))
    pooled = keras.layers.MaxPooling2D(3, 1, padding="same")(image)
    naive = [*(_conv(filters, kernel)(image) for filters, kernel in ((128, 1), (192, 3), (96, 5))), pooled]
    small = [
        _conv(128, 1)(image),
        _conv(192, 3)(_conv(64, 1)(image)),
        _conv(96, 5)(_conv(64, 1)(image)),
        _conv(64, 1)(pooled),
    ]
    note = "lecture notes say 358 million, because they count the 3x3 term twice"
    models = [keras.Model(image, keras.layers.Concatenate()(branches)) for branches in (naive, small)]
    return [_row(topic, "naive", models[0]), _row(topic, "1x1 to 64 first, pooling to 64", models[1], note)]


def _memory() -> list[dict]:
    """Values that VGG-16 makes for one image; the notes are https://cs231n.github.io/convolutional-networks/#case."""
    topic, layers = "memory of VGG-16 for one image, float32, 224x224", complexity(create_model("vgg16")).layers
    sizes = {layer.name: _size(layer.output_shape) for layer in layers}
    kept = [layer for layer in layers if layer.multiply_adds or "Pool" in layer.kind]
    own = 224 * 224 * 3 + sum(sizes[layer.name] for layer in kept)
    relus = sum(sizes[layer.name] for layer in layers if layer.kind in ("ReLU", "Activation"))
    notes = "lecture notes say 96 MB, for 24 million values, but the layers that they list add up to 15.2 million"
    forms = {"image, convolutions, pooling, dense layers": (own, notes), "with the ReLUs": (own + relus, "")}
    return [
        _row(topic, f"{form}: {count:,} values, {4 * count / 1e6:.1f} MB", None, note)
        for form, (count, note) in forms.items()
    ]


def _size(shape) -> int:
    count = 1
    for side in shape:
        count *= side
    return count
