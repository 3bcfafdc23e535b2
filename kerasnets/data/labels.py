"""Label lists: the names of classes, in the order of a network's outputs."""

import os
from collections.abc import Sequence
from pathlib import Path

DIGITS = tuple(str(digit) for digit in range(10))


def read_labels(path: str | os.PathLike) -> tuple[str, ...]:
    """Returns the labels of a text file, one a line, in order.

    Raises:
        FileNotFoundError: when there is no such file.
    """
    return tuple(Path(path).read_text(encoding="utf-8").splitlines())


def write_labels(path: str | os.PathLike, labels: Sequence[str]) -> None:
    """Writes `labels`, one a line; what was at `path` before stays until the new file is complete.

    Raises:
        ValueError: for a label that holds a line break, which the file could not give back.
    """
    if broken := [label for label in labels if len(label.splitlines()) > 1]:
        raise ValueError(f"A label must be one line. Received: {broken[0]!r}")
    path = Path(path)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    os.replace(unfinished, path)
