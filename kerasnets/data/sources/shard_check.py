"""Checks shards against their index. The SHA-256 of a shard is computed once on each machine, not at every start.

What was checked is written to a stamp in the cache: for each shard its hash, and the size and time of last change that
its file had. A file with another size or time is checked again.
"""

import contextlib
import hashlib
import json
import os
import platform
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kerasnets.recipe.cache import home


def check_shards(folder: Path, shards: list[dict], verify: bool) -> None:
    """Checks that the files of shards are those of the index.

    Args:
        folder: of the shards.
        shards: their entries in the index.
        verify: whether the SHA-256 is compared too, where the stamp does not say that it was.

    Raises:
        FileNotFoundError: a shard is missing.
        ValueError: a shard differs from its entry; the error names it.
    """
    stamp = _stamp(folder)
    known = _read(stamp) if verify else {}
    with ThreadPoolExecutor() as pool:
        states = list(pool.map(lambda shard: _check(folder, shard, verify, known), shards))
    found = {shard["file"]: state for shard, state in zip(shards, states, strict=True)}
    if verify and any(known.get(file) != state for file, state in found.items()):
        with contextlib.suppress(OSError):  # without a stamp the next start checks again
            _write(stamp, known | found)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(folder: Path, shard: dict, verify: bool, known: dict) -> list:
    """Returns what a stamp holds of a shard."""
    path = folder / shard["file"]
    if not path.is_file():
        raise FileNotFoundError(f"The shard {shard['file']} is missing. Received: path={str(folder)!r}")
    facts = path.stat()
    state, found = [shard["sha256"], facts.st_size, facts.st_mtime_ns], f"{facts.st_size} bytes"
    wrong = facts.st_size != shard["bytes"]
    if not wrong and verify and known.get(shard["file"]) != state:
        found = f"SHA-256 {sha256(path)}"
        wrong = found != f"SHA-256 {shard['sha256']}"
    if wrong:
        raise ValueError(
            f"The shard {shard['file']} is damaged: it has {found}, the index says {shard['bytes']} bytes with SHA-256 "
            f"{shard['sha256']}. Copy or write it again. Received: path={str(folder)!r}"
        )
    return state


def _stamp(folder: Path) -> Path:
    """Returns the place of the stamp of a folder on this machine."""
    key = hashlib.sha256(os.fsencode(folder.resolve()) + b"\0" + platform.node().encode()).hexdigest()[:16]
    return home() / "verified" / f"{folder.name}-{key}.json"


def _read(path: Path) -> dict:
    """Returns the states in a stamp; nothing when it is missing or broken, so that the shards are checked again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, states: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(states, file)
        os.replace(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
