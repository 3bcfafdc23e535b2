"""Files of predictions, CSV or JSON lines, that an interrupted run continues.

A row is appended when its batch is done. A row that a killed process did not finish is removed by the next run.
"""

import csv
import fcntl
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

FORMATS = ("csv", "jsonl")


def format_of(output: str | Path | None, form: str | None) -> str | None:
    """Returns `"csv"` or `"jsonl"`: what was asked for, or what the ending of the file says; `None` without either.

    Raises:
        ValueError: for another format, or a file whose ending says none.
    """
    found = form or (Path(output).suffix.removeprefix(".").lower() if output else None)
    if found is not None and found not in FORMATS:
        named = f"format={form!r}" if form else f"output={str(output)!r}"
        raise ValueError(f"Rows are written as csv or jsonl: --format csv, or --output FILE.csv. Received: {named}")
    return found


def shard_of(files: Sequence[Path], shard: str | None) -> Sequence[Path]:
    """Returns every N-th file, from the I-th on, for `shard` = "I/N" with I from 1 to N; all files for `None`.

    Raises:
        ValueError: for anything else.
    """
    if shard is None:
        return files
    number, _, count = shard.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError(f"A shard is I/N with I from 1 to N, as 1/8. Received: shard={shard!r}")
    return files[int(number) - 1 :: int(count)]


def header(form: str, top: int) -> str:
    """Returns the first line of a file: the columns of a CSV file, nothing for JSON lines."""
    names = [f"{name}_{rank}" for rank in range(1, top + 1) for name in ("index", "label", "probability")]
    return _csv_line(["image", "error", *names]) if form == "csv" else ""


def row(answer: dict, form: str, top: int) -> str:
    """Returns one entry of `predict` as a line. Probabilities have six decimals."""
    found = [{**each, "probability": round(each["probability"], 6)} for each in answer.get("predictions", ())]
    if form == "jsonl":
        answer = {**answer, "predictions": found} if "predictions" in answer else answer
        return json.dumps(answer, ensure_ascii=False) + "\n"
    cells = [value for each in found for value in (each["index"], each["label"], f"{each['probability']:.6f}")]
    return _csv_line([answer["image"], answer.get("error", ""), *cells, *[""] * (3 * top - len(cells))])


def _csv_line(cells: Iterable) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


@contextmanager
def open_rows(path: str | Path, form: str, top: int) -> Iterator[tuple[io.TextIOBase, dict[str, bool]]]:
    """Opens a file of predictions to append rows, and reads which images it has already.

    Args:
        path: a new file, or one that an earlier run wrote in the same format and with the same `top`.
        form: `"csv"` or `"jsonl"`.
        top: classes in a row.

    Yields:
        The file, and image -> whether its row is an error.

    Raises:
        ValueError: the file is something else. It is not changed.
        OSError: it cannot be written, or another process is writing it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # File names that are not UTF-8 survive as they are.
    with path.open("a+", encoding="utf-8", errors="surrogateescape", newline="") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(f"Another process is writing {path}. Give each shard a file of its own.") from None
        except OSError:  # Some network disks have no locks.
            pass
        file.seek(0)
        done, length = _read_rows(file, form, top, path)
        file.seek(0, io.SEEK_END)
        if file.tell() > length:
            file.truncate(length)
        if not length:
            file.write(header(form, top))
        yield file, done


def _read_rows(file, form: str, top: int, path: Path) -> tuple[dict[str, bool], int]:
    """Returns the images of a file, and its length in bytes without a row that was cut off."""
    done, length, first = {}, 0, header(form, top)
    for line in file:
        if not line.endswith("\n"):  # the last line, of a process that was killed
            expected = first or '{"image": "'
            _check(length > 0 or expected.startswith(line[: len(expected)]), path, form, top)
            break
        if length or form == "jsonl":
            image, error = _image_of(line, form, top, path)
            done[image] = error
        else:
            _check(line == first, path, form, top)
        length += len(line.encode("utf-8", "surrogateescape"))
    return done, length


def _image_of(line: str, form: str, top: int, path: Path) -> tuple[str, bool]:
    """Returns the image of a row, and whether the row is an error."""
    if form == "csv":
        cells = next(csv.reader([line]))
        _check(len(cells) == 2 + 3 * top, path, form, top)
        return cells[0], bool(cells[1])
    try:
        answer = json.loads(line)
        image, found = answer["image"], answer.get("predictions")
    except (ValueError, KeyError, TypeError, AttributeError):
        image = found = None
    _check(isinstance(image, str) and (found is None or len(found) == top), path, form, top)
    return image, found is None


def _check(fits: bool, path: Path, form: str, top: int) -> None:
    if not fits:
        raise ValueError(
            f"{path} exists and does not hold predictions as {form} with {top} classes for each image. Choose another "
            f"--output. Received: output={str(path)!r}"
        )
