"""`kerasnets finetune`."""

import sys
from typing import Annotated

import typer

from kerasnets.cli.export import client_line
from kerasnets.cli.options import JSON, OVERRIDES
from kerasnets.cli.output import (
    evaluation_figures,
    evaluation_lines,
    file_size,
    print_json,
    print_table,
    share_of,
    start_tensorflow,
    work_on_stderr,
)

app = typer.Typer()
FOLDER = Annotated[str, typer.Argument(help="A folder with a sub-folder of photos for each class.")]
MODEL = Annotated[str, typer.Option(help="The network to fine-tune; `kerasnets list --weights imagenet` shows them.")]
WEIGHTS = Annotated[str, typer.Option(help="The weights to start from: imagenet, a checkpoint's tag or a file.")]
FORM = Annotated[str, typer.Option("--to", help="The form of the exported file; see `kerasnets export --help`.")]
OUTPUT = Annotated[
    str | None, typer.Option("--output", "-o", help="The folder for all results; by default runs/<name of FOLDER>.")
]
OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="Delete an older run in that folder.")]


@app.command("finetune", epilog="Example: kerasnets finetune photos/ --weights $WEIGHTS")
def finetune_command(
    folder: FOLDER,
    model: MODEL = "efficientnet_lite0",
    weights: WEIGHTS = "imagenet",
    to: FORM = "tflite-int8",
    output: OUTPUT = None,
    overrides: OVERRIDES = None,
    overwrite: OVERWRITE = False,
    json: JSON = False,
) -> None:
    """Fine-tune a pretrained network on your photos and export it for phones.

    Every fifth photo of a class is held out: accuracy is measured on these, and the exported file is compared with the
    model. The recipe is finetune_photos. The command that trains in the same way is printed first.
    """
    start_tensorflow()
    from kerasnets.exporters.finetune import finetune
    from kerasnets.report.run_report import write_report

    with work_on_stderr():
        chosen = {"overrides": overrides or (), "overwrite": overwrite, "announce": _announce}
        done = finetune(folder, model, weights, to, output, **chosen)
        report = write_report(done["run"])
    if json:
        print_json(done | {"report": str(report), "evaluation": evaluation_figures(done["evaluation"])})
        return
    checked = done["export"]
    lines = [
        *evaluation_lines(done["evaluation"]),
        ("accuracy of the file", share_of(checked["accuracy"], checked["labelled"])),
        ("through the client", client_line(checked)),
        ("agrees with the model", share_of(checked["top1_agreement"], checked["examples"])),
        *[("undecided", line) for line in checked["undecided"]],
        ("report", str(report)),
        ("file", f"{done['file']}, {file_size(checked['bytes'])}"),
        ("use it", f"kerasnets predict {done['file']} photo.jpg; on a phone: docs/phone.md"),
    ]
    print_table(("", ""), lines)


def _announce(command: str) -> None:
    print(f"training by the recipe: {command}", file=sys.stderr)
