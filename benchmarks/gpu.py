"""Forward pass and training step on a GPU: our builders under JAX and PyTorch, beside torchvision with `torch.compile`.

    python benchmarks/gpu.py [--nets NAME ...] [--sides jax torch torchvision] [--batch 64 256] [--minutes 9]

TensorFlow is not needed. Every network on every side is a process of its own. All compute in bfloat16 (Keras's policy
`mixed_bfloat16`, PyTorch's autocast) and train by SGD with momentum 0.9 on one batch of random images that lies on the
device. Times are medians of 20 steps after warming up; `first` is the first training step, compilation included.

* jax: `jax.jit` over Keras's `stateless_call` and `stateless_apply`. `fit` is Keras's own, which takes its batches from
  the host's memory.
* torch: the same builders on PyTorch, eagerly, with PyTorch's SGD; `fit` is Keras's own.
* torchvision: `torch.compile`, channels_last.

On a machine without a GPU it runs on the processor, for trying it out: `--nets resnet18 --batch 2 --size 64`.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from sides import MARK

# Our variant -> torchvision's network.
NETS = {
    "resnet50_v1_5": "resnet50",
    "mobilenet_v2_torchvision": "mobilenet_v2",
    "resnext50_32x4d": "resnext50_32x4d",
    "efficientnet_b0_torchvision": "efficientnet_b0",
    "densenet121": "densenet121",
    "resnet18": "resnet18",
}
DEFAULT = ("resnet50_v1_5", "mobilenet_v2_torchvision", "resnext50_32x4d", "efficientnet_b0_torchvision", "densenet121")
SIDES = ("jax", "torch", "torchvision")
STEPS = 20


def example(batch: int, size: int):
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, size, size, 3)).astype("float32"), rng.integers(0, 1000, batch)


def median_ms(run, wait, count: int = STEPS) -> float:
    """The median of `count` calls of `run` in milliseconds; `wait` blocks until what it returned is computed."""
    for _ in range(3):
        wait(run())
    times = []
    for _ in range(count):
        start = time.perf_counter()
        wait(run())
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def our_network(net: str, size: int):
    import keras

    import kerasnets

    keras.config.set_dtype_policy("mixed_bfloat16")
    return kerasnets.create_model(net, classifier_activation=None, input_shape=(size, size, 3))


def jax_side(net: str, batch: int, size: int) -> dict:
    import jax
    import keras

    model = our_network(net, size)
    images, labels = example(batch, size)
    x, y = jax.device_put(images), jax.device_put(labels)
    weights = [v.value for v in model.trainable_variables]
    state = [v.value for v in model.non_trainable_variables]
    forward = jax.jit(lambda weights, state, x: model.stateless_call(weights, state, x, training=False)[0])
    answer = {"device": jax.devices()[0].device_kind}
    answer["forward"] = median_ms(lambda: forward(weights, state, x), jax.block_until_ready)

    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)

    def loss(weights, state, x, y):
        logits, state = model.stateless_call(weights, state, x, training=True)
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)), state

    @jax.jit
    def step(weights, state, slots, x, y):
        (value, state), gradients = jax.value_and_grad(loss, has_aux=True)(weights, state, x, y)
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        return weights, state, slots, value

    carried = [weights, state, [v.value for v in optimizer.variables]]

    def run():
        *carried[:], value = step(*carried, x, y)
        return value

    start = time.perf_counter()
    jax.block_until_ready(run())
    answer["first"] = time.perf_counter() - start
    answer["step"] = median_ms(run, jax.block_until_ready)
    answer["fit"] = fit_ms(model, images, labels)
    return answer


def fit_ms(model, images, labels, batches: int = 8) -> float:
    """Milliseconds of a step of Keras's `fit` on arrays of the host, the first epoch left out."""
    import keras
    import numpy as np

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    x, y = np.concatenate([images] * batches), np.concatenate([labels] * batches)
    settings = {"batch_size": len(images), "verbose": 0, "shuffle": False}
    model.fit(x, y, epochs=1, **settings)
    start = time.perf_counter()
    model.fit(x, y, epochs=2, **settings)
    return 1000 * (time.perf_counter() - start) / (2 * batches)


