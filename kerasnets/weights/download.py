"""Fetch public checkpoints: cache, mirrors, resumed downloads, hashes.

The cache is the folder `KERASNETS_HOME`, by default `kerasnets` in the user's cache folder. When `KERASNETS_MIRROR` is
set, a folder or a base address, files are fetched from there instead of from the publishers.

A file is moved into the cache only when it is complete and its hash is right. When the publisher gives no full hash,
the hash of the first file is recorded beside the file and checked from then on. (`keras.utils.get_file` cannot resume a
download, and does not keep the old file when a new one is wrong.)
"""

import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

from kerasnets.recipe.cache import home
from kerasnets.weights.catalogue import PublicCheckpoint

_BLOCK, _TIMEOUT, _TRIES = 1 << 20, 30, 3
_FULL = {"md5": 32, "sha256": 64}


def fetch(checkpoint: PublicCheckpoint) -> Path:
    """Returns the path of a public checkpoint. It is downloaded first when the cache does not hold it.

    Raises:
        RuntimeError: when the file cannot be fetched, is not complete, or has a wrong hash. The cache does not change.
    """
    target = home() / checkpoint.file
    if _is_good(checkpoint, target, target):
        return target
    mirror = os.environ.get("KERASNETS_MIRROR", "")
    if mirror and "://" not in mirror:
        return _mirrored(checkpoint, target, Path(mirror) / checkpoint.file)
    with _locked(target):
        if _is_good(checkpoint, target, target):
            return target  # another process has fetched it meanwhile
        part = target.with_name(target.name + ".part")
        if mirror or not checkpoint.hub:
            url = f"{mirror.rstrip('/')}/{checkpoint.file}" if mirror else checkpoint.url
            download(url, part, target, length_needed=not is_full(checkpoint.hash))
        else:
            _from_hub(checkpoint, part, target)
        if wrong := checksum_error(part, expected_hash(checkpoint, target)):
            part.unlink()
            raise RuntimeError(
                f"The download of {checkpoint.file!r} from {_origin(checkpoint)} is refused: {wrong}."
                + (f" The hash is recorded in {str(_hash_file(target))!r}." if _hash_file(target).is_file() else "")
            )
        _record_hash(checkpoint, part, target)
        os.replace(part, target)
    return target


def _is_good(checkpoint: PublicCheckpoint, path: Path, target: Path) -> bool:
    """Whether a file exists and has the right hash. At the first use the hash is recorded."""
    if not path.is_file() or checksum_error(path, expected_hash(checkpoint, target)):
        return False
    with contextlib.suppress(OSError):  # a read-only cache still serves the files that it has
        _record_hash(checkpoint, path, target)
    return True


