"""Compares `kerasnets predict` on 500 photos with a DataLoader and a network in PyTorch, start-up left out.

    python benchmarks/predict.py [--torch-python PYTHON] [--images 500] [--rounds 3]

The network is EfficientNet-Lite0 with random weights. Each side has a process of its own and takes turns, pass by pass;
the best pass of each counts. The sides:

* ours: what `kerasnets predict FOLDER --output FILE.jsonl` does after it has opened the network;
* torch-N: a Dataset that opens a file with Pillow, Resize(256, bicubic), CenterCrop(224), ToTensor and Normalize, a
  DataLoader with N workers and batches of 32, and timm's tf_efficientnet_lite0 in channels_last. It needs torch,
  torchvision and timm, in this Python or in that of --torch-python.

The photographs are crops of scikit-learn's two sample images, 500x375 JPEG files.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read once, when TensorFlow is imported

from input_pipeline import write_photos
from sides import ask, open_sides, serve

BATCH, TOP = 32, 5


def ours(root: str):
    import kerasnets
    from kerasnets.data.images.suffixes import image_files
    from kerasnets.exporters.predict import classify, open_predictor
    from kerasnets.exporters.prediction_files import open_rows, row

    files = list(image_files([root]))
    predictor = open_predictor(kerasnets.create_model("efficientnet_lite0"), images=len(files))

    def one_pass():
        path = Path(tempfile.mkdtemp()) / "rows.jsonl"
        with open_rows(path, "jsonl", TOP) as (file, _):
            for answer in classify(predictor, files, TOP, BATCH):
                file.write(row(answer, "jsonl", TOP))
        return len(path.read_text().splitlines())

    return one_pass


def torch_side(root: str, workers: int):
    import json

    import timm
    import torch
    from PIL import Image
    from torchvision import transforms

    torch.set_num_threads(os.cpu_count())
    model = timm.create_model("tf_efficientnet_lite0").eval().to(memory_format=torch.channels_last)
    bicubic = transforms.InterpolationMode.BICUBIC
    steps = [transforms.Resize(256, bicubic), transforms.CenterCrop(224), transforms.ToTensor()]
    transform = transforms.Compose([*steps, transforms.Normalize([0.5] * 3, [0.5] * 3)])
    files = sorted(Path(root).rglob("*.jpg"))

    class Photos(torch.utils.data.Dataset):
        def __len__(self):
            return len(files)

        def __getitem__(self, index):
            return transform(Image.open(files[index]).convert("RGB"))

    loader = torch.utils.data.DataLoader(
        Photos(), batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0
    )

    def one_pass():
        rows = []
        with torch.inference_mode():
            for images in loader:
                best = model(images.contiguous(memory_format=torch.channels_last)).softmax(-1).topk(TOP)
                rows += [json.dumps(each) for each in zip(best.indices.tolist(), best.values.tolist(), strict=True)]
        return len(rows)

    return one_pass


def side(name: str, root: str) -> None:
    """Answers every line with the seconds of one pass over all photos."""
    kind, _, workers = name.partition("-")
    one_pass = ours(root) if kind == "ours" else torch_side(root, int(workers))

    def seconds(_):
        start = time.perf_counter()
        one_pass()
        return time.perf_counter() - start

    serve(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        return side(*options.side)
    pythons = {"ours": sys.executable}
    imports = [options.torch_python, "-c", "import torch, torchvision, timm"]
    if (done := subprocess.run(imports, capture_output=True, text=True)).returncode:
        print(f"torch: not run: {done.stderr.strip().splitlines()[-1]}")
    else:
        pythons |= {f"torch-{workers}": options.torch_python for workers in (0, 1, 2)}
    with tempfile.TemporaryDirectory() as root:
        write_photos(Path(root), options.images)
        with open_sides(__file__, pythons, root) as processes:
            best = {name: ask(process, "warm up") for name, process in processes.items()}
            for _ in range(options.rounds):
                for name, process in processes.items():
                    best[name] = min(best[name], ask(process, "pass"))
    speeds = {name: options.images / seconds for name, seconds in best.items()}
    for name, speed in speeds.items():
        print(f"{name}: {speed:.1f} images/s")
    print(f"ratio predict_per_60_images_a_second {speeds['ours'] / 60:.2f}")
    if others := [speed for name, speed in speeds.items() if name != "ours"]:
        print(f"ratio predict_torch {speeds['ours'] / max(others):.2f}")


if __name__ == "__main__":
    main()
