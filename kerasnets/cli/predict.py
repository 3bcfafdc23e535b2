"""`kerasnets predict`."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
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
    typer.Option(help="A run folder, a .keras, .tflite or .onnx file, a SavedModel's folder, or a model's name."),
]
TOP = Annotated[int, typer.Option(min=1, help="How many classes to show for each image.")]
BATCH_SIZE = Annotated[int, typer.Option(min=1, help="Images at a time. It changes the speed, not the result.")]
OUTPUT = Annotated[
    str | None,
    typer.Option("--output", "-o", help="A .csv or .jsonl file for the rows. Images that have a row are left out."),
]
FORMAT = Annotated[
    str | None, typer.Option("--format", help="csv or jsonl (JSON lines): print a row for each image at once.")
]
SHARD = Annotated[str | None, typer.Option(help="I/N: only every N-th image, from the I-th on. One for each machine.")]


@app.command("predict", epilog="Example: kerasnets predict photo.jpg --model efficientnet_lite0 --weights imagenet")
def predict_command(
    words: WORDS,
    model: MODEL = None,
    weights: WEIGHTS = None,
    top: TOP = 5,
    batch_size: BATCH_SIZE = 32,
    output: OUTPUT = None,
    form: FORMAT = None,
    shard: SHARD = None,
    json: JSON = False,
) -> None:
    """Classify image files.

    A file that cannot be read gets one line on standard error. The other files are still classified, and the exit
    code is 1.

    With --output, a command that was interrupted continues when it is given again.
    """
    from kerasnets.exporters.prediction_files import format_of

    target, images = (model, words) if model else _model_and_images(words)
    form = format_of(output, form)
    if json and form:
        raise ValueError("--json prints one list; --format and --output write rows. Received: both")
    files = _files(images, shard)
    start_tensorflow()
    from kerasnets.exporters.predict import classify, open_predictor

    with work_on_stderr():
        predictor = open_predictor(target, weights, images=len(files))
    top = min(top, len(predictor.labels))
    with _rows(output, form, top) as (write, done):
        todo = [file for file in files if str(file) not in done]
        failed = sum(done.get(str(file), False) for file in files)
        answers = []
        for answer in _with_progress(classify(predictor, todo, top, batch_size), len(todo), bool(form) and not output):
            write(answer)
            answers += [answer] if not form or "error" in answer else []
    errors = [answer for answer in answers if "error" in answer]
    for answer in errors:
        print(f"kerasnets: {answer['image']}: {answer['error']}", file=sys.stderr)
    if json:
        print_json(answers)
    elif output:
        already = f", {len(files) - len(todo):,} of them before" if len(todo) < len(files) else ""
        print(f"{len(files):,} images in {output}{already}; {len(errors) + failed:,} cannot be read")
    elif not form:
        _print_lines(answers)
    raise typer.Exit(int(bool(errors or failed)))


def _files(images: list[str], shard: str | None) -> list[Path]:
    """Returns the image files to classify; those of a shard may be none."""
    from kerasnets.data.images.suffixes import image_files
    from kerasnets.exporters.prediction_files import shard_of

    files = list(image_files(images))
    if not files:
        raise ValueError(f"The folders should hold at least one image file. Received: {', '.join(images)}")
    return shard_of(files, shard)


@contextlib.contextmanager
def _rows(output: str | None, form: str | None, top: int) -> Iterator[tuple]:
    """Yields a function that writes a row for an answer, and image -> whether its row in the file is an error."""
    from kerasnets.exporters.prediction_files import header, open_rows, row

    if not form:
        yield lambda answer: None, {}
    elif output:
        with open_rows(output, form, top) as (file, done):
            yield lambda answer: print(row(answer, form, top), end="", file=file, flush=True), done
    else:
        print(header(form, top), end="")
        yield lambda answer: print(row(answer, form, top), end="", flush=True), {}


def _with_progress(answers: Iterable[dict], count: int, printing: bool) -> Iterator[dict]:
    """Yields the answers, with a progress bar if standard error is a terminal that nothing else is printed to."""
    if not sys.stderr.isatty() or printing and sys.stdout.isatty():
        return answers
    from rich.console import Console
    from rich.progress import track

    return track(answers, "classifying", total=count, console=Console(stderr=True), transient=True)


def _print_lines(answers: Iterable[dict]) -> None:
    for answer in answers:
        if "error" not in answer:
            named = ", ".join(f"{p['label']} {percent(p['probability'], 1)}" for p in answer["predictions"])
            print(f"{answer['image']}: {named}")


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
