"""Times inference at 224x224: `kerasnets.optimize`, keras.applications, torchvision, ONNX Runtime and OpenVINO.

    python benchmarks/inference.py [--torch-python PYTHON] [--nets NAME ...] [--turns 3] [--steps 5] [--batches 1 16]
        [--size 224] [--precisions float32 bfloat16] [--threads N] [--processor-time]

Each side has a process of its own. The sides take turns of a few steps, and the median step of each counts. Biases and
the parameters of batch normalisation of our networks and of Keras's are random numbers, because graph optimisers remove
the addition of a zero. The sides:

* ours: `kerasnets.optimize`; in bfloat16 what `precision="bfloat16"` gives, not `auto`;
* litert: `kerasnets.optimize(engine="litert")`, ours as well; float32 only;
* keras: the network of keras.applications in a `tf.function`; in bfloat16 with Keras's policy `mixed_bfloat16`;
* torchvision: channels_last and `inference_mode`; in bfloat16 with autocast;
* onnxruntime: torchvision's network, exported to ONNX; float32 only;
* openvino: torchvision's network, converted by OpenVINO; in bfloat16 with its hint.

`--threads 1 --processor-time` measures what the cheapest step of each side costs one core, instead of how long the
median step takes. Other work on the machine changes that little.

The last three need their packages, in this Python or in that of --torch-python; what is missing is named. A network is
compared only with the same network: keras.applications has the paper's ResNet-50 and no ResNeXt.
"""

import argparse
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read once, when TensorFlow is imported

from sides import ask, open_sides, serve
from steps import seconds

# Our variant -> its names in keras.applications and in torchvision.
NETS = {
    "resnet50": {"keras": "ResNet50"},
    "resnet50_v1_5": {"torchvision": "resnet50"},
    "resnext50_32x4d": {"torchvision": "resnext50_32x4d"},
    "densenet121": {"keras": "DenseNet121", "torchvision": "densenet121"},
    "mobilenet_v2": {"keras": "MobileNetV2", "torchvision": "mobilenet_v2"},
    "efficientnet_b0": {"keras": "EfficientNetB0", "torchvision": "efficientnet_b0"},
    "vgg16": {"keras": "VGG16", "torchvision": "vgg16"},
}
# Side -> the packages that it imports.
NEEDED = {
    "torchvision": ("torch", "torchvision"),
    "onnxruntime": ("torch", "torchvision", "onnxruntime", "onnx", "onnxscript"),
    "openvino": ("torch", "torchvision", "openvino"),
}


def threads() -> int:
    """Returns how many threads a side uses: an environment variable of its process, or all cores."""
    return int(os.environ.get("BENCHMARK_THREADS") or os.cpu_count())


def example(batch: int, size: int):
    import numpy as np

    return np.random.default_rng(0).normal(size=(batch, size, size, 3)).astype("float32")


def with_random_vectors(model):
    import numpy as np

    rng = np.random.default_rng(0)
    for variable in model.weights:
        if len(variable.shape) == 1:
            variable.assign(np.asarray(variable) + rng.uniform(0.01, 0.2, variable.shape))
    return model


def ours(net: str, precision: str, size: int):
    import tensorflow as tf

    import kerasnets

    tf.config.threading.set_intra_op_parallelism_threads(threads())
    model = with_random_vectors(kerasnets.create_model(net, input_shape=(size, size, 3)))
    fast = kerasnets.optimize(model, precision)

    def step(batch):
        images = tf.constant(example(batch, size))
        return lambda: fast(images).numpy()

    return step


def litert_side(net: str, precision: str, size: int):
    import kerasnets

    model = with_random_vectors(kerasnets.create_model(net, input_shape=(size, size, 3)))
    count = threads()
    os.cpu_count = lambda: count
    fast = kerasnets.optimize(model, engine="litert")
    return lambda batch: functools.partial(fast, example(batch, size))


def keras_side(net: str, precision: str, size: int):
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads())
    keras.config.set_dtype_policy("float32" if precision == "float32" else "mixed_bfloat16")
    network = getattr(keras.applications, NETS[net]["keras"])(weights=None, input_shape=(size, size, 3))
    model = with_random_vectors(network)
    run = tf.function(lambda images: model(images, training=False), reduce_retracing=False)

    def step(batch):
        images = tf.constant(example(batch, size))
        return lambda: tf.cast(run(images), tf.float32).numpy()

    return step


def torch_network(net: str):
    import torchvision

    return torchvision.models.get_model(NETS[net]["torchvision"]).eval()


def torchvision_side(net: str, precision: str, size: int):
    import torch

    torch.set_num_threads(threads())
    model = torch_network(net).to(memory_format=torch.channels_last)

    def step(batch):
        images = torch.from_numpy(example(batch, size)).permute(0, 3, 1, 2)
        assert images.is_contiguous(memory_format=torch.channels_last)

        def run():
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision != "float32"):
                return model(images).float().numpy()

        return run

    return step


