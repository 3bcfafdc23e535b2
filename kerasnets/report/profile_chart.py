"""Draw where a network's cost lies, layer by layer."""

import io
import math
from pathlib import Path

import keras

from kerasnets.graph.cost import complexity, reach
from kerasnets.runs.checkpoints import write_atomically

_BYTES = 4  # of a float32 value


def draw_profile(model: keras.Model, path: str | Path) -> Path:
    """Draws multiply-adds, parameters, memory, receptive field and stride of each layer, from the image to the classes.

    Memory is that of one image in float32. The bars are the values that each layer makes in the forward pass, which
    holds few layers at a time. The line is what a training step holds when its backward pass comes to the layer: the
    values of all layers up to it, and the gradient of its own.

    Args:
        model: a functional model with a known input size.
        path: the file to write, .svg, .png or .pdf.

    Raises:
        ValueError: for another kind of file, or a model that cannot be counted.
    """
    path = Path(path)
    if path.suffix not in (".svg", ".png", ".pdf"):
        raise ValueError(f"A chart is an .svg, .png or .pdf file. Received: {str(path)!r}")
    layers, fields = complexity(model).layers, reach(model)
    memory = [_BYTES * math.prod(layer.output_shape) / 1e6 for layer in layers]
    backward = [sum(memory[: end + 1]) + memory[end] for end in range(len(memory))]
    figure, axes = _panels(4)
    places = range(len(layers))
    _bars(axes[0], places, [layer.multiply_adds / 1e6 for layer in layers], "multiply-adds (M)")
    _bars(axes[1], places, [layer.parameters / 1e6 for layer in layers], "parameters (M)")
    _bars(axes[2], places, memory, "forward pass (MB)")
    _line(axes[2].twinx(), places, backward, f"backward pass, up to {max(backward):.0f} MB")
    seen = [(number, fields[layer.name]) for number, layer in enumerate(layers) if layer.name in fields]
    axes[3].plot([n for n, _ in seen], [found.receptive_field for _, found in seen], color="#4269d0")
    axes[3].set_ylabel("receptive field (pixels)", fontsize=8)
    _line(axes[3].twinx(), [n for n, _ in seen], [found.stride for _, found in seen], "stride (pixels)")
    ticks = range(0, len(layers), max(1, len(layers) // 24))
    axes[3].set_xticks(ticks, [layers[tick].name for tick in ticks], rotation=60, ha="right", fontsize=7)
    axes[0].set_title(f"{model.name}, one image of {'x'.join(map(str, model.input_shape[1:]))}", fontsize=10)
    file = io.BytesIO()
    figure.savefig(file, format=path.suffix[1:], dpi=120)
    return write_atomically(path, file.getvalue())


def _panels(count: int):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.3 * count), layout="constrained")
    axes = figure.subplots(count, 1, sharex=True)
    for axis in axes:
        axis.spines[["top"]].set_visible(False)
        axis.tick_params(labelsize=7)
    return figure, axes


def _bars(axis, places, values, label: str) -> None:
    axis.bar(places, values, color="#4269d0", width=0.9)
    axis.set_ylabel(label, fontsize=8)


def _line(axis, places, values, label: str) -> None:
    axis.plot(places, values, color="#e0562b", linewidth=1)
    axis.set_ylabel(label, fontsize=8, color="#e0562b")
    axis.tick_params(labelsize=7)
    axis.spines[["top"]].set_visible(False)
