"""A whole fine-tuning of a few hundred photos, beside the loop of PyTorch's transfer-learning tutorial.

    python benchmarks/finetune.py [--photos ants_and_bees.zip] [--weights FILE.pth] [--epochs 25] [--ours-epochs 6]

Both sides fine-tune EfficientNet-Lite0 with the same weights on the same photos, and are judged by the same photos: of
each class every fifth. The time is that of the whole process, from its start to the accuracy of the finished network.

* ours: `kerasnets train recipes/finetune_photos.yaml`, which ends with a report.
* tutorial: timm's tf_efficientnet_lite0 in the tutorial's loop: 25 epochs of batches of 4, SGD 0.001 with momentum
  0.9, a tenth of it after every 7 epochs, RandomResizedCrop and flip, a DataLoader, an evaluation after every epoch,
  the weights of the best epoch. It needs torch, torchvision and timm, in this Python or in that of --torch-python.

With `--epochs 6` both sides see every photo as often. Ratios are printed of the time, and of the seconds of all cores
together (`processor`), which other work on the machine changes less.

The photos are a zip file or a folder with a sub-folder for each class. Without --photos they are random pixels, and
without --weights the weights are random: for trying it out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from sides import MARK

ROOT = Path(__file__).parents[1]
EVERY = 5


def split_photos(photos: str | None, root: Path) -> None:
    """Writes train/<class> and test/<class>: every fifth photo of a class is held out."""
    source = Path(photos) if photos else random_photos(root / "random")
    if source.is_file():
        zipfile.ZipFile(source).extractall(root / "all")
        source = root / "all"
    classes = sorted({path.parent for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png")})
    for folder in classes:
        for number, path in enumerate(sorted(folder.iterdir())):
            place = root / "photos" / ("train" if number % EVERY else "test") / folder.name
            place.mkdir(parents=True, exist_ok=True)
            os.link(path, place / path.name)


def random_photos(folder: Path) -> Path:
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 256, (240, 320, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.jpg")
    return folder


def ours(root: Path, weights: str | None, epochs: int, size: int) -> dict:
    """Runs the command in a process of its own."""
    settings = {"data.source.path": root / "photos", "epochs": epochs, "data.size": size, "batch_size": 32}
    settings |= {"model.arguments.weights": weights or "null", "evaluation.every_epochs": epochs}
    if not weights:  # a smaller batch, for few photos
        settings |= {"batch_size": 8}
    command = [sys.executable, "-m", "kerasnets", "train", str(ROOT / "recipes" / "finetune_photos.yaml"), "--json"]
    command += ["--run-dir", str(root / "run"), "--overwrite"]
    command += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    done, spent = timed(command, environment)
    if done.returncode:
        raise SystemExit(f"ours failed: {done.stderr[-2000:]}")
    return {**spent, "top1": json.loads(done.stdout)["top1"]}


def timed(command: list[str], environment: dict | None = None):
    """Runs a command; returns what it printed, and its seconds, of the clock and of all cores."""
    start, before = time.perf_counter(), os.times()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    after = os.times()
    cores = after.children_user + after.children_system - before.children_user - before.children_system
    return done, {"seconds": time.perf_counter() - start, "processor": cores}


def tutorial(root: Path, weights: str | None, epochs: int, size: int, workers: int, python: str) -> dict:
    command = [python, __file__, "--side", "tutorial", str(root), weights or "", str(epochs), str(size), str(workers)]
    done, spent = timed(command)
    line = next((line for line in done.stdout.splitlines() if line.startswith(MARK)), None)
    if line is None:
        raise SystemExit(f"the tutorial's loop failed: {done.stderr[-2000:]}")
    return {**spent, "top1": json.loads(line.removeprefix(MARK))}


def tutorial_loaders(root: str, size: int, workers: int) -> dict:
    import torch
    from torchvision import datasets, transforms

    normalise = [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    steps = {
        "train": [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), *normalise],
        "test": [transforms.Resize(size * 256 // 224), transforms.CenterCrop(size), *normalise],
    }
    sets = {
        split: datasets.ImageFolder(Path(root) / "photos" / split, transforms.Compose(each))
        for split, each in steps.items()
    }
    return {
        split: torch.utils.data.DataLoader(images, batch_size=4, shuffle=True, num_workers=workers)
        for split, images in sets.items()
    }


def tutorial_side(root: str, weights: str, epochs: str, size: str, workers: str) -> float:
    """Trains as the tutorial does and returns the accuracy of the best epoch, as the tutorial does."""
    import copy

    import timm
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count())
    loaders = tutorial_loaders(root, int(size), int(workers))
    model = timm.create_model("tf_efficientnet_lite0")
    if weights:
        tensors = torch.load(weights, weights_only=True).values()
        model.load_state_dict(dict(zip(model.state_dict(), tensors, strict=True)))
    model.reset_classifier(len(loaders["train"].dataset.classes))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    best, kept = 0.0, None
    for _ in range(int(epochs)):
        for split in ("train", "test"):
            model.train(split == "train")
            correct = 0
            for images, labels in loaders[split]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(split == "train"):
                    outputs = model(images)
                    if split == "train":
                        torch.nn.functional.cross_entropy(outputs, labels).backward()
                        optimizer.step()
                correct += int((outputs.argmax(1) == labels).sum())
        schedule.step()
        if (accuracy := correct / len(loaders["test"].dataset)) > best:
            best, kept = accuracy, copy.deepcopy(model.state_dict())
    if kept:
        model.load_state_dict(kept)
    return best


def show(results: dict, name: str) -> None:
    found = results[name]
    times = f"{found['seconds']:.1f} s, {found['processor']:.1f} s of all cores"
    print(f"{name}: {times}, top-1 {found['top1']:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos")
    parser.add_argument("--weights", help="a .pth file of timm's tf_efficientnet_lite0")
    parser.add_argument("--epochs", type=int, default=25, help="of the tutorial's loop")
    parser.add_argument("--ours-epochs", type=int, default=6)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of the DataLoader")
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--side", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(MARK + json.dumps(tutorial_side(*options.side[1:])), flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        split_photos(options.photos, root)
        results = {"ours": ours(root, options.weights, options.ours_epochs, options.size)}
        show(results, "ours")
        imports = [options.torch_python, "-c", "import torch, torchvision, timm"]
        if (done := subprocess.run(imports, capture_output=True, text=True)).returncode:
            print(f"tutorial: not run: {done.stderr.strip().splitlines()[-1]}")
        else:
            settings = (options.size, options.workers, options.torch_python)
            results["tutorial"] = tutorial(root, options.weights, options.epochs, *settings)
            show(results, "tutorial")
    if "tutorial" in results:
        theirs, mine, label = results["tutorial"], results["ours"], f"finetune_{options.epochs}_epochs"
        print(f"ratio {label} {theirs['seconds'] / mine['seconds']:.2f}")
        print(f"ratio {label}_processor {theirs['processor'] / mine['processor']:.2f}")
        print(f"ratio {label}_top1 {mine['top1'] / max(theirs['top1'], 1e-9):.3f}")


if __name__ == "__main__":
    main()
