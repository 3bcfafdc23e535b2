"""Compares our input pipeline with torchvision's and Keras's: RandomResizedCrop(224) and flip of 500x375 JPEGs.

    python benchmarks/input_pipeline.py [--torch-python PYTHON] [--rounds 3] [--batches 24] [--images 512]

Each side has a process of its own that keeps its pipeline open. The sides take turns, pass by pass, so that a slow
minute of the machine hits them all, and the best pass of each counts. The time of one core for each image is printed
too, worker processes included: other work on the machine changes it less than it changes images per second. The sides:

* ours: as `train` runs a recipe with default settings: op determinism is on, the batch is uint8, and the training step
  normalises it;
* ours_bicubic: ours for a network whose evaluation is bicubic;
* ours_filter: ours with `interpolation: bicubic`, Pillow's filter;
* ours_host: the pipeline normalises the batch to float32, as the other sides do;
* ours_sampled: ours with `antialias: false`, which shrinks crops by sampling; torchvision averages;
* torchvision-N: ImageFolder, RandomResizedCrop, RandomHorizontalFlip, ToTensor, Normalize and a DataLoader with N
  workers. It needs torch and torchvision, in this Python or in that of --torch-python;
* keras: image_dataset_from_directory to 256x256, RandomCrop, RandomFlip and Normalization, which is less work than the
  other sides have.

Two pairs of sides measure parts of it:

* decode and decode_bare: one thread crops, resizes and flips files that are in memory; against
  `tf.io.decode_and_crop_jpeg` of the same crops and `tf.image.resize`, and nothing else, in one thread too;
* step and step_free: how long `next()` of a batch blocks after a step of 400 ms, in which a sleep stands for the GPU;
  with op determinism, as `train` runs it, and without.

The photographs are crops of scikit-learn's two sample images.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from sides import ask, has_torch, open_sides, serve

BATCH, SIZE, UNTIMED = 32, 224, 8
STEP = 0.4
OURS = ("ours", "ours_bicubic", "ours_filter", "ours_host", "ours_sampled")
PARTS = ("decode", "decode_bare", "step", "step_free")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write_photos(root: Path, count: int) -> None:
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    rng, photos = np.random.default_rng(0), [Image.fromarray(image) for image in load_sample_images().images]
    for number in range(count):
        photo, width = photos[number % 2], int(rng.integers(360, 569))
        height = width * 3 // 4
        left, top = int(rng.integers(0, photo.width - width + 1)), int(rng.integers(0, photo.height - height + 1))
        path = root / "train" / f"class{number % 2}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.crop((left, top, left + width, top + height)).resize((500, 375), Image.BICUBIC).save(path, quality=92)


def ours(root: str, host: bool = False, evaluation: str = "bilinear", deterministic: bool = True, **augmentation):
    """Yields the batches of our pipeline, with op determinism as in a run with a recipe's defaults."""
    import tensorflow as tf

    from kerasnets.data.images.per_image import normalise
    from kerasnets.data.pipeline import parallel, training_batches
    from kerasnets.data.sources import open_source
    from kerasnets.recipe.data_options import DataOptions, SourceOptions
    from kerasnets.registry import Preprocessing

    tf.keras.utils.set_random_seed(0)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    numbers = {"mean": tuple(255 * m for m in MEAN), "std": tuple(255 * s for s in STD)}
    preprocessing = Preprocessing(size=SIZE, interpolation=evaluation, **numbers)
    options = DataOptions(
        source=SourceOptions(kind="folder", path=root),
        augmentation={"random_resized_crop": {}, "random_flip": "horizontal", **augmentation},
    )
    batches = training_batches(open_source(options.source, "train"), preprocessing, options, batch_size=BATCH, seed=0)
    if host:
        step = tf.function(lambda images: normalise(images, preprocessing), autograph=False)
        batches = batches.map(lambda images, labels: (step(images), labels), tf.data.AUTOTUNE).prefetch(2)
    yield from parallel(batches)


def decode(root: str, bare: bool = False):
    """Yields a number for each image of a batch, after one thread has cropped and resized files that are in memory."""
    import tensorflow as tf

    from kerasnets.data.images.geometry import random_resized_window
    from kerasnets.data.images.per_image import fold_in, training_transform
    from kerasnets.recipe.data_options import AugmentationOptions, RandomResizedCrop
    from kerasnets.registry import Preprocessing

    tf.config.threading.set_intra_op_parallelism_threads(1)
    box = RandomResizedCrop()
    augmentation = AugmentationOptions(random_resized_crop=box, random_flip="horizontal")
    transform = training_transform(Preprocessing(size=SIZE), augmentation)
    files = tf.constant([path.read_bytes() for path in sorted(Path(root).rglob("*.jpg"))])
    seeds = tf.constant([[0, i] for i in range(len(files))], tf.int64)
    windows = tf.stack([random_resized_window(375, 500, box.scale, box.ratio, fold_in(seed, 0)) for seed in seeds])

    def one(contents, seed, window):
        if bare:
            return tf.image.resize(tf.io.decode_and_crop_jpeg(contents, window, 3), [SIZE, SIZE])[0, 0, 0]
        return transform(contents, seed)[0, 0, 0]

    options = tf.data.Options()  # without them tf.data makes some maps parallel
    options.autotune.enabled, options.experimental_optimization.apply_default_optimizations = False, False
    examples = tf.data.Dataset.from_tensor_slices((files, seeds, windows)).repeat()
    yield from examples.map(one).batch(BATCH).with_options(options)


