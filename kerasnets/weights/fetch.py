"""Bringing a public checkpoint to this machine: cache, mirrors, resumed downloads, hashes.

The cache is `KERASNETS_HOME` (by default `kerasnets` in the user's cache folder). `KERASNETS_MIRROR`, a folder or a
base address, is asked instead of the publishers. A file takes its place in the cache when it is whole and its hash is
right, and never before. (`keras.utils.get_file` can neither go on with half a file nor keep the old one.)
"""

import contextlib
import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from kerasnets.weights.catalogue import PublicCheckpoint

_BLOCK, _TIMEOUT, _TRIES = 1 << 20, 30, 3


def home() -> Path:
    """Returns the folder that checkpoints are kept in."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("KERASNETS_HOME") or Path(cache) / "kerasnets")


def fetch(checkpoint: PublicCheckpoint) -> Path:
    """Returns the path of a public checkpoint, brought here first when the cache does not hold it.

    Raises:
        RuntimeError: when it cannot be fetched, is not whole, or its hash is wrong; the cache is left as it was.
    """
    target = home() / checkpoint.file
    if target.is_file() and not complaint(target, expected_hash(checkpoint, target)):
        return target
    mirror = os.environ.get("KERASNETS_MIRROR", "")
    if mirror and "://" not in mirror:
        return _mirrored(checkpoint, target, Path(mirror) / checkpoint.file)
    with _alone(target):
        if target.is_file() and not complaint(target, expected_hash(checkpoint, target)):
            return target  # another process was faster
        part = target.with_name(target.name + ".part")
        if mirror or not checkpoint.hub:
            download(f"{mirror.rstrip('/')}/{checkpoint.file}" if mirror else checkpoint.url, part, target)
        else:
            _from_hub(checkpoint, part, target)
        if wrong := complaint(part, expected_hash(checkpoint, target)):
            part.unlink()
            raise RuntimeError(f"What came for {checkpoint.file!r} from {_origin(checkpoint)} is refused: {wrong}.")
        if not checkpoint.hash:
            _record(target).write_text(f"sha256:{digest(part, 'sha256')}\n", encoding="utf-8")
        os.replace(part, target)
    return target


def expected_hash(checkpoint: PublicCheckpoint, target: Path) -> str:
    """The publisher's hash, or the one recorded when the file first came here; "" before."""
    record = _record(target)
    return checkpoint.hash or (record.read_text(encoding="utf-8").strip() if record.is_file() else "")


def complaint(path: Path, expected: str) -> str:
    """Returns what is wrong with a file, "" when its hash begins as `expected` ("kind:digits") does."""
    kind, _, digits = expected.partition(":")
    if not path.stat().st_size:
        return "it is empty"
    if not expected or (found := digest(path, kind)).startswith(digits):
        return ""
    return f"its {kind} should begin with {digits} and is {found}"


def digest(path: Path, kind: str) -> str:
    """Returns a file's hash in hexadecimal digits, read block by block."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def download(url: str, part: Path, target: Path) -> None:
    """Fetches `url` into `part`, going on where an earlier try stopped.

    Raises:
        RuntimeError: when the server refuses or cannot be reached; the message says where to put the file by hand.
    """
    for attempt in range(_TRIES):
        try:
            if _went_on(url, part):
                return
        except urllib.error.HTTPError as error:
            if error.code == 416 and part.exists():  # nothing is left to fetch, or what is here is another file
                if error.headers.get("Content-Range", "").endswith(f"/{part.stat().st_size}"):
                    return
                part.unlink()
                continue
            raise _unreachable(target, url, f"the server answered {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            if attempt == _TRIES - 1:
                raise _unreachable(target, url, str(getattr(error, "reason", error))) from None
        time.sleep(attempt)
    held = part.stat().st_size if part.exists() else 0
    raise RuntimeError(f"{url} broke off after {held:,} bytes. Ask again to go on from there.")


def _went_on(url: str, part: Path) -> bool:
    """Fetches as much as the server gives; whether that was all of it."""
    held = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "kerasnets", "Accept-Encoding": "identity"})
    if held:
        request.add_header("Range", f"bytes={held}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        resumed = answer.status == 206
        length = answer.headers.get("Content-Length")
        start = held if resumed else 0
        total = start + int(length) if length else None
        with open(part, "ab" if resumed else "wb") as file, _progress(target_name(part), start, total) as advance:
            while block := answer.read1(_BLOCK):
                file.write(block)
                advance(len(block))
    return total is None or part.stat().st_size >= total


def target_name(part: Path) -> str:
    """The file that a half-finished one will become."""
    return part.name.removesuffix(".part")


@contextlib.contextmanager
def _progress(name: str, start: int, total: int | None):
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=total, completed=start)
        yield lambda count: bar.advance(task, count)


def _from_hub(checkpoint: PublicCheckpoint, part: Path, target: Path) -> None:
    """Fetches from the Hugging Face hub, whose library goes on with half-finished files by itself."""
    from huggingface_hub import hf_hub_download

    folder = target.with_name(target.stem)
    options = {"revision": checkpoint.revision, "local_dir": folder}
    try:
        whole = hf_hub_download(checkpoint.hub, "model.safetensors", **options)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise _unreachable(target, checkpoint.address, lines[0]) from None
    os.replace(whole, part)
    shutil.rmtree(folder, ignore_errors=True)


def _mirrored(checkpoint: PublicCheckpoint, target: Path, source: Path) -> Path:
    """A file of a mirror that is a folder; it is used where it stands."""
    if not source.is_file():
        raise RuntimeError(
            f"The mirror has no {checkpoint.file!r}: put it at {str(source)!r}, from {checkpoint.address}"
        )
    if wrong := complaint(source, expected_hash(checkpoint, target)):
        raise RuntimeError(f"{str(source)!r} is refused: {wrong}.")
    return source


@contextlib.contextmanager
def _alone(target: Path):
    """Lets one process at a time fetch a file."""
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(target.name + ".lock"))
        lock.acquire()
    except OSError as error:
        raise RuntimeError(
            f"The cache {str(target.parent)!r} cannot be written ({error.strerror}); set KERASNETS_HOME to a folder "
            "that can."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _record(target: Path) -> Path:
    return target.with_name(target.name + ".hash")


def _origin(checkpoint: PublicCheckpoint) -> str:
    return os.environ.get("KERASNETS_MIRROR") or checkpoint.address


def _unreachable(target: Path, url: str, reason: str) -> RuntimeError:
    return RuntimeError(
        f"{target.name!r} could not be fetched from {url}: {reason}. Without a network put the file at "
        f"{str(target)!r}, or set KERASNETS_MIRROR to a folder or an address that has it."
    )
