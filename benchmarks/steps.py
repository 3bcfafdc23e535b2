"""Training steps that several benchmarks time: a bare gradient step, Keras's `fit` and torchvision in channels_last."""

import os
import time


def with_layers(model, old: type, new: type):
    """Returns the same graph with layers of the class `new` in place of those of the class `old`."""
    import keras

    def swap(layer):
        return (new if isinstance(layer, old) else type(layer)).from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=swap)


def gradient_step(model, x, y):
    """Returns a function that takes one step of SGD on the batch (x, y) and returns the loss."""
    import keras
    import tensorflow as tf

    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=False)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, model(x, training=True)))
        weights = [v.value for v in model.trainable_variables]
        optimizer.apply(tape.gradient(loss, weights), model.trainable_variables)
        return loss

    return lambda: step().numpy()


def fit_steps(model, data, callbacks=(), clock=time.perf_counter):
    """Returns a function of a number of steps: it runs them with `fit` and returns the seconds of all but the first."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.ends = []

        def on_train_batch_end(self, batch, logs=None):
            self.ends.append(clock())

    watch = Clock()

    def steps(count):
        settings = {"steps_per_epoch": count, "verbose": 0, "shuffle": False}
        model.fit(data, callbacks=[*callbacks, watch], **settings)
        return [after - before for before, after in zip(watch.ends, watch.ends[1:], strict=False)]

    return steps


def take_turns(sides: dict, turns: int, steps: int, warm_up: int) -> dict[str, list[float]]:
    """Runs `steps` of each side in turn, `turns` times, and returns the seconds of every step by side.

    sides: name -> function of `fit_steps`; `warm_up` steps of each come first, for tracing.
    """
    for take in sides.values():
        take(warm_up)
    seconds = {name: [] for name in sides}
    for _ in range(turns):
        for name, take in sides.items():
            seconds[name] += take(steps)
    return seconds


def torchvision_step(name: str, images, labels, classes: int, bfloat16: bool = False):
    """Returns a function that takes one step of the network `name` and waits for its loss.

    Args:
        images: float32 array [B, height, width, 3], already normalised.
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


def seconds(step, count: int, clock=time.perf_counter) -> list[float]:
    """Returns the seconds of `count` steps, after one step of warm-up."""
    times = []
    for _ in range(count + 1):
        start = clock()
        step()
        times.append(clock() - start)
    return times[1:]
