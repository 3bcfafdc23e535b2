"""Prints the files of the package that a reader opens to follow a training step, a load and an export (`make files`).

    python files_followed.py

Each of the three runs once under a profiler, and a file counts when one of its functions runs; code that runs while
a module is imported does not count. A process that the export starts is followed too. How the network is built
(`registry.py`, `build.py`, `architectures/`, `blocks/`, `layers/`) is left out, because its files are another question.
So is `__init__.py`, which registers our layers when Keras is imported.

The program ends with 1 when one of the three needs more files than `GOALS` allows.

* step: from the call of `Model.fit` to the end of its first step, and the pipeline that makes the batch;
* load: `load_weights` of a `.safetensors` file with torchvision's names;
* export: `export(run, "tflite")` of the run of the step, with the check of the file; how the images are read that it
  compares (`data/`, `recipe/`) is left out.
"""

import inspect
import os
import sys
import tempfile
import threading
from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
PACKAGE = SUPPORT.parents[1] / "kerasnets"
NETWORK = ("__init__.py", "registry.py", "build.py", "architectures", "blocks", "layers")
# The most files that each may need.
GOALS = {"step": 14, "load": 6, "export": 10}
# Names a file to which other processes add what they ran; `sitecustomize.py` in this folder of PYTHONPATH starts them.
CHILDREN = "FILES_FOLLOWED"
DIGITS = ("lenet5_digits.yaml", ["epochs=1", "steps_per_epoch=2", "steps_per_execution=1"])


class Follower:
    """Notes the files whose functions run, from the first call of one of `begin` to the first return of one of `end`.

    Args:
        begin, end: (end of the file's name, function); with an empty `begin` everything counts.
    """

    def __init__(self, begin=(), end=()):
        self.begin, self.end = begin, end
        self.files, self.inside, self.importing, self.over = set(), 0, 0, False

    def __call__(self, frame, event, _):
        code = frame.f_code
        if event not in ("call", "return") or self.over:
            return
        change = 1 if event == "call" else -1
        if not code.co_flags & inspect.CO_OPTIMIZED:
            self.importing += change  # the body of a module or of a class
            return
        if matches(code, self.begin):
            self.inside += change
            if change > 0 and frame.f_back:
                self.note(frame.f_back.f_code.co_filename)
        if event == "call" and not self.importing and (self.inside > 0 or not self.begin):
            self.note(code.co_filename)
            if code.co_name == "converted_call" and "autograph" in code.co_filename:
                # AutoGraph runs a copy of this function, in a file of its own.
                self.note(getattr(getattr(frame.f_locals.get("f"), "__code__", None), "co_filename", ""))
        if event == "return" and self.inside > 0 and matches(code, self.end):
            self.over = True

    def note(self, file: str) -> None:
        path = Path(file)
        if path.is_relative_to(PACKAGE) and path.relative_to(PACKAGE).parts[0] not in NETWORK:
            self.files.add(path.relative_to(PACKAGE.parent).as_posix())

    def __enter__(self):
        threading.setprofile(self)
        sys.setprofile(self)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
        threading.setprofile(None)


def matches(code, places) -> bool:
    return any(code.co_name == name and code.co_filename.endswith(file) for file, name in places)


def follow_step(folder: Path) -> set[str]:
    from kerasnets.training.loop import train

    recipe, overrides = DIGITS
    begin = [("keras/src/backend/tensorflow/trainer.py", "fit"), ("kerasnets/data/pipeline.py", "training_batches")]
    end = [("keras/src/callbacks/callback_list.py", "on_train_batch_end")]
    with Follower(begin, end) as follower:
        train(PACKAGE.parent / "recipes" / recipe, overrides=overrides, run_dir=folder / "run", progress=False)
    assert follower.over, "no step came to its end: Keras has renamed what this program looks for"
    return follower.files


def follow_load(folder: Path) -> set[str]:
    from golden_files import golden_weights
    from safetensors.numpy import save_file

    from kerasnets.build import create_model
    from kerasnets.weights.load import load_weights

    model = create_model("resnet18", weights=None)
    save_file(golden_weights("torchvision__resnet18"), folder / "resnet18.safetensors")
    with Follower() as follower:
        load_weights(model, folder / "resnet18.safetensors")
    return follower.files


def follow_export(folder: Path) -> set[str]:
    from kerasnets.exporters.export import export

    others, search = folder / "others.txt", os.environ.get("PYTHONPATH")
    (folder / "sitecustomize.py").write_text("import files_followed\nfiles_followed.follow_this_process()\n")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), str(SUPPORT), search)))
    os.environ[CHILDREN] = str(others)
    with Follower() as follower:
        export(folder / "run", "tflite", output=folder / "net.tflite", examples=20)
    del os.environ[CHILDREN]
    assert others.exists(), "the process of the check was not followed"
    files = follower.files | set(others.read_text().split())
    return {file for file in files if Path(file).parts[1] not in ("data", "recipe")}


def follow_this_process() -> None:
    """Follows the whole process, and adds its files to `CHILDREN` when it ends."""
    import atexit

    if CHILDREN in os.environ:
        follower = Follower().__enter__()
        atexit.register(lambda: Path(os.environ[CHILDREN]).write_text("\n".join(follower.files)))


FOLLOW = {"step": follow_step, "load": follow_load, "export": follow_export}  # the export needs the run of the step


def main() -> None:
    too_many = []
    with tempfile.TemporaryDirectory() as folder:
        followed = {name: follow(Path(folder)) for name, follow in FOLLOW.items()}
    for name, files in followed.items():
        print(f"{name}: {len(files)} files (at most {GOALS[name]})", *sorted(files), sep="\n    ")
        too_many += [name] * (len(files) > GOALS[name])
    sys.exit(f"more files than the goal: {', '.join(too_many)}" if too_many else 0)


if __name__ == "__main__":
    main()
