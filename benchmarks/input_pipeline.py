"""Compares our input pipeline with torchvision's and Keras's: RandomResizedCrop(224) and flip of 500x375 JPEGs.

    python benchmarks/input_pipeline.py [--torch-python PYTHON] [--rounds 3] [--batches 24] [--images 512]

Each side has a process of its own that keeps its pipeline open. The sides take turns, pass by pass, so that a slow
minute of the machine hits them all, and the best pass of each counts. The time of one core for each image is printed
too, worker processes included: other work on the machine changes it less than it changes images per second. The sides:

* ours: the batch is uint8, and the training step normalises it (the default of a recipe);
* ours_host: the pipeline normalises the batch to float32, as the other sides do;
* ours_sampled: ours with `antialias: false`, which shrinks crops by sampling; torchvision averages;
* torchvision-N: ImageFolder, RandomResizedCrop, RandomHorizontalFlip, ToTensor, Normalize and a DataLoader with N
  workers. It needs torch and torchvision, in this Python or in that of --torch-python;
* keras: image_dataset_from_directory to 256x256, RandomCrop, RandomFlip and Normalization, which is less work than the
  other sides have.

The photographs are crops of scikit-learn's two sample images.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from sides import ask, has_torch, open_sides, serve

BATCH, SIZE, UNTIMED = 32, 224, 8
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


def ours(root: str, host: bool = False, antialias: bool = True):
    """Yields the batches of our pipeline, with op determinism as in a run with a recipe's defaults."""
    import tensorflow as tf

    from kerasnets.data.images.per_image import normalise
    from kerasnets.data.pipeline import parallel, training_batches
    from kerasnets.data.sources import open_source
    from kerasnets.recipe.data_options import DataOptions, SourceOptions
    from kerasnets.registry import Preprocessing

    tf.keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    numbers = {"mean": tuple(255 * m for m in MEAN), "std": tuple(255 * s for s in STD)}
    preprocessing = Preprocessing(size=SIZE, **numbers)
    options = DataOptions(
        source=SourceOptions(kind="folder", path=root),
        augmentation={"random_resized_crop": {}, "random_flip": "horizontal", "antialias": antialias},
    )
    batches = training_batches(open_source(options.source, "train"), preprocessing, options, batch_size=BATCH, seed=0)
    if host:
        step = tf.function(lambda images: normalise(images, preprocessing), autograph=False)
        batches = batches.map(lambda images, labels: (step(images), labels), tf.data.AUTOTUNE).prefetch(2)
    yield from parallel(batches)


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
        "ours_host": lambda: ours(root, host=True),
        "ours_sampled": lambda: ours(root, antialias=False),
        "keras": lambda: keras_side(root),
        "torchvision": lambda: torchvision_side(root, int(workers)),
    }
    batches = iter(sides[kind]())

    def seconds(count):
        for _ in range(UNTIMED):  # prepared while the other sides had their turn
            next(batches)
        start = time.perf_counter()
        for _ in range(int(count)):
            next(batches)
        return time.perf_counter() - start

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

    def one_pass(process, count):
        cpu = cpu_seconds(process.pid)
        return ask(process, count), cpu_seconds(process.pid) - cpu

    speeds, costs = {name: 0.0 for name in processes}, {name: float("inf") for name in processes}
    for process in processes.values():
        one_pass(process, 1)
    for _ in range(rounds):
        for name, process in processes.items():
            wall, cpu = one_pass(process, batches)
            speeds[name] = max(speeds[name], batches * BATCH / wall)
            costs[name] = min(costs[name], 1e6 * cpu / ((UNTIMED + batches) * BATCH))
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
    pythons = {name: sys.executable for name in ("ours", "ours_host", "ours_sampled", "keras")}
    if has_torch(options.torch_python):
        pythons |= {f"torchvision-{workers}": options.torch_python for workers in (1, 2, 3)}
    else:
        print("torchvision: not run, torch and torchvision are not installed")
    with tempfile.TemporaryDirectory() as root:
        write_photos(Path(root), options.images)
        with open_sides(__file__, pythons, root) as processes:
            speeds, costs = measure(processes, options.rounds, options.batches)
    for name in speeds:
        print(f"{name}: {speeds[name]:.0f} images/s, {costs[name]:.0f} us of a core per image")
    best = max((name for name in speeds if name.startswith("torchvision")), key=speeds.get, default=None)
    for name in ("ours", "ours_host", "ours_sampled"):
        for other in filter(None, (best, "keras")):
            label = f"input_pipeline_{name}_{other.split('-')[0]}"
            print(f"ratio {label}_cpu {costs[other] / costs[name]:.2f}")
            print(f"ratio {label} {speeds[name] / speeds[other]:.2f}")


if __name__ == "__main__":
    main()
