"""Times forward and backward pass of the layers and activations that train quicker on a processor, beside Keras's.

    python benchmarks/training_kernels.py [--batch 16] [--turns 5]

The sides take turns, and the quickest of each counts. The shapes are those of ResNet-50, MobileNetV2 and
EfficientNet-B0. bfloat16 is measured where the processor has it.
"""

import argparse
import os
import time

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read once, when TensorFlow is imported

# Name -> Keras's layer, its arguments, and the input shape of one image.
LAYERS = {
    "1x1": ("Conv2D", {"filters": 256, "kernel_size": 1}, (14, 14, 1024)),
    "1x1_large_map": ("Conv2D", {"filters": 256, "kernel_size": 1}, (56, 56, 64)),
    "3x3_small_map": ("Conv2D", {"filters": 512, "kernel_size": 3, "padding": "same"}, (7, 7, 512)),
    "3x3_stride_2": ("Conv2D", {"filters": 512, "kernel_size": 3, "strides": 2, "padding": "same"}, (14, 14, 512)),
    "depthwise_5x5": ("DepthwiseConv2D", {"kernel_size": 5, "padding": "same"}, (14, 14, 672)),
    "depthwise_stride_2": ("DepthwiseConv2D", {"kernel_size": 3, "strides": 2, "padding": "same"}, (112, 112, 96)),
    "silu": ("Activation", {"activation": "silu"}, (56, 56, 144)),
    "relu6": ("Activation", {"activation": "relu6"}, (56, 56, 144)),
}


def sides(kind: str, arguments: dict, dtype: str):
    """Returns Keras's layer and ours with the same weights."""
    import keras

    from kerasnets.layers.processor_gradients import use_processor_gradients
    from kerasnets.layers.silu import silu

    policy = "float32" if dtype == "float32" else "mixed_bfloat16"
    bias = {} if kind == "Activation" else {"use_bias": False}
    stock = getattr(keras.layers, kind)(**arguments, **bias, dtype=policy)
    own = {"activation": silu} if arguments.get("activation") == "silu" else {}
    return stock, getattr(keras.layers, kind)(**{**arguments, **own}, **bias, dtype=policy), use_processor_gradients


def passes(layer, x):
    """Returns a function that runs the layer forward and backward."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def run():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return tape.gradient(y, [x, *(variable.value for variable in layer.trainable_variables)], y)

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()

    import keras
    import tensorflow as tf

    from kerasnets.graph.hardware import has_bfloat16

    ratios = {}
    for dtype in ("float32", "bfloat16") if has_bfloat16() else ("float32",):
        for name, (kind, arguments, shape) in LAYERS.items():
            stock, ours, quicken = sides(kind, arguments, dtype)
            quicken(keras.Sequential([keras.Input(shape), ours]))
            x = tf.cast(tf.random.stateless_normal((options.batch, *shape), (0, 0)), dtype)
            runs, seconds = [passes(layer, x) for layer in (stock, ours)], [[], []]
            for turn in range(options.turns + 1):
                for run, found in zip(runs, seconds, strict=True):
                    start = time.perf_counter()
                    run()
                    if turn:
                        found.append(time.perf_counter() - start)
            ratios[f"training_kernels_{name}_{dtype}"] = min(seconds[0]) / min(seconds[1])
            print(
                f"{name} {dtype}: Keras {min(seconds[0]) * 1e3:.1f} ms, ours {min(seconds[1]) * 1e3:.1f} ms", flush=True
            )
    for name, ratio in ratios.items():
        print(f"ratio {name} {ratio:.2f}")


if __name__ == "__main__":
    main()
