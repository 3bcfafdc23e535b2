"""`kerasnets visualize`."""

from pathlib import Path
from typing import Annotated

import typer

from kerasnets.cli.options import JSON, NETWORK, WEIGHTS
from kerasnets.cli.output import print_json, start_tensorflow, work_on_stderr

app = typer.Typer()
IMAGES = Annotated[list[Path] | None, typer.Argument(help="Image files.")]
METHODS = Annotated[
    list[str] | None, typer.Option("--method", "-m", help="grad_cam, guided, occlusion, ... Can be given repeatedly.")
]
LAYER = Annotated[str | None, typer.Option(help="The layer that class activation maps look at; by default the last.")]
CLASS = Annotated[int | None, typer.Option("--class", help="Explain this class instead of the most probable one.")]
UNITS = Annotated[str | None, typer.Option(help="A layer: draw the strongest images of its maps instead.")]
EVOLUTION = Annotated[
    str | None, typer.Option(help="A layer: draw how its maps develop over the epochs that a run has kept.")
]
DATA = Annotated[
    str | None, typer.Option(help="Images for --units and --evolution; by default the held-out ones of a run.")
]
COUNT = Annotated[
    int, typer.Option("--maps", min=1, help="How many maps --units and --evolution draw, chosen at random.")
]
OUTPUT = Annotated[Path, typer.Option("--output", "-o", help="The folder for the pictures and the page.")]


@app.command("visualize", epilog="Example: kerasnets visualize runs/lenet5_digits photo.png -m grad_cam -m occlusion")
def visualize_command(
    target: NETWORK,
    images: IMAGES = None,
    methods: METHODS = None,
    weights: WEIGHTS = None,
    layer: LAYER = None,
    number: CLASS = None,
    units: UNITS = None,
    evolution: EVOLUTION = None,
    data: DATA = None,
    maps: COUNT = 16,
    output: OUTPUT = Path("visualized"),
    json: JSON = False,
) -> None:
    """Show what a network looks at: maps of photos, or the strongest images of a layer's maps.

    Writes a PNG picture for each image, and index.html with all of them.
    """
    chosen = {"images": images, "--units": units, "--evolution": evolution}
    _check(chosen, {"--method": methods, "--layer": layer, "--class": number, "--data": data, "--weights": weights})
    start_tensorflow()
    from kerasnets.report.unit_pictures import visualize_evolution, visualize_units
    from kerasnets.report.visualization import visualize

    with work_on_stderr():
        if evolution:
            found = visualize_evolution(target, evolution, data=data, maps=maps, output=output)
        elif units:
            found = visualize_units(target, units, data=data, weights=weights, maps=maps, output=output)
        else:
            options = {"weights": weights, "layer": layer, "classes": number, "output": output}
            found = visualize(target, images, methods=methods, **options)
    if json:
        print_json(found)
        return
    for row in found if images else ():
        print(f"{row['image']}: {row.get('error') or row['label']}")
        for map_ in row.get("maps", ()):
            seconds = f"{map_['seconds']:.2f} s"
            print(f"  {map_['title']}: {map_['note'] or seconds}")
    if not images or any("picture" in row for row in found):
        print(f"written: {output / 'index.html'}")
    if images and any("error" in row for row in found):
        raise typer.Exit(1)


def _check(chosen: dict, options: dict) -> None:
    """Raises ValueError unless one thing is to be drawn and every option that is given has to do with it."""
    given = [name for name, value in chosen.items() if value]
    if len(given) != 1:
        received = " and ".join(given) or "none of them"
        raise ValueError(f"Give either image files, or --units LAYER, or --evolution LAYER. Received: {received}")
    used = {
        "images": ("--method", "--layer", "--class", "--weights"),
        "--units": ("--data", "--weights"),
        "--evolution": ("--data",),
    }
    for name, value in options.items():
        if value not in (None, []) and name not in used[given[0]]:
            raise ValueError(f"`{name}` does not go with {given[0]}. Received: {name} {value}")
