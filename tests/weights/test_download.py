"""Downloads of public checkpoints; a server on this machine stands for the publishers."""

import dataclasses
import functools
import hashlib
import os
import subprocess
import sys

import pytest
from weights_server import serve

from kerasnets.registry import Preprocessing
from kerasnets.weights import download as fetching
from kerasnets.weights.catalogue import PublicCheckpoint
from kerasnets.weights.download import fetch

CONTENT = bytes(range(256)) * 4000
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serve({"/net.pth": CONTENT}) as server:
        yield server


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASNETS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERASNETS_MIRROR", raising=False)
    monkeypatch.setattr(fetching.time, "sleep", lambda seconds: None)
    return tmp_path / "home"


def checkpoint(server, **changes):
    facts = {"hash": f"sha256:{HASH[:8]}", "url": f"{server.address}/net.pth", **changes}
    return PublicCheckpoint("v1", "torchvision", "net.pth", "BSD-3-Clause", Preprocessing(), **facts)


def refused(item, *words):
    with pytest.raises(RuntimeError) as caught:
        fetch(item)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message
    return message


def test_success_and_no_second_download(server, home):
    path = fetch(checkpoint(server))
    assert path == home / "net.pth" and path.read_bytes() == CONTENT
    assert fetch(checkpoint(server)) == path
    assert [command for command, *_ in server.asked] == ["GET"]
    assert sorted(p.name for p in home.iterdir() if not p.name.endswith(".lock")) == ["net.pth", "net.pth.hash"]


def test_a_full_hash_needs_no_record(server, home):
    fetch(checkpoint(server, hash=f"sha256:{HASH}"))
    fetch(dataclasses.replace(checkpoint(server, hash=f"md5:{hashlib.md5(CONTENT).hexdigest()}"), file="other.pth"))
    assert not list(home.glob("*.hash"))


def test_resumes_within_a_call_and_between_calls(server, home):
    server.breaks_after, server.then = 1000, [2000, 3000]
    refused(checkpoint(server), "broke off", "6,000 bytes")
    assert (home / "net.pth.part").read_bytes() == CONTENT[:6000] and not (home / "net.pth").exists()
    assert fetch(checkpoint(server)).read_bytes() == CONTENT
    assert [start for _, _, start in server.asked] == [0, 1000, 3000, 6000]


def test_a_server_that_cannot_resume_starts_over(server, home):
    server.resumes, server.breaks_after = False, 1000
    assert fetch(checkpoint(server)).read_bytes() == CONTENT


@pytest.mark.parametrize("minds", [True, False])
def test_a_part_of_a_file_that_has_changed_is_thrown_away(server, home, minds):
    item, server.minds_if_range = checkpoint(server, hash=""), minds
    server.breaks_after, server.then = 1000, [0, 0]
    refused(item, "broke off")
    server.files["/net.pth"], server.etag = bytes(reversed(CONTENT)), '"4567"'
    assert fetch(item).read_bytes() == bytes(reversed(CONTENT))


@pytest.mark.parametrize("shift", [1, -1])
def test_a_part_that_begins_elsewhere_is_thrown_away(server, home, shift):
    item, server.shift = checkpoint(server, hash=""), shift
    server.breaks_after = 1000
    assert fetch(item).read_bytes() == CONTENT


def test_a_part_of_unknown_origin_is_not_resumed(server, home):
    home.mkdir()
    (home / "net.pth.part").write_bytes(b"something else")
    assert fetch(checkpoint(server, hash="")).read_bytes() == CONTENT
    server.etag = 'W/"0123"'  # weak: the bytes may differ
    server.breaks_after = 1000
    assert fetch(dataclasses.replace(checkpoint(server, hash=""), file="other.pth")).read_bytes() == CONTENT
    assert [start for _, _, start in server.asked] == [0, 0, 0]


@pytest.mark.parametrize("hash", ["", f"sha256:{HASH[:8]}"])
def test_an_answer_without_length_is_no_file_without_a_full_hash(server, home, hash):
    server.says_length = False
    refused(checkpoint(server, hash=hash), "does not say how long", "net.pth")
    assert not (home / "net.pth").exists()
    assert fetch(checkpoint(server, hash=f"sha256:{HASH}")).read_bytes() == CONTENT


