"""Checkpoints that are whole or not there: one safetensors file with its own checksum, put in place by one rename.

`last` is the newest state of a run and `previous` the one before; `best` holds only weights. A file is written under
another name, flushed to the disk and then renamed, so that a killed process or a full disk loses nothing.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import safetensors.numpy

FORMAT = "kerasnets checkpoint 1"


class DamagedCheckpoint(RuntimeError):
    """A file that is not a whole checkpoint of ours."""


def write_atomically(path, content: bytes | str) -> Path:
    """Writes a file so that it is there as a whole or as it was before, and returns its path.

    Raises:
        OSError: the disk is full or the folder cannot be written; what was there before is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(f"Could not write {os.fspath(path)!r}: {error.strerror or error}") from error
    return path


def save(folder, name: str, tensors: dict[str, np.ndarray], state: dict) -> Path:
    """Writes checkpoint `name` (`"last"`, `"best"`) into `folder`; a `last` that is there becomes `previous`.

    Args:
        tensors: arrays by name.
        state: the rest, as plain values for JSON.
    """
    folder = Path(folder)
    path = folder / f"{name}.safetensors"
    tensors = {key: np.asarray(value, order="C") for key, value in tensors.items()}
    text = json.dumps(state, sort_keys=True)
    header = {"format": FORMAT, "state": text, "checksum": _checksum(tensors, text)}
    content = safetensors.numpy.save(tensors, metadata=header)
    if name == "last" and path.exists():
        # A second name for the same file, so that there is no moment without a `last`.
        link = folder / ".previous.tmp"
        link.unlink(missing_ok=True)
        try:
            os.link(path, link)
        except OSError:
            shutil.copyfile(path, link)
        os.replace(link, folder / "previous.safetensors")
    return write_atomically(path, content)


def load(path) -> tuple[dict[str, np.ndarray], dict]:
    """Returns the tensors and the state of a checkpoint.

    Raises:
        DamagedCheckpoint: the file is cut off, changed, or something else.
    """
    path = Path(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise DamagedCheckpoint(f"{path.name} cannot be read ({error})") from None
    if header.get("format") != FORMAT or header.get("checksum") != _checksum(tensors, header.get("state", "")):
        raise DamagedCheckpoint(f"{path.name} does not match its checksum")
    return tensors, json.loads(header["state"])


def load_newest(folder) -> tuple[dict[str, np.ndarray], dict, list[str]] | None:
    """Returns tensors and state of the newest whole checkpoint, and what was wrong with newer ones.

    `None` when no checkpoint was written yet.

    Raises:
        RuntimeError: there are checkpoints, and none is whole.
    """
    complaints = []
    for name in ("last", "previous"):
        path = Path(folder) / f"{name}.safetensors"
        if path.exists():
            try:
                return *load(path), complaints
            except DamagedCheckpoint as error:
                complaints.append(str(error))
    if complaints:
        raise RuntimeError(f"No whole checkpoint in {os.fspath(folder)!r}: {'; '.join(complaints)}")
    return None


def read_variables(groups: dict[str, list]) -> dict[str, np.ndarray]:
    """Returns the values of variables as arrays named `group/0001`."""
    return {name: np.asarray(v.numpy()) for name, v in _named(groups).items()}


def write_variables(groups: dict[str, list], tensors: dict[str, np.ndarray]) -> None:
    """Puts arrays of `read_variables` back into the variables of the same groups.

    Raises:
        ValueError: the checkpoint is of another network; nothing was changed.
    """
    variables = _named(groups)
    wanted = {name: tuple(v.shape) for name, v in variables.items()}
    found = {name: tensors[name].shape for name in tensors if name.split("/")[0] in groups}
    if wanted != found:
        odd = sorted(n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n))[0]
        raise ValueError(
            f"The checkpoint is of another network: {odd} has shape {wanted.get(odd)} here. Received: {found.get(odd)}"
        )
    for name, variable in variables.items():
        variable.assign(tensors[name])


def _named(groups: dict[str, list]) -> dict:
    # By number: the names of optimizers and seed generators depend on what else the process has built.
    return {f"{group}/{i:04d}": v for group, variables in groups.items() for i, v in enumerate(variables)}


def _checksum(tensors: dict[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
