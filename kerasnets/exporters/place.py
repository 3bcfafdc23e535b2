"""Where an exported file goes, and how it takes that place: all of its files or none."""

import os
import shutil
import tempfile
from pathlib import Path

from kerasnets.exporters.files import is_sidecar, sidecar_paths
from kerasnets.exporters.runtime import is_saved_model

# Form -> what the default name of its file ends in.
FORMS = {"saved-model": "", "tflite": ".tflite", "tflite-float16": "_float16.tflite", "tflite-int8": "_int8.tflite"}


def find_place(output, name: str, form: str) -> Path:
    """Returns the final path, refusing to replace what is not an export of that form."""
    place = Path(output) if output is not None else Path("saved_models") / (name + FORMS[form])
    if form == "saved-model":
        if place.is_file() or (place.is_dir() and any(place.iterdir()) and not is_saved_model(place)):
            raise ValueError(
                f"A SavedModel is a folder of its own; this holds something else. Received: output={str(place)!r}"
            )
        return place
    if place.is_dir():
        place = place / (name + FORMS[form])
    if place.suffix != ".tflite":
        raise ValueError(f"A TFLite file's name ends in .tflite. Received: output={str(place)!r}")
    labels, description = sidecar_paths(place)
    for path in (labels, description):
        if path.exists() and not is_sidecar(description):
            raise ValueError(f"{path} is in the way and is not of an exported network. Received: output={str(place)!r}")
    return place


def workshop(place: Path) -> tempfile.TemporaryDirectory:
    """Makes a folder beside the final place, so that moving a file from one to the other is a rename."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent)
    except OSError as error:
        raise OSError(f"The folder {str(place.parent)!r} cannot be written: {error.strerror}") from None


def put(draft: Path, place: Path, folder: Path) -> None:
    """Moves a checked export to its final name.

    An error or Ctrl-C puts the older files back. A process that is killed can leave the newer description beside the
    older file; the description carries the hash of its own file, so that nobody takes the two for a pair.

    Args:
        draft: the SavedModel's folder or the TFLite file, with its labels and description.
        place: the final path.
        folder: a folder on the same disk, for the older files.
    """
    moves = [(draft, place)]
    if not draft.is_dir():
        moves = [*zip(reversed(sidecar_paths(draft)), reversed(sidecar_paths(place)), strict=True), *moves]
    begun = []
    try:
        for source, goal in moves:
            older = folder / f"older-{goal.name}"
            begun.append((goal, older))
            if goal.is_dir():
                os.replace(goal, older)
            elif goal.exists():
                shutil.copy2(goal, older)
            os.replace(source, goal)
    except BaseException:
        for goal, older in reversed(begun):
            if older.exists():
                os.replace(older, goal)
            elif not goal.is_dir():
                goal.unlink(missing_ok=True)
        raise