@pytest.mark.parametrize("says_length", [True, False])
def test_an_answer_that_ends_early_is_no_file(server, home, says_length):
    server.says_length, server.resumes = says_length, False
    server.breaks_after, server.then = 1000, [1000, 1000]
    refused(checkpoint(server, hash="" if says_length else f"sha256:{HASH}"), "net.pth")
    assert not (home / "net.pth").exists()


def test_a_whole_part_is_not_fetched_again(server, home):
    home.mkdir()
    (home / "net.pth.part").write_bytes(CONTENT)
    assert fetch(checkpoint(server)).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_more_than_the_file_is_thrown_away(server, home):
    home.mkdir()
    (home / "net.pth.part").write_bytes(CONTENT + b"rest of another file")
    assert fetch(checkpoint(server)).read_bytes() == CONTENT


def test_wrong_hash_is_refused_and_the_good_file_kept(server, home):
    fetch(checkpoint(server))
    other = dataclasses.replace(checkpoint(server), hash="md5:00000000000000000000000000000000")
    refused(other, "is refused", "md5 should begin with 0000", "net.pth")
    assert (home / "net.pth").read_bytes() == CONTENT and not (home / "net.pth.part").exists()


def test_a_damaged_file_in_the_cache_is_fetched_again(server, home):
    fetch(checkpoint(server)).write_bytes(CONTENT[:500])
    assert fetch(checkpoint(server)).read_bytes() == CONTENT


def test_without_a_published_hash_the_first_one_is_kept(server, home):
    item = checkpoint(server, hash="")
    path = fetch(item)
    assert (home / "net.pth.hash").read_text().strip() == f"sha256:{HASH}"
    path.write_bytes(b"something else")
    server.files["/net.pth"] = b"another file by now"
    refused(item, "is refused", HASH)
    server.files["/net.pth"] = CONTENT
    assert fetch(item).read_bytes() == CONTENT


@pytest.mark.parametrize("hash", ["", f"sha256:{HASH[:8]}"])
def test_a_file_put_there_by_hand_is_recorded_when_it_is_first_used(server, home, hash):
    home.mkdir()
    item = checkpoint(server, hash=hash, url="http://127.0.0.1:9/net.pth")
    (home / "net.pth").write_bytes(CONTENT)
    assert fetch(item) == home / "net.pth"
    assert (home / "net.pth.hash").read_text().strip() == f"sha256:{HASH}"
    (home / "net.pth").write_bytes(CONTENT + b"more")
    refused(item, "could not be fetched")


def test_a_file_of_a_mirror_is_recorded_when_it_is_first_used(server, home, monkeypatch):
    folder = home.parent / "mirror"
    folder.mkdir()
    monkeypatch.setenv("KERASNETS_MIRROR", str(folder))
    (folder / "net.pth").write_bytes(CONTENT)
    assert fetch(checkpoint(server, hash="")) == folder / "net.pth"
    (folder / "net.pth").write_bytes(CONTENT + b"more")
    refused(checkpoint(server, hash=""), "is refused", HASH)


def test_404_and_no_network_say_where_to_put_the_file(server, home):
    refused(checkpoint(server, url=f"{server.address}/none.pth"), "404", "/none.pth", str(home / "net.pth"))
    refused(checkpoint(server, url="http://127.0.0.1:9/net.pth"), "127.0.0.1:9", str(home / "net.pth"), "MIRROR")
    home.mkdir(exist_ok=True)
    (home / "net.pth").write_bytes(CONTENT)  # put there by hand
    assert fetch(checkpoint(server, url="http://127.0.0.1:9/net.pth")) == home / "net.pth"


def test_an_empty_answer_is_no_file(server, home):
    server.files["/net.pth"] = b""
    refused(checkpoint(server, hash=""), "it is empty")


def test_a_cache_that_cannot_be_written(server, home, monkeypatch):
    blocked = home.parent / "file"
    blocked.write_text("")
    monkeypatch.setenv("KERASNETS_HOME", str(blocked / "home"))
    refused(checkpoint(server), "cannot be written", "KERASNETS_HOME")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_cache_serves_what_it_has(server, home):
    fetch(checkpoint(server))
    home.chmod(0o500)
    try:
        assert fetch(checkpoint(server)).read_bytes() == CONTENT
        refused(dataclasses.replace(checkpoint(server), file="other.pth"), "cannot be written")
    finally:
        home.chmod(0o700)


