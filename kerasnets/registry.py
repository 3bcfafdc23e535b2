"""Name -> variant: the dictionary of all networks, and the plain data that a variant carries.

Every package may import this file: it imports nothing of ours and nothing heavy.
"""

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any

_REGISTRY: dict[str, Any] = {}


@dataclasses.dataclass(frozen=True)
class Paper:
    """Where a network was published."""

    title: str
    authors: str
    year: int
    url: str


GEOMETRIES = ("centre_crop", "stretch", "pad")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What turns an image file into a network's input, as plain numbers.

    The image becomes a square of `size`, and pixels (0-255, `channel_order`) become `(pixel - mean) / std`. `len(mean)`
    is the number of channels. `geometry` says how the square is made:

    * `centre_crop`: the shorter side is resized to `round(size / crop_fraction)`, and the central square is cut out;
    * `stretch`: both sides are resized to `size`, as MediaPipe does;
    * `pad`: the longer side is resized to `size`, and the image is centred on black.
    """

    size: int = 224
    crop_fraction: float = 0.875
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    channel_order: str = "rgb"
    geometry: str = "centre_crop"

    def as_plain(self) -> dict:
        """Returns the numbers as JSON values, which `from_plain` reads. The usual geometry is left out."""
        usual = self.geometry == GEOMETRIES[0]
        plain = {key: list(v) if isinstance(v, tuple) else v for key, v in vars(self).items()}
        return {key: value for key, value in plain.items() if key != "geometry" or not usual}

    @classmethod
    def from_plain(cls, values: dict) -> "Preprocessing":
        """Reads what `as_plain` gives.

        Raises:
            ValueError: for an unknown key, or a value of another type.
        """
        numbers = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        defaults = vars(cls())
        for key, value in numbers.items():
            if key not in defaults or not _alike(value, defaults[key]):
                raise ValueError(f"Preprocessing has {', '.join(defaults)}. Received: {key}={value!r}")
        if numbers.get("geometry", GEOMETRIES[0]) not in GEOMETRIES:
            raise ValueError(f"`geometry` is {', '.join(GEOMETRIES)}. Received: geometry={numbers['geometry']!r}")
        return cls(**numbers)


def _alike(value, default) -> bool:
    """Whether a value has the type of a default; a whole number may stand for a float."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(_alike(item, 0.0) for item in value)
    return isinstance(value, int | float if isinstance(default, float) else type(default))


def did_you_mean(name: str, allowed: Iterable[str], count: int = 3) -> str:
    """Returns " Did you mean ...?" with the closest of `allowed`, or "" when nothing is close."""
    names = {a.lower(): a for a in allowed}
    close = difflib.get_close_matches(str(name).lower(), names, n=count, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(names[c]) for c in close)}?" if close else ""


def add_variant(name: str, variant) -> None:
    """Registers a variant under its name.

    Raises:
        ValueError: for a name that is registered already.
    """
    if name in _REGISTRY:
        raise ValueError(f"A model can be registered once. Received: name={name!r}, which is registered already.")
    _REGISTRY[name] = variant


def get_variant(name: str):
    """Returns the registered variant called `name`.

    Raises:
        ValueError: for a name that is not registered, with the closest ones.
    """
    if name not in _REGISTRY:
        raise ValueError(f"Unknown model {name!r}.{did_you_mean(name, _REGISTRY)} `kerasnets.list_models()` lists all.")
    return _REGISTRY[name]


def variant_names() -> list[str]:
    """Returns the names of all registered variants, sorted."""
    return sorted(_REGISTRY)