def keras_side(root: str):
    import keras
    import tensorflow as tf

    files = keras.utils.image_dataset_from_directory(f"{root}/train", image_size=(256, 256), batch_size=BATCH, seed=0)
    variance = [(255 * s) ** 2 for s in STD]
    layers = [keras.layers.RandomCrop(SIZE, SIZE), keras.layers.RandomFlip("horizontal")]
    layers.append(keras.layers.Normalization(mean=[255 * m for m in MEAN], variance=variance))

    def augment(images, labels):
        for layer in layers:
            images = layer(images, training=True) if layer is not layers[-1] else layer(images)
        return images, labels

    whole = files.map(augment, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE).repeat()
    return (batch for batch in whole if batch[0].shape[0] == BATCH)


def torchvision_side(root: str, workers: int):
    import torch
    from torchvision import datasets, transforms

    steps = [transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    images = datasets.ImageFolder(f"{root}/train", transforms.Compose([*steps, transforms.Normalize(MEAN, STD)]))
    settings = {"batch_size": BATCH, "shuffle": True, "drop_last": True, "num_workers": workers}
    loader = torch.utils.data.DataLoader(images, **settings, persistent_workers=workers > 0)
    while True:
        yield from loader


def side(name: str, root: str) -> None:
    """Answers each request, a number of batches, with the seconds they took, after a few batches that are not timed."""
    kind, _, workers = name.partition("-")
    sides = {
        "ours": lambda: ours(root),
        "ours_bicubic": lambda: ours(root, evaluation="bicubic"),
        "ours_filter": lambda: ours(root, interpolation="bicubic"),
        "ours_host": lambda: ours(root, host=True),
        "ours_sampled": lambda: ours(root, antialias=False),
        "decode": lambda: decode(root),
        "decode_bare": lambda: decode(root, bare=True),
        "step": lambda: ours(root),
        "step_free": lambda: ours(root, deterministic=False),
        "keras": lambda: keras_side(root),
        "torchvision": lambda: torchvision_side(root, int(workers)),
    }
    batches = iter(sides[kind]())
    pause = STEP if kind.startswith("step") else 0.0

    def seconds(count):
        for _ in range(UNTIMED):  # these were prepared while the other sides had their turn
            next(batches)
        total, before = 0.0, cpu_seconds(os.getpid())
        for _ in range(int(count)):
            time.sleep(pause)
            start = time.perf_counter()
            next(batches)
            total += time.perf_counter() - start
        return total, cpu_seconds(os.getpid()) - before

    serve(seconds)


def cpu_seconds(pid: int) -> float:
    """Returns the processor seconds of a process and its children, as Linux counts them."""
    pids, total = [pid], 0.0
    for each in pids:
        fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / 100.0
        tasks = Path(f"/proc/{each}/task").glob("*/children")
        pids += [int(child) for task in tasks for child in task.read_text().split()]
    return total


def measure(processes: dict, rounds: int, batches: int) -> tuple[dict, dict]:
    """Returns the images per second and the microseconds of one core per image, of the best pass of each side."""
    speeds, costs = {name: 0.0 for name in processes}, {name: float("inf") for name in processes}
    for process in processes.values():
        ask(process, 1)
    for _ in range(rounds):
        for name, process in processes.items():
            wall, cpu = ask(process, batches)
            speeds[name] = max(speeds[name], batches * BATCH / wall)
            costs[name] = min(costs[name], 1e6 * cpu / (batches * BATCH))
    return speeds, costs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=24)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return side(*options.side)
    pythons = {name: sys.executable for name in (*OURS, *PARTS, "keras")}
    if has_torch(options.torch_python):
        pythons |= {f"torchvision-{workers}": options.torch_python for workers in (1, 2, 3)}
    else:
        print("torchvision: not run, torch and torchvision are not installed")
    with tempfile.TemporaryDirectory() as root:
        write_photos(Path(root), options.images)
        with open_sides(__file__, pythons, root) as processes:
            speeds, costs = measure(processes, options.rounds, options.batches)
    for name in speeds:
        if name.startswith("step"):
            print(f"{name}: next() blocks for {1e3 * BATCH / speeds[name]:.2f} ms")
        else:
            print(f"{name}: {speeds[name]:.0f} images/s, {costs[name]:.0f} us of a core per image")
    best = max((name for name in speeds if name.startswith("torchvision")), key=speeds.get, default=None)
    print(f"ratio input_pipeline_decode_bare {costs['decode_bare'] / costs['decode']:.2f}")
    print(f"ratio input_pipeline_step_free {speeds['step'] / speeds['step_free']:.2f}")
    print(f"ratio input_pipeline_bicubic_bilinear {speeds['ours_bicubic'] / speeds['ours']:.2f}")
    print(f"ratio input_pipeline_filter_bilinear {speeds['ours_filter'] / speeds['ours']:.2f}")
    for name in ("ours", "ours_host", "ours_sampled"):
        for other in filter(None, (best, "keras")):
            label = f"input_pipeline_{name}_{other.split('-')[0]}"
            print(f"ratio {label}_cpu {costs[other] / costs[name]:.2f}")
            print(f"ratio {label} {speeds[name] / speeds[other]:.2f}")


if __name__ == "__main__":
    main()
