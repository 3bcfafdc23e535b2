"""Checkpoints: each is one safetensors file with its own checksum, and never half written.

`last` is the newest state of a run, `previous` the one before it; `best` and those of single epochs (`epoch0005`) hold
only weights. A file is written under another name, flushed to the disk and then renamed. So neither a killed process
nor a full disk damages a checkpoint.
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
    """A checkpoint file that is damaged or of another kind."""


def write_atomically(path, content: bytes | str) -> Path:
    """Writes a file as a whole or not at all, and returns its path.

    Raises:
        OSError: the disk is full or the folder cannot be written. A former file of that name is unchanged.
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
    """Writes checkpoint `name` (`"last"` or `"best"`) into `folder`. A former `last` becomes `previous`.

    Args:
        tensors: arrays by name.
        state: everything else, as values that JSON can hold.
    """
    folder = Path(folder)
    path = folder / f"{name}.safetensors"
    tensors = {key: np.asarray(value, order="C") for key, value in tensors.items()}
    text = json.dumps(state, sort_keys=True)
    header = {"format": FORMAT, "state": text, "checksum": _checksum(tensors, text)}
    content = safetensors.numpy.save(tensors, metadata=header)
    if name == "last" and path.exists():
        # `previous` is a second name of the same file, so that `last` exists at every moment.
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
        DamagedCheckpoint: the file is cut off, changed, or no checkpoint.
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
    """Returns tensors and state of the newest whole checkpoint, and what is wrong with newer ones.

    Returns `None` if there is no checkpoint yet.

    Raises:
        RuntimeError: there are checkpoints, and all are damaged.
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


def weights_by_epoch(folder) -> dict[int, dict[str, np.ndarray]]:
    """Returns epoch -> (path of a weight -> its value), for the epochs that `checkpoint.keep_epochs` of a recipe named.

    Raises:
        DamagedCheckpoint: a file is damaged.
    """
    found = {}
    for path in sorted(Path(folder).glob("epoch*.safetensors")):
        tensors, state = load(path)
        found[state["epoch"]] = dict(zip(state["paths"], (tensors[name] for name in sorted(tensors)), strict=True))
    return found


def read_variables(groups: dict[str, list]) -> dict[str, np.ndarray]:
    """Returns the values of variables as arrays named `group/0001`."""
    return {name: np.asarray(v.numpy()) for name, v in _named(groups).items()}


def write_variables(groups: dict[str, list], tensors: dict[str, np.ndarray]) -> None:
    """Assigns arrays of `read_variables` to the variables of the same groups.

    Raises:
        ValueError: the arrays are of another network. Nothing was assigned.
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
    # Numbers, because the names of optimizers and seed generators depend on what the process has built before.
    return {f"{group}/{i:04d}": v for group, variables in groups.items() for i, v in enumerate(variables)}


def _checksum(tensors: dict[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
