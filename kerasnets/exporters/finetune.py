"""From a folder of photos to a checked file for phones: fine-tune a pretrained network, evaluate it and export it."""

import json
import math
import os
import shlex
from pathlib import Path

from kerasnets.data.images.suffixes import is_image_file
from kerasnets.exporters.files import FORMS
from kerasnets.recipe.read import load_recipe
from kerasnets.registry import did_you_mean

RECIPE = "finetune_photos"
# Fewer photos need more epochs: the number of steps matters, and not how often a photo is seen.
_STEPS, _MOST_EPOCHS = 150, 40
# Every fifth photo of a class is held out, so fewer photos leave a class without any.
_FEWEST = 5


def finetune(
    folder: str | Path,
    model: str = "efficientnet_lite0",
    weights: str | None = "imagenet",
    to: str = "tflite-int8",
    output: str | Path | None = None,
    *,
    overrides=(),
    overwrite: bool = False,
    announce=print,
) -> dict:
    """Fine-tunes a network on photos by the recipe `finetune_photos`, evaluates it and exports it.

    Args:
        folder: a sub-folder of photos for each class. Every fifth photo of a class is held out. Or `train/` and `test/`
            (or `val/`) with such sub-folders.
        model: the name of the network.
        weights: what its builder takes: `"imagenet"`, a checkpoint's tag or a file.
        to: the form of the export.
        output: the run folder, which also gets the exported file. By default `runs/<name of the folder>`.
        overrides: strings `"a.b=c"` that change the recipe.
        overwrite: delete an older run in that folder.
        announce: is called with the command that trains in the same way, before training.

    Returns:
        `{"run", "file", "command", "evaluation", "export"}`: the paths, the command, the scores on the held-out photos,
        and the report of the export.

    Raises:
        ValueError, FileNotFoundError: for photos or arguments that are wrong. Nothing was written.
        ExportError: for an export that does not meet its bounds. The trained network is in the run folder.
    """
    if to not in FORMS:
        raise ValueError(f"`to` should be one of {', '.join(FORMS)}.{did_you_mean(to, FORMS)} Received: to={to!r}")
    folder = Path(folder)
    changes = [*_changes(folder, model, weights), *overrides]
    run_dir = Path(output or Path("runs") / (folder.resolve().name or "photos"))
    recipe = load_recipe(RECIPE, changes)
    changes = [*_length(recipe, _training_photos(folder)), *changes]
    words = [word for change in changes for word in ("--set", change)]
    command = shlex.join(["kerasnets", "train", RECIPE, *words, "--output", str(run_dir)])
    announce(command)
    return _train_and_export(changes, run_dir, to, overwrite) | {"command": command}


def _train_and_export(changes: list[str], run_dir: Path, to: str, overwrite: bool) -> dict:
    from kerasnets.exporters.export import export
    from kerasnets.training.loop import train

    run = train(RECIPE, run_dir, overrides=changes, overwrite=overwrite)
    report = export(run.path, to, output=run.path / (run.path.resolve().name + (FORMS[to] or "_saved_model")))
    return {"run": str(run.path), "file": report["path"], "evaluation": run.evaluation, "export": report}


def _changes(folder: Path, model: str, weights: str | None) -> list[str]:
    """Returns what the recipe needs to know; raises an error for photos that cannot be trained on."""
    splits = _held_out_split(folder)
    for part in (folder / "train", folder / splits) if splits else (folder,):
        counts = photos_of(part)
        if len(counts) < 2:
            raise ValueError(
                f"The folder should have a sub-folder of photos for each class, and two classes at least. "
                f"Received: {str(part)!r} with {len(counts)}: {', '.join(counts) or 'none'}"
            )
        few = {name: count for name, count in counts.items() if count < (1 if splits else _FEWEST)}
        if few:
            raise ValueError(
                f"Each class needs at least {1 if splits else _FEWEST} photos (.jpg .jpeg .png .gif .bmp .webp). "
                f"Received: {', '.join(f'{name} with {count}' for name, count in few.items())}"
            )
    named = {"data.source.path": os.fspath(folder), "model.name": model, "model.arguments.weights": weights}
    named["data.geometry"] = "stretch"  # as the client on the phone does
    if splits:
        named["data.evaluation_split"] = splits
    return [f"{key}={json.dumps(value)}" for key, value in named.items()]


def _training_photos(folder: Path) -> int:
    """Returns how many photos are trained on."""
    if _held_out_split(folder):
        return sum(photos_of(folder / "train").values())
    return sum(count - count // _FEWEST for count in photos_of(folder).values())


def _length(recipe, photos: int) -> list[str]:
    """Returns batch size and epochs for a number of photos; an override of the user's comes later and wins."""
    batch_size = min(recipe.batch_size, photos)
    epochs = min(_MOST_EPOCHS, max(recipe.epochs, math.ceil(_STEPS * batch_size / photos)))
    return [f"batch_size={batch_size}", f"epochs={epochs}", f"evaluation.every_epochs={epochs}"]


def _held_out_split(folder: Path) -> str | None:
    """Returns the name of the held-out split of a folder with `train/` and `test/` or `val/`, else `None`."""
    names = [name for name in ("test", "val", "validation") if (folder / name).is_dir()]
    return names[0] if names and (folder / "train").is_dir() else None


def photos_of(folder: Path) -> dict[str, int]:
    """Returns the number of photos of each class folder.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no such folder. Received: {str(folder)!r}")
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    return {
        name: sum(entry.is_file() and is_image_file(entry.name) for entry in os.scandir(folder / name))
        for name in names
    }
