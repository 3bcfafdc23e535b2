"""`kerasnets predict`."""

import sys
from typing import Annotated

import typer

from kerasnets.cli.options import JSON, WEIGHTS
from kerasnets.cli.output import percent, print_json, start_tensorflow, work_on_stderr

app = typer.Typer()
WORDS = Annotated[
    list[str],
    typer.Argument(
        metavar="[MODEL] IMAGES...", help="Image files, and folders of images; before them the model, without --model."
    ),
]
MODEL = Annotated[
    str | None,
    typer.Option(help="A run folder, a .keras or .tflite file, a SavedModel's folder, or a model's name."),
]
TOP = Annotated[int, typer.Option(help="How many classes to show for each image.")]


@app.command("predict", epilog="Example: kerasnets predict photo.jpg --model efficientnet_lite0 --weights imagenet")
def predict_command(
    words: WORDS, model: MODEL = None, weights: WEIGHTS = None, top: TOP = 5, json: JSON = False
) -> None:
    """Classify image files.

    A file that cannot be read gets one line on standard error. The other files are still classified, and the exit
    code is 1.
    """
    target, images = (model, words) if model else _model_and_images(words)
    start_tensorflow()
    from rich.console import Console
    from rich.progress import track

    from kerasnets.exporters.predict import image_files, open_predictor, predict

    files = list(image_files(images))
    if not files:
        raise ValueError(f"The folders should hold at least one image file. Received: {', '.join(images)}")
    with work_on_stderr():
        predictor = open_predictor(target, weights)
    console = Console(stderr=True)
    progress = track(files, "classifying", console=console, transient=True, disable=not console.is_terminal)
    answers = [answer for file in progress for answer in predict(predictor, [file], top)]
    for answer in answers:
        if "error" in answer:
            print(f"kerasnets: {answer['image']}: {answer['error']}", file=sys.stderr)
        elif not json:
            named = ", ".join(f"{p['label']} {percent(p['probability'], 1)}" for p in answer["predictions"])
            print(f"{answer['image']}: {named}")
    if json:
        print_json(answers)
    raise typer.Exit(int(any("error" in answer for answer in answers)))


def _model_and_images(words: list[str]) -> tuple[str, list[str]]:
    """Splits the words of a command without --model: the first is the model, the others are images."""
    from kerasnets.data.images.suffixes import is_image_file

    first, images = words[0], words[1:]
    if is_image_file(first):
        raise ValueError(
            f"The images need a model: --model NAME --weights imagenet, or --model runs/NAME. Received: {first}"
        )
    if not images:
        raise ValueError(f"Say which images to classify: kerasnets predict {first} photo.jpg. Received: no image")
    return first, images
