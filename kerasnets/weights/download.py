"""Bringing a public checkpoint to this machine: cache, mirrors, resumed downloads, hashes.

The cache is `KERASNETS_HOME` (by default `kerasnets` in the user's cache folder). `KERASNETS_MIRROR`, a folder or a
base address, is asked instead of the publishers. A file takes its place in the cache when it is whole and its hash is
right, and never before. Where no full hash is published, the hash of the first file is recorded beside it and checked
from then on. (`keras.utils.get_file` can neither go on with half a file nor keep the old one.)
"""

import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from kerasnets.weights.catalogue import PublicCheckpoint

_BLOCK, _TIMEOUT, _TRIES = 1 << 20, 30, 3
_FULL = {"md5": 32, "sha256": 64}


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
    if _is_good(checkpoint, target, target):
        return target
    mirror = os.environ.get("KERASNETS_MIRROR", "")
    if mirror and "://" not in mirror:
        return _mirrored(checkpoint, target, Path(mirror) / checkpoint.file)
    with _alone(target):
        if _is_good(checkpoint, target, target):
            return target  # another process was faster
        part = target.with_name(target.name + ".part")
        if mirror or not checkpoint.hub:
            url = f"{mirror.rstrip('/')}/{checkpoint.file}" if mirror else checkpoint.url
            download(url, part, target, length_needed=not is_full(checkpoint.hash))
        else:
            _from_hub(checkpoint, part, target)
        if wrong := complaint(part, expected_hash(checkpoint, target)):
            part.unlink()
            raise RuntimeError(
                f"What came for {checkpoint.file!r} from {_origin(checkpoint)} is refused: {wrong}."
                + (f" The hash was recorded in {str(_record(target))!r}." if _record(target).is_file() else "")
            )
        _remember(checkpoint, part, target)
        os.replace(part, target)
    return target


def _is_good(checkpoint: PublicCheckpoint, path: Path, target: Path) -> bool:
    """Whether a file is here and right; one that is used for the first time has its hash recorded."""
    if not path.is_file() or complaint(path, expected_hash(checkpoint, target)):
        return False
    with contextlib.suppress(OSError):  # a cache that cannot be written serves what it has
        _remember(checkpoint, path, target)
    return True


def _remember(checkpoint: PublicCheckpoint, path: Path, target: Path) -> None:
    """Records a file's hash, where the publisher gives none in full and no record of this file is there."""
    if not is_full(expected_hash(checkpoint, target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        _record(target).write_text(f"sha256:{digest(path, 'sha256')}\n", encoding="utf-8")


def is_full(hash: str) -> bool:
    """Whether a hash ("kind:digits") has all of its digits, and not only the first ones."""
    kind, _, digits = hash.partition(":")
    return len(digits) == _FULL.get(kind)


def expected_hash(checkpoint: PublicCheckpoint, target: Path) -> str:
    """The hash recorded at first use, unless it is against the publisher's; the publisher's otherwise."""
    record = _record(target)
    recorded = record.read_text(encoding="utf-8").strip() if record.is_file() else ""
    return recorded if recorded.startswith(checkpoint.hash) else checkpoint.hash


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


def download(url: str, part: Path, target: Path, length_needed: bool = True) -> None:
    """Fetches `url` into `part`, going on where an earlier try stopped if the file there is still the same.

    Args:
        url: where the file is.
        part: where it is written.
        target: what it will become, for messages.
        length_needed: whether an answer that does not say its length is refused, as it must be where no hash can
            tell whether it is whole.

    Raises:
        RuntimeError: when the server refuses or cannot be reached; the message says where to put the file by hand.
    """
    for attempt in range(_TRIES):
        try:
            if _went_on(url, part, length_needed):
                return _origin_of(part).unlink(missing_ok=True)
        except urllib.error.HTTPError as error:
            if error.code == 416 and part.exists():  # nothing is left to fetch, or what is here is another file
                whole = error.headers.get("Content-Range", "") == f"bytes */{part.stat().st_size}"
                if whole and _is_of_same_file(part, error.headers):
                    return _origin_of(part).unlink(missing_ok=True)
                part.unlink()
                continue
            raise _unreachable(target, url, f"the server answered {error.code} {error.reason}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            if attempt == _TRIES - 1:
                raise _unreachable(target, url, str(getattr(error, "reason", error))) from None
        time.sleep(attempt)
    held = part.stat().st_size if part.exists() else 0
    raise RuntimeError(f"{url} broke off after {held:,} bytes. Ask again to go on from there.")


def _went_on(url: str, part: Path, length_needed: bool) -> bool:
    """Fetches as much as the server gives; whether that was all of it."""
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
            raise ValueError("the server does not say how long the file is, and no hash is known to check it by")
        start = held if resumed else 0
        total = start + int(length) if length else None
        if not resumed:
            _note_validators(url, part, answer.headers)
        with open(part, "ab" if resumed else "wb") as file, _progress(target_name(part), start, total) as advance:
            while block := answer.read1(_BLOCK):
                file.write(block)
                advance(len(block))
    return total is None or part.stat().st_size == total


def _starts_at(held: int, headers) -> bool:
    found = re.fullmatch(r"bytes (\d+)-\d+/(?:\d+|\*)", headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == held


def _note_validators(url: str, part: Path, headers) -> None:
    """Keeps what tells whether a later answer is of the same file; without that, half a file is not gone on with."""
    found = {key: headers[key] for key in ("ETag", "Last-Modified") if headers.get(key)}
    if found.get("ETag", "").startswith("W/"):
        del found["ETag"]  # a weak one does not promise the same bytes
    facts = json.dumps({"url": url, **found} if found else {})
    _origin_of(part).write_text(facts, encoding="utf-8")


def _validators(part: Path) -> dict:
    """What `_note_validators` kept, `{}` when there is nothing."""
    try:
        return dict(json.loads(_origin_of(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _is_of_same_file(part: Path, headers) -> bool:
    """Whether no validator of an answer is against those of the half-finished file."""
    known = _validators(part)
    pairs = [(known.get(key), headers.get(key)) for key in ("ETag", "Last-Modified")]
    return bool(known) and all(old == new for old, new in pairs if old and new)


def _origin_of(part: Path) -> Path:
    return part.with_name(part.name + ".from")


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
    """Fetches from the Hugging Face hub, whose library goes on with half-finished files by itself.

    The hub is asked first which commit it will give, and for the file's SHA-256, which it knows of every large file.
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
    if is_full(stated) and (wrong := complaint(part, stated)):
        part.unlink()
        raise RuntimeError(f"What came for {checkpoint.file!r} from {checkpoint.address} is refused: {wrong}.")


def _mirrored(checkpoint: PublicCheckpoint, target: Path, source: Path) -> Path:
    """A file of a mirror that is a folder; it is used where it stands."""
    if not source.is_file():
        raise RuntimeError(
            f"The mirror has no {checkpoint.file!r}: put it at {str(source)!r}, from {checkpoint.address}"
        )
    if not _is_good(checkpoint, source, target):
        wrong = complaint(source, expected_hash(checkpoint, target))
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
