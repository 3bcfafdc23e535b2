"""Training steps that several benchmarks take: Keras's `fit` with a clock in it, and torchvision's in channels_last."""

import os
import time


def fit_steps(model, data, callbacks=()):
    """Returns a function that runs a number of steps by `fit` and returns the seconds of all but the first."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.ends = []

        def on_train_batch_end(self, batch, logs=None):
            self.ends.append(time.perf_counter())

    clock = Clock()

    def steps(count):
        settings = {"steps_per_epoch": count, "verbose": 0, "shuffle": False}
        model.fit(data, callbacks=[*callbacks, clock], **settings)
        return [after - before for before, after in zip(clock.ends, clock.ends[1:], strict=False)]

    return steps


def torchvision_step(name: str, images, labels, classes: int, bfloat16: bool = False):
    """Returns a function that takes one step of the network `name` and waits for its loss.

    Args:
        images: float32 array [B, height, width, 3], as the network takes them.
        labels: integer array [B].
    """
    import torch
    import torchvision

    torch.set_num_threads(os.cpu_count())
    model = torchvision.models.get_model(name, num_classes=classes).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(labels)

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def seconds(step, count: int) -> list[float]:
    """Returns the seconds of `count` steps, after one that warms up."""
    times = []
    for _ in range(count + 1):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times[1:]
