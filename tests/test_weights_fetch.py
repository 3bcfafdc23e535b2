"""Public checkpoints on their way here: a server on this machine stands for the publishers."""

import dataclasses
import hashlib
import os
import subprocess
import sys

import pytest
from weights_server import serve

from kerasnets.registry import Preprocessing
from kerasnets.weights import fetch as fetching
from kerasnets.weights.catalogue import PublicCheckpoint
from kerasnets.weights.fetch import fetch

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
    assert sorted(p.name for p in home.iterdir() if not p.name.endswith(".lock")) == ["net.pth"]


def test_resumes_within_a_call_and_between_calls(server, home):
    server.breaks_after, server.then = 1000, [2000, 3000]
    refused(checkpoint(server), "broke off", "6,000 bytes")
    assert (home / "net.pth.part").read_bytes() == CONTENT[:6000] and not (home / "net.pth").exists()
    assert fetch(checkpoint(server)).read_bytes() == CONTENT
    assert [start for _, _, start in server.asked] == [0, 1000, 3000, 6000]


def test_a_server_that_cannot_resume_starts_over(server, home):
    server.resumes, server.breaks_after = False, 1000
    assert fetch(checkpoint(server)).read_bytes() == CONTENT


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


def test_the_hub(server, home, monkeypatch):
    import huggingface_hub

    server.files["/timm/net.v1/resolve/main/model.safetensors"] = CONTENT
    monkeypatch.setattr(
        huggingface_hub,
        "hf_hub_download",
        lambda *a, download=huggingface_hub.hf_hub_download, **k: download(*a, **k, endpoint=server.address),
    )
    item = dataclasses.replace(checkpoint(server), file="net.v1.safetensors", hash="", url="", hub="timm/net.v1")
    item = dataclasses.replace(item, revision="main")
    assert fetch(item).read_bytes() == CONTENT
    assert (home / "net.v1.safetensors.hash").read_text().strip() == f"sha256:{HASH}"
    del server.files["/timm/net.v1/resolve/main/model.safetensors"]
    (home / "net.v1.safetensors").unlink()
    refused(item, "net.v1.safetensors", "huggingface.co/timm/net.v1", str(home))


PROCESS = """
import sys
from kerasnets.registry import Preprocessing
from kerasnets.weights.catalogue import PublicCheckpoint
from kerasnets.weights.fetch import fetch
print(fetch(PublicCheckpoint("v1", "", "net.pth", "", Preprocessing(), hash=sys.argv[1], url=sys.argv[2])))
"""


def test_two_processes_at_once_download_once(server, home):
    command = [sys.executable, "-c", PROCESS, f"sha256:{HASH}", f"{server.address}/net.pth"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=120)[0].strip() for process in running]
    assert answers == [str(home / "net.pth")] * 2 and (home / "net.pth").read_bytes() == CONTENT
    assert len(server.asked) == 1


@pytest.mark.parametrize("said", ["", "\n ", "offline\nmore of it"])
def test_an_error_of_the_hub_without_a_word_is_named_by_its_kind(said, home, monkeypatch):
    def fail(*_, **__):
        raise TimeoutError(said)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    item = PublicCheckpoint("v1", "timm", "net.safetensors", "MIT", Preprocessing(), hub="timm/net", revision="main")
    with pytest.raises(RuntimeError, match="offline" if "offline" in said else "TimeoutError") as error:
        fetch(item)
    assert "more of it" not in str(error.value)
