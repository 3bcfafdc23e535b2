"""Trains ResNet-20 on CIFAR-10 under JAX, without TensorFlow: the recipe resnet20_cifar as one compiled loop.

    pip install "jax[cuda13]" pillow
    KERAS_BACKEND=jax python examples/jax_cifar.py DIR resnet20.weights.h5 [--steps 64000] [--seed 0]

DIR holds train/<class>/*.png (or .jpg), as for the recipe, whose numbers are used (He, Zhang, Ren and Sun 2015,
"Deep Residual Learning for Image Recognition", section 4.2, https://arxiv.org/abs/1512.03385). The images lie on the
device; 390 steps, an epoch of the data, are one call of it. `kerasnets evaluate resnet20_cifar --weights
resnet20.weights.h5 --data DIR/test` then tests the network.
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import keras
import numpy as np

import kerasnets

BATCH, PADDING, DECAY = 128, 4, 1e-4
MEAN, STD = (jnp.array(numbers) for numbers in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images, (N, 32, 32, 3) uint8, and the number of each one's class in alphabetical order."""
    from PIL import Image

    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [(path, label) for label, folder in enumerate(classes) for path in sorted(folder.iterdir())]
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in files]), np.array([y for _, y in files])


def augmented(images, key):
    """Normalised images, padded by their mean colour, cropped at random places and half of them mirrored."""
    corner, mirror = jax.random.split(key)
    corners = jax.random.randint(corner, (len(images), 2), 0, 2 * PADDING + 1)
    padded = jnp.pad((images - MEAN) / STD, ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)))
    crop = jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), (32, 32, 3)))(padded, corners)
    mirrored = jax.random.bernoulli(mirror, shape=(len(images), 1, 1, 1))
    return jnp.where(mirrored, crop[:, :, ::-1], crop)


def epoch_of(model, optimizer, images, labels):
    """A compiled function of the weights, the state, the optimiser's variables and a key: one epoch of training."""
    kernels = [index for index, variable in enumerate(model.trainable_variables) if variable.name == "kernel"]

    def loss(weights, state, x, y):
        logits, state = model.stateless_call(weights, state, x, training=True)
        entropy = jnp.mean(keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True))
        return entropy + DECAY / 2 * sum(jnp.sum(weights[index] ** 2) for index in kernels), (entropy, state)

    def step(carried, batch):
        (weights, state, slots), (rows, key) = carried, batch
        inputs = augmented(images[rows], key), labels[rows]
        (_, (entropy, state)), gradients = jax.value_and_grad(loss, has_aux=True)(weights, state, *inputs)
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        return (weights, state, slots), entropy

    @jax.jit
    def epoch(carried, key):
        order, steps = jax.random.permutation(key, len(images)), len(images) // BATCH
        batches = order[: steps * BATCH].reshape(steps, BATCH), jax.random.split(jax.random.fold_in(key, 1), steps)
        carried, entropies = jax.lax.scan(step, carried, batches)
        return carried, jnp.mean(entropies)

    return epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=64_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    images, labels = (jnp.asarray(array) for array in read(options.folder / "train"))
    model = kerasnets.create_model("resnet20_cifar", classifier_activation=None)
    milestones = [options.steps // 2, options.steps * 3 // 4]
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(milestones, [0.1, 0.01, 0.001])
    optimizer = keras.optimizers.SGD(rate, momentum=0.9)
    optimizer.build(model.trainable_variables)
    epoch = epoch_of(model, optimizer, images, labels)
    variables = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    carried = tuple([variable.value for variable in each] for each in variables)
    start, keys = time.perf_counter(), jax.random.key(options.seed)
    for number in range(max(1, round(options.steps / (len(images) // BATCH)))):
        carried, entropy = epoch(carried, jax.random.fold_in(keys, number))
        if number % 10 == 9 or number == 0:
            seconds = time.perf_counter() - start
            print(f"epoch {number + 1}  loss {float(entropy):.4f}  {seconds:.0f} s", flush=True)
    for variable, value in zip(variables[0] + variables[1], carried[0] + carried[1], strict=True):
        variable.assign(value)
    model.save_weights(options.output)
    print(f"{options.output}  {jax.devices()[0].device_kind}, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
