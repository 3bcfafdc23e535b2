"""The `kerasnets` command: parse, call one function, print.

Exit code 0, 1 (the work failed) or 2 (the request is wrong); an error is one line on standard error.

The commands import what they call when they run, so that `list`, `info` and `--help` answer without TensorFlow.
"""

import sys
import warnings

import typer

from kerasnets.cli import benchmark, evaluate, export, info, shard

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Convolutional networks as their papers have them: build, train, check, export.",
    epilog="Every command: --help shows an example. --debug, anywhere, shows the traceback of an error.",
)
info.add_commands(app)
evaluate.add_commands(app)
export.add_commands(app)
shard.add_commands(app)
benchmark.add_commands(app)


def one_line(error: BaseException) -> str:
    """Returns what went wrong in one line."""
    if hasattr(error, "errors") and callable(error.errors):  # pydantic: one clause for every wrong key
        clauses = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        return "; ".join(clauses)
    if type(error).__module__.startswith("tensorflow."):
        from kerasnets.data.errors import first_line

        return first_line(error)
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    return " ".join(text.split()) or type(error).__name__


def exit_code_of(error: BaseException) -> int:
    """Returns 2 for a request that cannot be met as it stands, 1 for work that failed."""
    if hasattr(error, "exit_code"):  # the parser's own
        return error.exit_code
    return 2 if isinstance(error, ValueError | FileNotFoundError | NotADirectoryError | IsADirectoryError) else 1


def _show_warning(message, *_) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code.

    Args:
        arguments: what follows `kerasnets`, for example `["list", "resnet*"]`.
    """
    debug = "--debug" in arguments
    try:
        command = typer.main.get_command(app)
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            wanted = [argument for argument in arguments if argument != "--debug"]
            return command.main(wanted, prog_name="kerasnets", standalone_mode=False) or 0
    except KeyboardInterrupt:
        print("kerasnets: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if debug:
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message(), file=sys.stderr)
        elif type(error).__name__ == "Abort":
            print("kerasnets: interrupted", file=sys.stderr)
            return 130
        else:
            print(f"kerasnets: {one_line(error)}", file=sys.stderr)
        return exit_code_of(error)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))
