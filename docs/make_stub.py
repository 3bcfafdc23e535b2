"""Writes kerasnets/__init__.pyi, from which type checkers and editors know the builders and their arguments.

    python docs/make_stub.py

No network is built. `make tables` runs it too.
"""

import inspect
from pathlib import Path

STUB = Path(__file__).parent.parent / "kerasnets" / "__init__.pyi"
HEAD = """# Written by `python docs/make_stub.py`.
import os
from collections.abc import Callable
from typing import Any, Literal

import keras

"""
TYPES = {
    "include_top": "bool",
    "weights": "str | os.PathLike[str] | None",
    "input_tensor": "Any",
    "input_shape": "tuple[int | None, int | None, int] | None",
    "pooling": 'Literal["avg", "max"] | None',
    "classes": "int",
    "classifier_activation": "str | Callable[[Any], Any] | None",
    "name": "str | None",
    "include_preprocessing": "bool",
    "drop_mode": 'Literal["batch", "sample"]',
    "shortcut": 'Literal["A", "B", "C"] | None',
}


def stub() -> str:
    """Returns the text of the stub: public functions from their own files, and a definition for each builder."""
    import kerasnets
    from kerasnets.build import get_variant, signature

    functions = vars(kerasnets)["_FUNCTIONS"]
    lines = [
        f"from {file} import {name} as {name}\n" for name, file in sorted(functions.items(), key=lambda i: i[::-1])
    ]
    lines.append("\n__version__: str\n")
    for python_name, name in sorted(vars(kerasnets)["_builders"]().items()):
        variant = get_variant(name)
        lines.append(definition(python_name, signature(variant), variant.summary))
    return HEAD + "".join(lines)


def definition(name: str, found: inspect.Signature, summary: str) -> str:
    """Returns the definition of one builder, an argument a line."""
    words, keyword_only = [], False
    for parameter in found.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            words.append("*")
            keyword_only = True
        words.append(f"{parameter.name}: {type_of(parameter)} = {literal(parameter.default)}")
    arguments = "".join(f"    {word},\n" for word in words)
    return f'\ndef {name}(\n{arguments}) -> keras.Model:\n    """{summary[0].upper()}{summary[1:]}."""\n'


def type_of(parameter: inspect.Parameter) -> str:
    """Returns the type of an argument, by its name or else by its default."""
    if parameter.name in TYPES:
        return TYPES[parameter.name]
    if parameter.default is None and parameter.name in ("dropout", "drop_path"):
        return "float | None"
    if parameter.default is None or isinstance(parameter.default, (tuple, list)):
        return "Any"
    return type(parameter.default).__name__


def literal(value) -> str:
    """Returns a default as ruff would format it."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
    print(f"{STUB.name}: {len(STUB.read_text(encoding='utf-8').splitlines())} lines")
