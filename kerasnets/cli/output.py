"""How the commands print: JSON, tables, figures. Standard output holds nothing but the answer."""

import contextlib
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence


def print_json(value) -> None:
    """Prints `value` as JSON on standard output."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Prints a table as plain text. On a terminal, the last column is wrapped at the right edge.

    rich could do it, but importing it takes a quarter of a second.

    Args:
        columns: the headings; all empty for a table without headings.
        rows: the cells, a text for each column.
        right: the columns that are aligned to the right.
    """
    rows = [[str(cell) for cell in row] for row in rows]
    heading = [list(columns)] if any(columns) else []
    widths = [max(len(row[i]) for row in [*heading, *rows]) for i in range(len(columns))]
    space = shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * len(widths[1:]) if sys.stdout.isatty() else 0
    rule = [["─" * width for width in widths]] if heading else []
    for row in [*heading, *rule, *rows]:
        folded = textwrap.wrap(row[-1], max(space, 24)) if 0 < space < len(row[-1]) else [row[-1]]
        for line, last in enumerate(folded or [""]):
            cells = [*(row[:-1] if line == 0 else [""] * (len(row) - 1)), last]
            print("  ".join(_aligned(*cell, right) for cell in zip(cells, widths, columns, strict=True)).rstrip())


def _aligned(cell: str, width: int, column: str, right: Sequence[str]) -> str:
    return cell.rjust(width) if column in right else cell.ljust(width)


def percent(share: float | None, digits: int = 2) -> str:
    """Returns a share of 1 as a percentage, `"98.61 %"`, or a dash for `None`."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def share_of(share: float | None, count: int) -> str:
    """Returns a share and the number it refers to, `"98.61 % of 360"`, or a dash for `None`."""
    return "–" if share is None else f"{percent(share)} of {count:,}"


def file_size(count: float) -> str:
    """Returns a number of bytes in a readable unit, `"262 kB"`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count < 1000 * size else f"{count / size:,.0f} {unit}"
    return f"{count:.0f} bytes"


FIGURES = ("examples", "top1", "top5", "loss", "mean_average_precision", "chosen_on")


def evaluation_figures(evaluation: dict) -> dict:
    """Returns the single figures of an evaluation, without the confusion matrix and the list of wrong predictions."""
    return {key: evaluation[key] for key in FIGURES if key in evaluation}


def evaluation_lines(evaluation: dict) -> list[tuple[str, str]]:
    """Returns the lines that `train` and `evaluate` print about an evaluation."""
    members = evaluation.get("members", [])
    return [
        *((member["target"], f"{percent(member['top1'])} top-1") for member in members if len(members) > 1),
        ("images", f"{evaluation['examples']:,}, every one exactly once"),
        ("top-1", percent(evaluation["top1"])),
        ("top-5", percent(evaluation["top5"])),
        *[
            ("mean average precision", percent(evaluation[key]))
            for key in ["mean_average_precision"]
            if key in evaluation
        ],
        ("loss", f"{evaluation['loss']:.4f}"),
        *[("note", "the best epoch was chosen on these images")] * (evaluation.get("chosen_on") == "evaluation"),
    ]


def start_tensorflow() -> None:
    """Imports TensorFlow and Keras without the messages that TensorFlow prints while it starts.

    TF_CPP_MIN_LOG_LEVEL=0 shows them. oneDNN's kernels are switched on because they are faster; TensorFlow itself does
    so on AVX-512 processors only. TF_ENABLE_ONEDNN_OPTS=0 switches them off. Each GPU gets threads of its own, so that
    the threads of the input do not keep it waiting.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_GPU_THREAD_MODE", "gpu_private")
    if (backend := os.environ.get("KERAS_BACKEND", "tensorflow")) != "tensorflow":
        raise ValueError(f"This command needs TensorFlow: unset KERAS_BACKEND. Received: KERAS_BACKEND={backend}")
    if "tensorflow" in sys.modules:
        return
    silent = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"
    with _silenced_stderr() if silent else contextlib.nullcontext():
        # Both import these packages if they are installed, for functions that no command calls. It takes seconds.
        with _hidden("jax", "matplotlib", "pandas", "scipy", "sklearn"):
            import tensorflow as tf
        with _hidden("matplotlib", "pandas", "sklearn"):
            import keras  # noqa: F401
        if silent:
            tf.config.list_physical_devices()
            tf.get_logger().setLevel("ERROR")


@contextlib.contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Discards what is written to standard error, by C++ code too."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def _hidden(*packages: str) -> Iterator[None]:
    """Lets the import of packages fail inside, as if they were not installed. Those imported before stay."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


class Interrupted(Exception):
    """Stands for a KeyboardInterrupt, for which typer would end the command without a message."""

    exit_code = 130


@contextlib.contextmanager
def work_on_stderr():
    """Sends everything that is printed inside, progress bars included, to standard error."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt as error:
        raise Interrupted(str(error) or "interrupted") from error
