"""`kerasnets evaluate`."""

from typing import Annotated

import typer

from kerasnets.cli.options import JSON, WEIGHTS
from kerasnets.cli.output import evaluation_lines, print_json, print_table, start_tensorflow, work_on_stderr

app = typer.Typer()
NETWORKS = Annotated[
    list[str], typer.Argument(help="Run folders, .keras files or models' names. Several are an ensemble.")
]
DATA = Annotated[
    str | None,
    typer.Option(
        help="Labelled images: digits, an .npz file, a folder of images or shards, or tfds:NAME; by default a run's."
    ),
]
SPLIT = Annotated[
    str | None,
    typer.Option(
        help="A split of the data. By default the held-out one; of a folder without splits all, for a model's name."
    ),
]
CROPS = Annotated[
    str,
    typer.Option(help="Crops of each image: 1, 10, alexnet (10 of the central square) or 144 (those of GoogLeNet)."),
]
DENSE = Annotated[
    str | None, typer.Option(help="Evaluate whole images instead of crops, resized to these shorter sides: 256,384.")
]
FLIP = Annotated[bool, typer.Option("--flip", help="Average over each image and its mirror image.")]
VOTE = Annotated[str, typer.Option(help="How an ensemble decides: mean (of the probabilities) or majority.")]
BATCH_SIZE = Annotated[int | None, typer.Option(help="Images at a time. It changes the speed, not the result.")]


@app.command("evaluate", epilog="Example: kerasnets evaluate runs/lenet5_digits --json")
def evaluate_command(
    targets: NETWORKS,
    weights: WEIGHTS = None,
    data: DATA = None,
    split: SPLIT = None,
    crops: CROPS = "1",
    dense: DENSE = None,
    flip: FLIP = False,
    vote: VOTE = "mean",
    batch_size: BATCH_SIZE = None,
    json: JSON = False,
) -> None:
    """Evaluate trained models on held-out images, every image exactly once.

    Folders named by WordNet id (n01440764) may hold some of ImageNet's 1000 classes; all 1000 outputs compete.

    --crops, --dense and --flip average over several views of each image. Several models are evaluated as an ensemble.
    """
    sizes = _sizes(dense)
    start_tensorflow()
    from kerasnets.evaluation.ensemble import TestTimeAugmentation, evaluate_ensemble
    from kerasnets.evaluation.evaluate import evaluate

    members = ((target, _open(target, weights, data, split)) for target in targets)
    with work_on_stderr():
        if len(targets) == 1 and crops == "1" and not sizes and not flip and vote == "mean":
            found = evaluate(*next(members)[1], batch_size=batch_size or 64)
        else:
            augmentation = TestTimeAugmentation(crops, sizes, flip)
            found = evaluate_ensemble(members, augmentation, vote, batch_size or 64)
    if json:
        print_json(found)
    else:
        print_table(("", ""), evaluation_lines(found))


def _open(target: str, weights: str | None, data: str | None, split: str | None) -> tuple:
    """Returns a model, labelled images for it, its preprocessing and the options of the images."""
    from kerasnets.exporters.evaluate import labelled_images
    from kerasnets.exporters.open_network import open_network

    opened = open_network(target, weights)
    source, options = labelled_images(opened, target, data, split)
    return opened.model, source, opened.preprocessing, options


def _sizes(text: str | None) -> tuple[int, ...]:
    """Returns the numbers of `256,384,512`."""
    parts = text.split(",") if text else []
    if not all(part.strip().isdigit() and int(part) for part in parts):
        raise ValueError(f"--dense should be whole numbers with commas between them, as 256,384. Received: {text!r}")
    return tuple(int(part) for part in parts)
