"""The quickest form of a network for prediction on this machine: folded, frozen, in the quicker precision.

LiteRT's interpreter computes it, or TensorFlow. For TensorFlow:

Batch normalisation is folded into the layers before it, and the weights become constants of one TensorFlow graph. The
graph optimiser then fuses convolution, bias, activation and addition into one oneDNN operator. In bfloat16 the layers
compute in Keras's `mixed_bfloat16`, so that a saved file holds the casts and needs no option of TensorFlow.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from kerasnets.graph.fold import inference_form, native_groups
from kerasnets.graph.fusion import fusible
from kerasnets.graph.hardware import has_bfloat16
from kerasnets.graph.litert import interpreted
from kerasnets.graph.walk import deep_recursion, producer, run
from kerasnets.layers.backend import ON_TENSORFLOW, tf
from kerasnets.layers.network import carried

PRECISIONS = ("auto", "float32", "bfloat16")
ENGINES = ("tensorflow", "litert")


class OptimizedModel:
    """A network for prediction only; `optimize` makes it. It does not follow later changes of the model.

    Call it with a batch, an array or a tensor as the model takes it: an array gives an array, a tensor a tensor.

    Attributes:
        precision: `"float32"` or `"bfloat16"`. Inputs and outputs are float32 in both.
        engine: `"tensorflow"` or `"litert"`.
    """

    def __init__(self, function, precision: str, engine: str = "tensorflow"):
        self._function, self.precision, self.engine = function, precision, engine

    def __call__(self, inputs):
        if self.engine == "litert":
            outputs = self._function(np.asarray(inputs, "float32"))
            return tf.constant(outputs) if tf.is_tensor(inputs) else outputs
        if tf.is_tensor(inputs):
            return self._function(tf.cast(inputs, tf.float32))
        outputs = self._function(tf.constant(np.asarray(inputs, "float32")))
        return tf.nest.map_structure(lambda output: output.numpy(), outputs)

    def save(self, path: str | os.PathLike) -> None:
        """Writes a SavedModel: `tf.saved_model.load(path)(batch)`, without kerasnets and Keras.

        Its signature `serving_default` takes `inputs` and returns `outputs`, or the names of several outputs.

        Args:
            path: a new folder, or one that holds a SavedModel, which is replaced.

        Raises:
            ValueError: something else is there, or LiteRT computes the network: `kerasnets.export` writes its files.
        """
        if self.engine != "tensorflow":
            raise ValueError(
                "`save` writes a SavedModel, which needs `optimize(model, engine='tensorflow')`; `kerasnets.export` "
                f"writes LiteRT's files. Received: engine={self.engine!r}"
            )
        path = Path(path)
        if path.is_file() or path.is_dir() and any(path.iterdir()) and not (path / "saved_model.pb").is_file():
            raise ValueError(
                f"A SavedModel needs its own folder; this one holds something else. Received: path={str(path)!r}"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            module = tf.Module()
            module.__call__ = self._function
            tf.saved_model.save(module, f"{folder}/new", {"serving_default": _named_outputs(self._function)})
            if path.is_dir():
                shutil.rmtree(path)
            os.replace(f"{folder}/new", path)


def optimize(model: keras.Model, precision: str = "auto", *, engine: str = "tensorflow") -> OptimizedModel:
    """Returns the quickest form of a model for prediction on this machine.

    Args:
        model: a functional model with one input. It is not changed. Its input size may be unknown.
        precision: `"float32"`: outputs agree with the model to 1e-5. `"bfloat16"`: products are computed from numbers
            of eight bits of precision; a probability may change by some hundredths. `"auto"`: float32; where the
            hardware multiplies bfloat16, both forms are timed on a batch of eight images and the quicker is kept.
        engine: `"tensorflow"`, or `"litert"`: LiteRT's interpreter on all cores of the processor, in float32. It is the
            quicker one for single images and small networks (docs/inference.md). The model needs one output and a
            known input size.

    Returns:
        A function of a batch, as the model takes it: an array gives an array, a tensor a tensor, several outputs a
        dictionary. It has `precision` and `save(path)`, which writes a SavedModel.

    Raises:
        ValueError: for another precision or engine, a model that is not functional or has several inputs, or a backend
            other than TensorFlow. With LiteRT also for bfloat16, several outputs, an unknown input size, or operators
            that it does not have.
    """
    if engine not in ENGINES:
        raise ValueError(f"`engine` should be one of {ENGINES}. Received: engine={engine!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` should be one of {PRECISIONS}. Received: precision={precision!r}")
    if not ON_TENSORFLOW:
        raise ValueError(
            f"`optimize` needs Keras's TensorFlow backend (KERAS_BACKEND=tensorflow). Received: "
            f"backend={keras.backend.backend()!r}"
        )
    if len(model.inputs) != 1:
        raise ValueError(f"`optimize` takes a model with one input. Received: {len(model.inputs)} inputs")
    if engine == "litert":
        return _interpreted(model, precision)
    if precision == "auto" and not has_bfloat16():
        precision = "float32"
    folded = inference_form(in_precision(model, "float32"))
    forms = ("float32", "bfloat16") if precision == "auto" else (precision,)
    made = {form: OptimizedModel(frozen(_in_form(folded, form)), form) for form in forms}
    return made[precision] if len(made) == 1 else _quickest(list(made.values()), model.input_shape[1:])


def frozen(model: keras.Model, before: Callable | None = None):
    """Returns a traced function of a float32 batch, in which the weights of `model` are constants.

    Args:
        model: a functional model with one input.
        before: what the batch goes through first, tensor -> tensor.
    """
    weights = [(variable, np.asarray(variable)) for variable in model.variables]

    @tf.function(input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)], autograph=False)
    def compute(inputs):
        with keras.StatelessScope([(variable, tf.constant(value)) for variable, value in weights]):
            outputs = run(model, before(inputs) if before else inputs, fusible)
        return tf.nest.map_structure(lambda output: tf.cast(output, tf.float32), outputs)

    compute.get_concrete_function()
    return compute


def in_precision(model: keras.Model, policy: str) -> keras.Model:
    """Returns `model` with the dtype policy `policy` in all layers but those that make its outputs, which get float32.

    The model itself is returned if it is in float32 and that is wanted; otherwise the result has weights of its own.
    """
    if policy == "float32" and all(layer.compute_dtype == "float32" for layer in model.layers):
        return model
    last = {producer(output).name for output in model.outputs}

    def with_policy(config, wanted):
        if isinstance(config, dict):
            return {key: wanted if key == "dtype" else with_policy(value, wanted) for key, value in config.items()}
        return [with_policy(each, wanted) for each in config] if isinstance(config, list | tuple) else config

    def clone(layer):
        wanted = "float32" if layer.name in last or isinstance(layer, keras.layers.InputLayer) else policy
        return layer.__class__.from_config(with_policy(layer.get_config(), wanted))

    with deep_recursion():
        twin = keras.models.clone_model(model, clone_function=clone)
    twin.set_weights(model.get_weights())
    twin.preprocessing = carried(model)
    return twin


def _interpreted(model: keras.Model, precision: str) -> OptimizedModel:
    if precision == "bfloat16":
        raise ValueError("`engine='litert'` computes in float32. Received: precision='bfloat16'")
    if len(model.outputs) != 1 or None in model.input_shape[1:]:
        raise ValueError(
            "`engine='litert'` takes a model with one output and a known input size. "
            f"Received: {len(model.outputs)} outputs, input_shape={model.input_shape[1:]}"
        )
    return OptimizedModel(interpreted(inference_form(in_precision(model, "float32"))), "float32", "litert")


def _in_form(folded: keras.Model, form: str) -> keras.Model:
    return folded if form == "float32" else native_groups(in_precision(folded, "mixed_bfloat16"))


def _quickest(forms: list[OptimizedModel], shape: tuple) -> OptimizedModel:
    """Returns the form that is quickest on random images, timed in turns."""
    shape = (8, *(size or 224 for size in shape))
    images = tf.constant(np.random.default_rng(0).normal(size=shape).astype("float32"))
    seconds = [float("inf")] * len(forms)
    for turn in range(4):
        for number, form in enumerate(forms):
            start = time.perf_counter()
            tf.nest.map_structure(lambda output: output.numpy(), form(images))
            if turn:  # The first call compiles.
                seconds[number] = min(seconds[number], time.perf_counter() - start)
    return forms[int(np.argmin(seconds))]


def _named_outputs(function):
    """Returns the function with its input called `inputs` and its outputs in a dictionary."""

    @tf.function(input_signature=[tf.TensorSpec(function.input_signature[0].shape, tf.float32, name="inputs")])
    def serve(inputs):
        outputs = function(inputs)
        return outputs if isinstance(outputs, dict) else {"outputs": outputs}

    return serve
