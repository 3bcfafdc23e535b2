"""LiteRT (TFLite) for float32 networks: its converter, and its interpreter as a function of a batch."""

import os
import threading
from collections.abc import Callable

import keras
import numpy as np

from kerasnets.layers.backend import tf


def converter_of(network: keras.Model):
    """Returns the converter of a functional model with one input.

    The weights become constants first. That takes a fifth of the time of `TFLiteConverter.from_keras_model`, and a
    converter made from a traced function can leave variables out: the file then gives NaN.
    """
    weights = [(variable, np.asarray(variable)) for variable in network.variables]

    @tf.function(input_signature=[tf.TensorSpec(network.input_shape, tf.float32, name="image")], autograph=False)
    def run(image):
        with keras.StatelessScope([(variable, tf.constant(value)) for variable, value in weights]):
            return network(image, training=False)

    module = tf.Module()
    module.run = run
    return tf.lite.TFLiteConverter.from_concrete_functions([run.get_concrete_function()], module)


def interpreted(network: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function of a float32 batch (batch, ...) that LiteRT computes on all cores, in any thread.

    The interpreter is prepared for one batch size at a time; a call with another one prepares it again.

    Raises:
        ValueError: for a network that needs operators which LiteRT does not have.
    """
    from ai_edge_litert.interpreter import Interpreter

    converter = converter_of(network)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        content = converter.convert()
    except Exception as error:  # The converter's own exception classes are private.
        raise ValueError(f"LiteRT cannot compute this network: {str(error).strip().splitlines()[0]}") from error
    interpreter, lock = Interpreter(model_content=content, num_threads=os.cpu_count()), threading.Lock()
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    shape, expected = None, network.input_shape[1:]

    def compute(batch: np.ndarray) -> np.ndarray:
        nonlocal shape
        if not len(batch) or batch.shape[1:] != expected:
            raise ValueError(f"Expected at least one image, as {('batch', *expected)}. Received: shape={batch.shape}")
        with lock:
            if batch.shape != shape:
                interpreter.resize_tensor_input(entry["index"], batch.shape)
                interpreter.allocate_tensors()
                shape = batch.shape
            interpreter.set_tensor(entry["index"], batch)
            interpreter.invoke()
            return interpreter.get_tensor(end["index"])

    return compute