def test_mirrors(server, home, monkeypatch):
    folder = home.parent / "mirror"
    folder.mkdir()
    unreachable = checkpoint(server, url="http://127.0.0.1:9/net.pth")
    monkeypatch.setenv("KERASNETS_MIRROR", str(folder))
    refused(unreachable, "mirror has no", str(folder / "net.pth"))
    (folder / "net.pth").write_bytes(CONTENT[:10])
    refused(unreachable, "is refused")
    (folder / "net.pth").write_bytes(CONTENT)
    assert fetch(unreachable) == folder / "net.pth"
    monkeypatch.setenv("KERASNETS_MIRROR", server.address + "/")
    assert fetch(unreachable) == home / "net.pth"


@pytest.fixture
def hub(server, monkeypatch):
    """The server in place of the Hugging Face hub; it says the file's SHA-256 as the hub does."""
    import huggingface_hub

    for name in ("hf_hub_download", "hf_hub_url"):
        theirs = getattr(huggingface_hub, name)
        monkeypatch.setattr(huggingface_hub, name, functools.partial(theirs, endpoint=server.address))
    for revision in ("main", "f" * 40):
        server.files[f"/timm/net.v1/resolve/{revision}/model.safetensors"] = CONTENT
    server.headers = {"X-Linked-Etag": f'"{HASH}"', "X-Linked-Size": str(len(CONTENT))}
    item = dataclasses.replace(checkpoint(server), file="net.v1.safetensors", hash="", url="", hub="timm/net.v1")
    return dataclasses.replace(item, revision="main")


def test_the_hub(server, home, hub):
    assert fetch(hub).read_bytes() == CONTENT
    assert (home / "net.v1.safetensors.hash").read_text().strip() == f"sha256:{HASH}"
    downloaded = {path.split("/")[4] for command, path, _ in server.asked if command == "GET"}
    assert downloaded == {"f" * 40}  # the commit that `main` stood for when it was asked
    server.files.clear()
    (home / "net.v1.safetensors").unlink()
    refused(hub, "net.v1.safetensors", "huggingface.co/timm/net.v1", str(home))


def test_a_file_of_the_hub_is_checked_with_what_the_hub_says_of_it(server, home, hub):
    server.files[f"/timm/net.v1/resolve/{'f' * 40}/model.safetensors"] = CONTENT[:-1] + b"!"
    refused(hub, "is refused", HASH)
    assert not list(home.glob("*.safetensors*[!k]"))


@pytest.mark.parametrize(
    "hash, revision, words",
    [
        (f"sha256:{HASH}", "main", f"sha256:{HASH}"),
        (f"sha256:{HASH[:8]}", "", f"sha256:{HASH[:8]}... (only these digits are published: the hash is recorded"),
        ("", "", "(no published hash: the hash is recorded at first use and checked from then on)"),
        ("", "main", "(no published hash, and the hub's `main` may change: the hash is recorded at first use"),
    ],
)
def test_info_says_how_far_a_file_is_known(server, hash, revision, words):
    from kerasnets.cli.info import _pinned

    assert _pinned(checkpoint(server, hash=hash, revision=revision)).startswith(words)


PROCESS = """
import sys
from kerasnets.registry import Preprocessing
from kerasnets.weights.catalogue import PublicCheckpoint
from kerasnets.weights.download import fetch
print(fetch(PublicCheckpoint("v1", "", "net.pth", "", Preprocessing(), hash=sys.argv[1], url=sys.argv[2])))
"""


def test_two_processes_at_once_download_once(server, home):
    command = [sys.executable, "-c", PROCESS, f"sha256:{HASH}", f"{server.address}/net.pth"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=120)[0].strip() for process in running]
    assert answers == [str(home / "net.pth")] * 2 and (home / "net.pth").read_bytes() == CONTENT
    assert len(server.asked) == 1


@pytest.mark.parametrize("text", ["", "\n ", "offline\nmore of it"])
def test_an_error_of_the_hub_without_a_text_is_named_by_its_class(text, home, monkeypatch):
    def fail(*_, **__):
        raise TimeoutError(text)

    for name in ("get_hf_file_metadata", "hf_hub_download"):
        monkeypatch.setattr(f"huggingface_hub.{name}", fail)
    item = PublicCheckpoint("v1", "timm", "net.safetensors", "MIT", Preprocessing(), hub="timm/net", revision="main")
    with pytest.raises(RuntimeError, match="offline" if "offline" in text else "TimeoutError") as error:
        fetch(item)
    assert "more of it" not in str(error.value)