def onnxruntime_side(net: str, precision: str, size: int):
    import onnxruntime
    import torch

    def step(batch):
        """Each batch size has a file of its own, with fixed shapes."""
        pixels = example(batch, size).transpose(0, 3, 1, 2).copy()
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/net.onnx"
            torch.onnx.export(torch_network(net), (torch.from_numpy(pixels),), path, input_names=["x"], verbose=False)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads()
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": pixels})

    return step


def openvino_side(net: str, precision: str, size: int):
    import openvino
    import torch

    network = openvino.convert_model(torch_network(net), example_input=torch.zeros(1, 3, size, size))
    hint = {"INFERENCE_PRECISION_HINT": "f32" if precision == "float32" else "bf16", "PERFORMANCE_HINT": "LATENCY"}
    hint["INFERENCE_NUM_THREADS"] = threads()

    def step(batch):
        network.reshape([batch, 3, size, size])
        compiled = openvino.Core().compile_model(network, "CPU", hint)
        pixels = example(batch, size).transpose(0, 3, 1, 2).copy()
        return lambda: compiled(pixels)[0]

    return step


SIDES = {
    "ours": ours,
    "litert": litert_side,
    "keras": keras_side,
    "torchvision": torchvision_side,
    "onnxruntime": onnxruntime_side,
    "openvino": openvino_side,
}


def side(name: str) -> None:
    """Answers `NET PRECISION SIZE BATCH STEPS` with the seconds of the steps; keeps the last network."""
    kept = {}

    def answer(request):
        *wanted, batch, steps = request.split()
        if kept.get("wanted") != wanted:
            kept.clear()
            kept.update(wanted=wanted, step=SIDES[name](wanted[0], wanted[1], int(wanted[2])))
        if batch not in kept:
            kept[batch] = kept["step"](int(batch))
        return seconds(kept[batch], int(steps), clock)

    clock = time.process_time if os.environ.get("BENCHMARK_CLOCK") == "processor" else time.perf_counter
    serve(answer)


def pythons_of_sides(torch_python: str) -> dict[str, str]:
    """Returns the Python of each side that can run, and prints why others are not run."""
    found = {name: sys.executable for name in ("ours", "litert", "keras")}
    for name, packages in NEEDED.items():
        done = subprocess.run([torch_python, "-c", f"import {', '.join(packages)}"], capture_output=True, text=True)
        if done.returncode:
            print(f"{name}: not run: {done.stderr.strip().splitlines()[-1]}")
        else:
            found[name] = torch_python
    return found


def precisions() -> list[str]:
    from kerasnets.graph.hardware import has_bfloat16

    if has_bfloat16():
        return ["float32", "bfloat16"]
    print("bfloat16: not run: this machine has no bfloat16 in hardware")
    return ["float32"]


def compared_with(net: str, precision: str, names) -> list[str]:
    """Returns the sides that have this network in this precision."""
    fitting = {"keras": "keras", "torchvision": "torchvision", "onnxruntime": "torchvision", "openvino": "torchvision"}
    found = [name for name in names if name == "litert" or fitting.get(name) in NETS[net]]
    return [name for name in found if name not in ("litert", "onnxruntime") or precision == "float32"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--nets", nargs="*", choices=NETS, default=list(NETS))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 16])
    parser.add_argument("--size", type=int, default=224)
    default = "by default float32, and bfloat16 where the hardware has it"
    parser.add_argument("--precisions", nargs="*", choices=("float32", "bfloat16"), help=default)
    parser.add_argument("--threads", type=int, default=0, help="of each side; by default as many as cores")
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return side(options.side)
    os.environ["BENCHMARK_THREADS"] = str(options.threads or "")
    os.environ["BENCHMARK_CLOCK"] = "processor" if options.processor_time else ""
    ratios = {}
    with open_sides(__file__, pythons_of_sides(options.torch_python)) as processes:
        for precision in options.precisions or precisions():
            for net in options.nets:
                sides = ["ours", *compared_with(net, precision, processes)]
                for batch in options.batches:
                    times = {name: [] for name in sides}
                    for _ in range(options.turns):
                        for name in sides:
                            request = f"{net} {precision} {options.size} {batch} {options.steps}"
                            times[name] += ask(processes[name], request)
                    chosen = min if options.processor_time else statistics.median
                    counted = {name: chosen(each) for name, each in times.items()}
                    speeds = ", ".join(f"{name} {batch / each:.2f}" for name, each in counted.items())
                    print(f"{net} {precision} batch {batch}, images/s: {speeds}", flush=True)
                    for mine in {"ours", "litert"} & counted.keys():
                        for name in counted.keys() - {"ours", "litert"}:
                            ratios[f"inference_{net}_{precision}_b{batch}_{mine}_{name}"] = (
                                counted[name] / counted[mine]
                            )
    for name, ratio in ratios.items():
        print(f"ratio {name} {ratio:.2f}")


if __name__ == "__main__":
    main()
