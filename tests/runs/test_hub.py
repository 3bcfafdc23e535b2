"""Sharing a run: uploaded by the real client to a double of the hub, fetched in fresh processes."""

import json
import os
import shutil
from subprocess import CompletedProcess

import fresh
import hub_server
import numpy as np
import pytest
import yaml
from PIL import Image
from shown_commands import python_blocks


@pytest.fixture
def hub():
    with hub_server.serve() as server:
        yield server


def client(server, folder, program: str) -> CompletedProcess:
    """Runs Python in a fresh process whose hub is `server`."""
    settings = {
        "HF_ENDPOINT": server.address,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": "hf_other",
    }
    settings |= {"HF_HUB_DISABLE_TELEMETRY": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return fresh.run("-c", f"import kerasnets\n{program}", cwd=folder, env=os.environ | settings)


def push_of(run) -> str:
    return f"kerasnets.push_to_hub({str(run.path)!r}, 'someone/digits', token='hf_secret')"


def test_a_run_comes_back_as_it_was(finished, hub, tmp_path):
    done = client(hub, tmp_path, push_of(finished))
    assert done.returncode == 0, done.stderr
    expected = {"README.md", "recipe.yaml", "labels.txt", "preprocessing.json", "environment.json", "evaluation.json"}
    assert set(hub.files) == expected | {"model.keras"}
    assert any(token == "Bearer hf_secret" for _, _, token in hub.asked)
    hub.files["../outside.txt"], hub.files["extra.py"] = b"no", b"no"
    pixels = np.random.default_rng(0).uniform(size=(3, 32, 32, 1)).astype("float32")
    np.save(tmp_path / "pixels.npy", pixels)
    program = """
import numpy as np
run = kerasnets.from_hub("someone/digits")
print(run.path, kerasnets.evaluate(run.path)["top1"])
np.save("found.npy", run.model(np.load("pixels.npy"), training=False))
kerasnets.from_hub("someone/digits")"""
    done = client(hub, tmp_path, program)
    assert "should be a new folder" in done.stderr.splitlines()[-1], done.stderr
    path, top1 = done.stdout.split()[-2:]
    assert path == "runs/digits" and float(top1) == finished.evaluation["top1"]
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), finished.model(pixels, training=False))
    names = {found.name for found in (tmp_path / "runs" / "digits").iterdir()}
    assert names == expected - {"README.md"} | {"model.keras", "log.jsonl"}
    assert not (tmp_path / "runs" / "outside.txt").exists() and not list(tmp_path.glob("runs/.unfinished*"))


def test_the_page_on_sharing(finished, hub, tmp_path):
    shutil.copytree(finished.path, tmp_path / "runs" / "lenet5_digits")
    Image.new("L", (32, 32)).save(tmp_path / "photo.png")
    (block,) = (code for name, code in python_blocks().items() if name.startswith("sharing-"))
    done = client(hub, tmp_path, block)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "lenet5-digits" / "model.keras").is_file()


def test_the_card_says_what_was_measured_and_no_path(finished):
    from kerasnets.runs.hub import model_card

    card = model_card(finished, "someone/digits")
    front = yaml.safe_load(card.split("---")[1])
    metric = front["model-index"][0]["results"][0]["metrics"][0]
    assert front["library_name"] == "keras" and metric["value"] == finished.evaluation["top1"]
    assert f"{100 * finished.evaluation['top1']:.2f} % top-1 of 360 held-out images" in card
    assert 'kerasnets.from_hub("someone/digits")' in card and "@" in card and str(finished.path.parent) not in card


@pytest.mark.parametrize("status", [401, *(pytest.param(code, marks=pytest.mark.slow) for code in (404, 500))])
def test_a_refusal_is_one_line(finished, hub, tmp_path, status):
    hub.status = status
    program = f"""
try:
    {push_of(finished)}
except RuntimeError as error:
    print(error)
kerasnets.from_hub("someone/digits")"""
    done = client(hub, tmp_path, program)
    said = done.stdout.splitlines()[-1]
    assert said.startswith("The run ") and "was not uploaded" in said
    assert done.stderr.splitlines()[-1].startswith("RuntimeError: 'someone/digits' was not downloaded")
    assert not list((tmp_path / "runs").iterdir())


def test_a_repository_without_a_run(hub, tmp_path):
    hub.files["README.md"] = json.dumps({}).encode()
    done = client(hub, tmp_path, 'kerasnets.from_hub("someone/digits")')
    assert "holds no run of kerasnets" in done.stderr.splitlines()[-1] and not list((tmp_path / "runs").iterdir())
