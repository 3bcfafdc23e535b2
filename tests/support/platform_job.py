"""Shows what plain Keras does under tf.distribute: `python platform_job.py FACT` prints the result as JSON."""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

ONES = np.ones((4, 1), "float32")


def two_devices():
    """Returns MirroredStrategy over two logical CPUs, in a process that has not computed anything yet."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def one_weight(optimizer, strategy=None):
    """Returns a model `y = w x` with w = 1. With targets below -1, the gradient of its loss is the mean of x."""
    with (strategy or tf.distribute.get_strategy()).scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
        model.compile(optimizer(), loss="mae", jit_compile=False)
    return model


def several_workers_fit():
    """Returns whether `fit` raises with two workers, which TF_CONFIG names."""
    model = one_weight(keras.optimizers.SGD, tf.distribute.MultiWorkerMirroredStrategy())
    return fails(lambda: model.fit(tf.data.Dataset.from_tensors((ONES, ONES - 10)), verbose=0))


def accumulation():
    """Returns whether gradient accumulation raises on two devices."""
    strategy = two_devices()
    model = one_weight(lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), strategy)
    data = tf.data.Dataset.from_tensors((ONES, ONES - 10)).repeat(2)
    return fails(lambda: model.fit(data, verbose=0))


def clipping():
    """Returns the weight after one step of SGD(0.1, global_clipnorm=0.5), on one device and on two."""
    strategy = two_devices()
    after = []
    for place in (None, strategy):
        model = one_weight(lambda: keras.optimizers.SGD(0.1, global_clipnorm=0.5), place)
        model.fit(tf.data.Dataset.from_tensors((ONES, ONES - 10)), verbose=0)
        after.append(model.get_weights()[0].item())
    return after


def empty_replica():
    """Returns whether all weights are finite after a last batch that leaves a replica without examples."""
    strategy = two_devices()
    with strategy.scope():
        model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.BatchNormalization(), keras.layers.Flatten()])
        model.compile(keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
    images = np.random.default_rng(0).normal(size=(5, 2, 2, 1)).astype("float32")
    model.fit(tf.data.Dataset.from_tensor_slices((images, images.reshape(5, 4))).batch(4), verbose=0)
    return bool(all(np.isfinite(w).all() for w in model.get_weights()))


def uneven_batch():
    """Returns the weight after a last batch of three examples with gradients 0, 0 and 1, on one device and on two."""
    strategy = two_devices()
    images = np.array([[0.0]] * 6 + [[1.0]], "float32")
    after = []
    for place in (None, strategy):
        model = one_weight(lambda: keras.optimizers.SGD(0.3), place)
        model.fit(tf.data.Dataset.from_tensor_slices((images, images - 10)).batch(4), verbose=0)
        after.append(model.get_weights()[0].item())
    return after


def fails(work) -> bool:
    """Returns whether `work` raises."""
    try:
        work()
    except Exception:
        return True
    return False


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()), flush=True)