def _record_hash(checkpoint: PublicCheckpoint, path: Path, target: Path) -> None:
    """Records the hash of a file, unless the full hash is known already."""
    if not is_full(expected_hash(checkpoint, target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        _hash_file(target).write_text(f"sha256:{digest(path, 'sha256')}\n", encoding="utf-8")


def is_full(hash: str) -> bool:
    """Whether a hash ("kind:digits") has all its digits, and not only the first."""
    kind, _, digits = hash.partition(":")
    return len(digits) == _FULL.get(kind)


def expected_hash(checkpoint: PublicCheckpoint, target: Path) -> str:
    """Returns the hash recorded at the first use if it agrees with the publisher's, otherwise the publisher's."""
    file = _hash_file(target)
    recorded = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    return recorded if recorded.startswith(checkpoint.hash) else checkpoint.hash


def checksum_error(path: Path, expected: str) -> str:
    """Returns what is wrong with a file; "" when its hash begins with `expected` ("kind:digits")."""
    kind, _, digits = expected.partition(":")
    if not path.stat().st_size:
        return "it is empty"
    if not expected or (found := digest(path, kind)).startswith(digits):
        return ""
    return f"its {kind} should begin with {digits} and is {found}"


def digest(path: Path, kind: str) -> str:
    """Returns the hash of a file in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def download(url: str, part: Path, target: Path, length_needed: bool = True) -> None:
    """Downloads a file. An earlier part is continued if the file on the server is still the same.

    Args:
        url: the address of the file.
        part: the path that is written.
        target: the path that the file will have in the cache, for messages.
        length_needed: whether an answer without a length is refused. Without a length and a hash nobody can tell
            whether the file is complete.

    Raises:
        RuntimeError: when the server refuses or cannot be reached. The message says where to put the file by hand.
    """
    for attempt in range(_TRIES):
        try:
            if resume_download(url, part, length_needed):
                return _validator_file(part).unlink(missing_ok=True)
        except urllib.error.HTTPError as error:
            if error.code == 416 and part.exists():  # the part is the whole file, or a part of another file
                whole = error.headers.get("Content-Range", "") == f"bytes */{part.stat().st_size}"
                if whole and _is_of_same_file(part, error.headers):
                    return _validator_file(part).unlink(missing_ok=True)
                part.unlink()
                continue
            raise _unreachable(target, url, f"the server answered {error.code} {error.reason}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            # Who has no network is told at once; a connection that broke off is tried again.
            offline = isinstance(getattr(error, "reason", error), socket.gaierror | ConnectionRefusedError)
            if offline or attempt == _TRIES - 1:
                raise _unreachable(target, url, str(getattr(error, "reason", error))) from None
        time.sleep(attempt)
    held = part.stat().st_size if part.exists() else 0
    raise RuntimeError(f"The download from {url} broke off after {held:,} bytes. Try again to resume it.")


def resume_download(url: str, part: Path, length_needed: bool) -> bool:
    """Downloads what is missing of `part`, as far as the server sends it. Returns whether the file is complete."""
    request = urllib.request.Request(url, headers={"User-Agent": "kerasnets", "Accept-Encoding": "identity"})
    known = _validators(part) if part.exists() else {}
    held = part.stat().st_size if known.get("url") == url else 0
    if held:
        request.add_header("Range", f"bytes={held}-")
        request.add_header("If-Range", known.get("ETag") or known["Last-Modified"])
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        resumed = answer.status == 206
        length = answer.headers.get("Content-Length")
        if resumed and not (_starts_at(held, answer.headers) and _is_of_same_file(part, answer.headers)):
            part.unlink()
            return False
        if length is None and length_needed:
            raise ValueError("the server does not say how long the file is, and no hash is known to check it with")
        start = held if resumed else 0
        total = start + int(length) if length else None
        if not resumed:
            _save_validators(url, part, answer.headers)
        with open(part, "ab" if resumed else "wb") as file, _progress(target_name(part), start, total) as advance:
            while block := answer.read1(_BLOCK):
                file.write(block)
                advance(len(block))
    return total is None or part.stat().st_size == total


def _starts_at(held: int, headers) -> bool:
    found = re.fullmatch(r"bytes (\d+)-\d+/(?:\d+|\*)", headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == held


def _save_validators(url: str, part: Path, headers) -> None:
    """Saves the headers that identify this version of the file. Without them a download is not resumed."""
    found = {key: headers[key] for key in ("ETag", "Last-Modified") if headers.get(key)}
    if found.get("ETag", "").startswith("W/"):
        del found["ETag"]  # a weak tag does not promise the same bytes
    facts = json.dumps({"url": url, **found} if found else {})
    _validator_file(part).write_text(facts, encoding="utf-8")


def _validators(part: Path) -> dict:
    """Returns the headers that `_save_validators` saved, or `{}`."""
    try:
        return dict(json.loads(_validator_file(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _is_of_same_file(part: Path, headers) -> bool:
    """Whether an answer agrees with the saved headers of the part."""
    known = _validators(part)
    pairs = [(known.get(key), headers.get(key)) for key in ("ETag", "Last-Modified")]
    return bool(known) and all(old == new for old, new in pairs if old and new)


def _validator_file(part: Path) -> Path:
    return part.with_name(part.name + ".from")


def target_name(part: Path) -> str:
    """Returns the name that the finished file will have."""
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
    """Downloads from the Hugging Face hub. Its library resumes downloads by itself.

    First the hub is asked for the commit that the revision means and for the SHA-256 that it knows of every large file.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    folder, name = target.with_name(target.stem), "model.safetensors"
    try:
        facts = get_hf_file_metadata(hf_hub_url(checkpoint.hub, name, revision=checkpoint.revision))
        whole = hf_hub_download(checkpoint.hub, name, revision=facts.commit_hash, local_dir=folder)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise _unreachable(target, checkpoint.address, lines[0]) from None
    os.replace(whole, part)
    shutil.rmtree(folder, ignore_errors=True)
    stated = f"sha256:{facts.etag}"
    if is_full(stated) and (wrong := checksum_error(part, stated)):
        part.unlink()
        raise RuntimeError(f"The download of {checkpoint.file!r} from {checkpoint.address} is refused: {wrong}.")


def _mirrored(checkpoint: PublicCheckpoint, target: Path, source: Path) -> Path:
    """Returns the path of a file in a mirror that is a folder. The file is not copied."""
    if not source.is_file():
        raise RuntimeError(
            f"The mirror has no {checkpoint.file!r}. Put it at {str(source)!r}; its address is {checkpoint.address}"
        )
    if not _is_good(checkpoint, source, target):
        wrong = checksum_error(source, expected_hash(checkpoint, target))
        raise RuntimeError(f"{str(source)!r} is refused: {wrong}.")
    return source


@contextlib.contextmanager
def _locked(target: Path):
    """Holds a lock, so that one process at a time fetches a file."""
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(target.name + ".lock"))
        lock.acquire()
    except OSError as error:
        raise RuntimeError(
            f"The cache {str(target.parent)!r} cannot be written ({error.strerror}). Set KERASNETS_HOME to another "
            "folder."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _hash_file(target: Path) -> Path:
    return target.with_name(target.name + ".hash")


def _origin(checkpoint: PublicCheckpoint) -> str:
    return os.environ.get("KERASNETS_MIRROR") or checkpoint.address


def _unreachable(target: Path, url: str, reason: str) -> RuntimeError:
    return RuntimeError(
        f"{target.name!r} could not be fetched from {url}: {reason}. Without a network put the file at "
        f"{str(target)!r}, or set KERASNETS_MIRROR to a folder or an address that has it."
    )