def torch_side(net: str, batch: int, size: int) -> dict:
    import torch

    model = our_network(net, size)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, labels = example(batch, size)
    x, y = torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)
    answer = torch_times(model, x, y, lambda x, training: model(x, training=training))
    return answer | {"fit": fit_ms(model, images, labels)}


def torchvision_side(net: str, batch: int, size: int) -> dict:
    import torch
    import torchvision

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = torchvision.models.get_model(NETS[net]).to(device, memory_format=torch.channels_last)
    images, labels = example(batch, size)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(device, memory_format=torch.channels_last)
    compiled = torch.compile(model)

    def call(x, training):
        model.train(training)
        with torch.autocast(device, torch.bfloat16):
            return compiled(x)

    return torch_times(model, x, torch.from_numpy(labels).to(device), call)


def torch_times(model, x, y, call) -> dict:
    import torch

    def wait(_):
        if x.is_cuda:
            torch.cuda.synchronize()

    def forward():
        with torch.no_grad():
            return call(x, False)

    optimizer = torch.optim.SGD(list(model.parameters()), 0.01, momentum=0.9)

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(call(x, True).float(), y).backward()
        optimizer.step()

    answer = {"device": torch.cuda.get_device_name() if x.is_cuda else "cpu", "forward": median_ms(forward, wait)}
    start = time.perf_counter()
    wait(step())
    answer["first"] = time.perf_counter() - start
    return answer | {"step": median_ms(step, wait)}


def run_side(side: str, net: str, batch: int, size: int, limit: float) -> dict | str:
    """What one process measured, or in one line why there is nothing."""
    if limit < 30:
        return "not run: no time left"
    command = [sys.executable, __file__, "--side", side, "--nets", net]
    command += ["--batch", str(batch), "--size", str(size)]
    backend = {"KERAS_BACKEND": "jax" if side == "jax" else "torch", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, **backend, "PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"not run to the end: {limit:.0f} s are over"
    line = next((line for line in done.stdout.splitlines() if line.startswith(MARK)), None)
    return json.loads(line.removeprefix(MARK)) if line else f"failed: {done.stderr.strip().splitlines()[-1][:200]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=DEFAULT)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=("jax", "torchvision"))
    parser.add_argument("--batch", nargs="+", type=int, default=[128])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        measure = {"jax": jax_side, "torch": torch_side, "torchvision": torchvision_side}[options.side]
        print(MARK + json.dumps(measure(options.nets[0], options.batch[0], options.size)), flush=True)
        return
    end, ratios = time.monotonic() + 60 * options.minutes, []
    print(f"{options.size}x{options.size}, bfloat16; milliseconds, first in seconds")
    for net, batch in itertools.product(options.nets, options.batch):
        found = {}
        for side in options.sides:
            found[side] = answer = run_side(side, net, batch, options.size, end - time.monotonic())
            known = answer if isinstance(answer, str) else "  ".join(
                f"{key} {value:.1f}" for key, value in answer.items() if key != "device"
            )  # fmt: skip
            device = "" if isinstance(answer, str) else answer["device"]
            print(f"{net:28} batch {batch:<4} {side:12} {known}  {device}", flush=True)
        theirs = found.get("torchvision")
        for side, answer in found.items():
            if side != "torchvision" and isinstance(theirs, dict) and isinstance(answer, dict):
                name = f"{net}_{batch}" if len(options.batch) > 1 else net
                ratios += [f"ratio {side}_{key}_{name} {theirs[key] / answer[key]:.2f}" for key in ("forward", "step")]
    print("\n".join(ratios))


if __name__ == "__main__":
    main()
