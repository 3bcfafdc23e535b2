"""One epoch of ResNet-20 on CIFAR-10 as JPEG files, beside PyTorch in channels_last format with the same batch.

    python benchmarks/cifar_epoch.py [--data cifar10_jpeg.zip] [--steps 390] [--turns 3] [--torch-python PYTHON]

Both sides read the files, shift each image by up to four pixels, flip it, and train with batches of 128 by SGD with
momentum 0.9. Each side has a process of its own, and they take turns of a part of the epoch, so that a slow minute of
the machine hits all. A few steps to warm up are not counted. Ratios are printed of the time, and of the seconds of all
cores together (`processor`), which other work on the machine changes less.

* ours: `recipes/resnet20_cifar.yaml`, by the function that `fit` calls.
* torch-N: the same network (shortcuts without weights), ImageFolder, and a DataLoader with N workers. It needs torch
  and torchvision, in this Python or in that of --torch-python.

The data is a zip file or a folder with train/<class>/*.jpg. Without --data it is random pixels, for trying it out.
"""

import argparse
import os
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from sides import ask, has_torch, open_sides, serve

ROOT = Path(__file__).parents[1]
BATCH = 128
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
WARM_UP = 20


def write_data(data: str | None, root: Path) -> Path:
    """Returns a folder with train/<class>."""
    if data is None:
        return random_images(root)
    if Path(data).is_dir():
        return Path(data)
    zipfile.ZipFile(data).extractall(root)
    return next(path.parent for path in root.rglob("train") if path.is_dir())


def random_images(root: Path) -> Path:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, count in (("train", 26), ("test", 2)):
        for label in range(10):
            place = root / split / f"class{label}"
            place.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(place / f"{number}.jpg")
    return root


def ours(root: str):
    sys.path.insert(0, str(ROOT))
    from kerasnets.data.pipeline import parallel
    from kerasnets.distribution.strategy import distribute
    from kerasnets.recipe.read import load_recipe
    from kerasnets.training.prepare import make_job, training_data

    recipe = load_recipe(ROOT / "recipes" / "resnet20_cifar.yaml", [f"data.source.path={root}"])
    recipe = recipe.model_copy(update={"steps_per_epoch": None, "batch_size": BATCH})
    job = make_job(recipe, None)
    trainer, strategy = job.trainer, job.trainer.distribute_strategy
    trainer.make_train_function()
    iterator = iter(parallel(distribute(strategy, training_data(job), divided=True)))
    at_once = trainer.steps_per_execution

    def steps(count: int):
        for done in range(0, count, at_once):
            trainer.steps_per_execution = min(at_once, count - done)
            logs = trainer.train_function(iterator)
        return float(logs["loss"])

    return steps


def torch_network():
    import torch
    from torch import nn

    def conv(inputs, outputs, stride=1):
        return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)]

    class Block(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.stride, self.added = outputs // inputs, outputs - inputs
            self.body = nn.Sequential(*conv(inputs, outputs, self.stride), nn.ReLU(), *conv(outputs, outputs))

        def forward(self, x):
            shortcut = x[:, :, :: self.stride, :: self.stride]
            shortcut = nn.functional.pad(shortcut, (0, 0, 0, 0, self.added // 2, self.added // 2))
            return torch.relu(self.body(x) + shortcut)

    widths = [16] * 4 + [32] * 3 + [64] * 3
    blocks = [Block(a, b) for a, b in zip(widths, widths[1:], strict=False)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*conv(3, 16), nn.ReLU(), *blocks, *head).to(memory_format=torch.channels_last)


def torch_side(root: str, workers: int):
    import itertools

    import torch
    from torchvision import datasets, transforms

    torch.set_num_threads(os.cpu_count())
    changes = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    images = datasets.ImageFolder(f"{root}/train", transforms.Compose([*changes, transforms.Normalize(MEAN, STD)]))
    settings = {"shuffle": True, "drop_last": True, "num_workers": workers, "persistent_workers": workers > 0}
    loader = torch.utils.data.DataLoader(images, BATCH, **settings)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    model = torch_network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)

    def steps(count: int):
        for images, labels in itertools.islice(batches, count):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images.to(memory_format=torch.channels_last)), labels)
            loss.backward()
            optimizer.step()
        return loss.item()

    return steps


def core_seconds() -> float:
    """Returns the seconds of all cores that this process and the workers of its DataLoader have used, on Linux."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    ticks = [Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[11:13] for child in children]
    return time.process_time() + sum(map(int, sum(ticks, []))) / os.sysconf("SC_CLK_TCK")


def side(name: str, root: str) -> None:
    kind, _, workers = name.partition("-")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    steps = ours(root) if kind == "ours" else torch_side(root, int(workers))

    def seconds(request: str) -> tuple[float, float]:
        start, cores = time.perf_counter(), core_seconds()
        steps(int(request))
        return time.perf_counter() - start, core_seconds() - cores

    serve(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data")
    parser.add_argument("--steps", type=int, default=390)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2], help="of the DataLoader, each a side")
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return side(*options.side)
    pythons = {"ours": sys.executable}
    if has_torch(options.torch_python):
        pythons |= {f"torch-{workers}": options.torch_python for workers in options.workers}
    else:
        print("torch: not run, torch and torchvision are not installed")
    share = -(-options.steps // options.turns)
    with tempfile.TemporaryDirectory() as folder:
        root = write_data(options.data, Path(folder))
        with open_sides(__file__, pythons, str(root)) as processes:
            for process in processes.values():
                ask(process, str(min(WARM_UP, share)))
            seconds = {name: [0.0, 0.0] for name in processes}
            for _ in range(options.turns):
                for name, process in processes.items():
                    spent = ask(process, str(share))
                    seconds[name] = [a + b for a, b in zip(seconds[name], spent, strict=True)]
                    print(f"{name}: {BATCH * share / spent[0]:.0f} images/s in this turn", flush=True)
    for name, (spent, cores) in seconds.items():
        done = share * options.turns
        print(
            f"{name}: {spent:.1f} s for {done} steps, {BATCH * done / spent:.0f} images/s, {cores:.1f} s of all cores"
        )
    if others := [spent for name, spent in seconds.items() if name != "ours"]:
        print(f"ratio cifar_epoch_torch {min(others)[0] / seconds['ours'][0]:.2f}")
        print(f"ratio cifar_epoch_torch_processor {min(each[1] for each in others) / seconds['ours'][1]:.2f}")


if __name__ == "__main__":
    main()
