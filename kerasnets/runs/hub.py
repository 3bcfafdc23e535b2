"""Share a finished run on the Hugging Face hub, and fetch one from there.

Only `FILES` travel: no log, no checkpoints, no paths of this machine. The network is a `.keras` file, which Keras opens
in its safe mode; nothing is unpickled.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import yaml

from kerasnets.model_index import model_info
from kerasnets.runs.folder import Run, is_run, open_run

FILES = ("recipe.yaml", "labels.txt", "preprocessing.json", "environment.json", "evaluation.json", "model.keras")
CARD = "README.md"


def push_to_hub(run, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
    """Uploads a finished run with a model card.

    Paths in recipe.yaml are reduced to their last part.

    Args:
        run: the run folder, or a `Run` as `train` returns it.
        repo_id: `"user/name"`. It is created if it does not exist.
        private: whether a new repository is private.
        token: of the hub; `None` takes the one that `hf auth login` stored, or HF_TOKEN.

    Returns:
        The address of the commit.

    Raises:
        FileNotFoundError: there is no finished run in the folder.
        RuntimeError: the hub refuses or cannot be reached.
    """
    run = open_run(getattr(run, "path", run))
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            if (run.path / name).is_file():
                shutil.copy(run.path / name, folder)
        (Path(folder) / "recipe.yaml").write_text(_without_paths(run), encoding="utf-8")
        (Path(folder) / CARD).write_text(model_card(run, repo_id), encoding="utf-8")
        with _one_line(f"The run {str(run.path)!r} was not uploaded to {repo_id!r}"):
            from huggingface_hub import HfApi

            hub = HfApi(token=token, library_name="kerasnets")
            hub.create_repo(repo_id, private=private, exist_ok=True)
            message = f"{run.recipe.model.name}, trained with kerasnets"
            return hub.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message).commit_url


def from_hub(repo_id: str, run_dir=None, *, revision: str | None = None, token: str | None = None) -> Run:
    """Downloads a run that `push_to_hub` uploaded.

    Args:
        repo_id: `"user/name"`.
        run_dir: the new run folder; `None` is `runs/<name>`.
        revision: a branch, a tag or, to be sure of what you get, a commit's hash; `None` is the newest.
        token: as for `push_to_hub`.

    Returns:
        The run: `predict`, `evaluate` and `export` take its `path`.

    Raises:
        ValueError: `run_dir` exists, or the repository holds no run.
        RuntimeError: the hub refuses or cannot be reached. No folder is left.
    """
    place = Path(run_dir or Path("runs") / repo_id.rpartition("/")[2])
    if place.exists():
        raise ValueError(f"`run_dir` should be a new folder. Received: run_dir={str(place)!r}, which exists")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".unfinished.") as folder:
        with _one_line(f"{repo_id!r} was not downloaded"):
            from huggingface_hub import snapshot_download

            options = {"revision": revision, "token": token, "allow_patterns": list(FILES)}
            snapshot_download(repo_id, local_dir=folder, library_name="kerasnets", **options)
        draft = Path(folder) / "run"
        draft.mkdir()
        for name in FILES:
            if (Path(folder) / name).is_file():
                os.replace(Path(folder) / name, draft / name)
        (draft / "log.jsonl").touch()
        if not is_run(draft) or not (draft / "model.keras").is_file():
            found = sorted(path.name for path in draft.iterdir() if path.name != "log.jsonl")
            raise ValueError(f"{repo_id!r} holds no run of kerasnets, which has {', '.join(FILES)}. Received: {found}")
        open_run(draft)
        os.replace(draft, place)
    return open_run(place)


def model_card(run: Run, repo_id: str) -> str:
    """Returns the model card of a run as Markdown, with the hub's facts in front."""
    import jinja2

    recipe, info = run.recipe, model_info(run.recipe.model.name)
    data = recipe.data.source.name or Path(recipe.data.source.path or recipe.data.source.kind).name
    score = run.evaluation if (run.path / "evaluation.json").is_file() else {}
    facts = {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["kerasnets", info.family],
        "model-index": [{"name": run.path.resolve().name, "results": _results(data, score)}],
    }
    template = jinja2.Template((Path(__file__).parent / "model_card.md.j2").read_text(encoding="utf-8"))
    front = yaml.safe_dump(facts, sort_keys=False)
    values = {"front": front, "run": run, "info": info, "data": data, "score": score, "repo": repo_id}
    return template.render(**values, recipe=_without_paths(run))


def _results(data: str, score: dict) -> list[dict]:
    """Returns the measured accuracy as the hub wants it; empty when nothing was measured."""
    if score.get("top1") is None:
        return []
    metric = {"type": "accuracy", "name": "top-1", "value": score["top1"]}
    task = {"type": "image-classification"}
    return [{"task": task, "dataset": {"type": data, "name": data}, "metrics": [metric]}]


def _without_paths(run: Run) -> str:
    """Returns recipe.yaml with every path reduced to its last part: of the data, and of the initial weights."""
    recipe = yaml.safe_load((run.path / "recipe.yaml").read_text(encoding="utf-8"))
    source, model = recipe["data"]["source"], recipe["model"]
    holders = [
        (source, "path"),
        (source, "data_dir"),
        (model.get("arguments"), "weights"),
        (model.get("start"), "weights"),
    ]
    for holder, key in holders:
        if holder and holder.get(key):
            holder[key] = Path(holder[key]).name
    return yaml.safe_dump(recipe, sort_keys=False)


@contextlib.contextmanager
def _one_line(failed: str):
    """Turns whatever the hub's client raises into one line; the cause is chained."""
    try:
        yield
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RuntimeError(f"{failed}: {lines[0]}") from error
