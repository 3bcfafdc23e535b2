"""The `kerasnets` command: all commands together, exit codes, and errors of one line.

Exit codes: 0, 1 (the work failed) and 2 (the request is wrong); `train` and `launch` have 75 and 130 as well.

Only the file of the command that is called is imported, and a command imports what it calls when it runs. So `list`,
`info` and `--help` answer without TensorFlow.
"""

import importlib
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

# The commands in the order of `kerasnets --help`, and the file of each.
COMMANDS = {
    "demo": "demo",
    "list": "list_models",
    "info": "info",
    "finetune": "finetune",
    "train": "train",
    "launch": "launch",
    "evaluate": "evaluate",
    "predict": "predict",
    "export": "export",
    "compress": "compress",
    "quantize-debug": "quantize_debug",
    "profile": "profile",
    "compare": "compare",
    "visualize": "visualize",
    "experiment": "experiment",
    "sweep": "sweep",
    "shard": "shard",
    "data-service": "data_service",
    "doctor": "doctor",
    "benchmark": "benchmark",
}
VERSION = Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)]


def _before_all_commands(version: VERSION = False) -> None:
    if version:
        from importlib.metadata import version as version_of

        print(version_of("kerasnets"))
        raise typer.Exit()


def application(arguments: Sequence[str] = ()) -> typer.Typer:
    """Returns the application with the command that is called alone, or with all for help and for an unknown command.

    Args:
        arguments: the words after `kerasnets`.
    """
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="Build, train, evaluate and export the convolutional networks of the classic papers.",
        epilog="`kerasnets COMMAND --help` shows the options of a command and an example. "
        "--debug, anywhere, shows the traceback of an error.",
    )
    app.callback(invoke_without_command=True)(_before_all_commands)
    called = next((word for word in arguments if not word.startswith("-")), None)
    for name in [called] if called in COMMANDS else COMMANDS:
        app.add_typer(importlib.import_module(f"kerasnets.cli.{COMMANDS[name]}").app)
    return app


def one_line(error: BaseException) -> str:
    """Returns the message of an error in one line."""
    if hasattr(error, "errors") and callable(error.errors):  # pydantic: one clause for every wrong key
        clauses = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        return "; ".join(clauses)
    if type(error).__module__.startswith("tensorflow."):
        from kerasnets.data.errors import first_line

        return first_line(error)
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    return " ".join(text.split()) or type(error).__name__


def exit_code_of(error: BaseException) -> int:
    """Returns the exit code for an error: 2 when the request is wrong, 1 when the work failed."""
    if hasattr(error, "exit_code"):  # errors of typer, and our own that choose their code
        return error.exit_code
    return 2 if isinstance(error, ValueError | FileNotFoundError | NotADirectoryError | IsADirectoryError) else 1


def _show_warning(message, *_) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code.

    Args:
        arguments: the words after `kerasnets`, for example `["list", "resnet*"]`.
    """
    debug = "--debug" in arguments
    try:
        command = typer.main.get_command(application(arguments))
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
    """Runs the command line of this process; the entry point of the `kerasnets` script."""
    sys.exit(run(sys.argv[1:]))
