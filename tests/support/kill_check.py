"""Kills a run of a tiny network at 30 random moments (SIGKILL, seeded) and compares it with an undisturbed run.

    python tests/support/kill_check.py            what `make kill-check` runs

Each moment is a step of the run plus some milliseconds, so that kills hit starts, steps, evaluations and the writing of
checkpoints. After each kill the newest checkpoint must be whole. In the end every variable, the loss scale, the moving
averages and the finished model must equal those of the undisturbed run to the last bit.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import safetensors

# Imported before the fork, so that no child has to. TensorFlow must not compute anything before it.
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import open_run
from kerasnets.training.loop import train

RECIPE = Path(__file__).parents[2] / "recipes" / "lenet5_digits.yaml"
EPOCHS, STEPS = 6, 20
OVERRIDES = [
    f"epochs={EPOCHS}", f"steps_per_epoch={STEPS}", "batch_size=8", "steps_per_execution=1", "checkpoint.every_steps=1",
    "evaluation={keep: best, max_batches: 2, batch_size: 8}", "ema.momentum=0.9", "precision=mixed_float16",
    "optimizer.clip_norm=1", "schedule={name: plateau, patience: 1, monitor: loss}",
]  # fmt: skip


def child(folder: Path) -> int:
    """Begins or resumes the run in a new process and returns the process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        train(RECIPE, folder, overrides=OVERRIDES, resume=True, progress=False)
        code = 0
    except BaseException as error:  # the child must not continue with the parent's work
        print(f"child: {error!r}", file=sys.stderr)
    os._exit(code)


def step_of(folder: Path) -> int:
    """Returns the step of the newest checkpoint. A damaged checkpoint raises an error."""
    path = folder / "checkpoints" / "last.safetensors"
    if not path.exists():
        return 0
    with safetensors.safe_open(path, framework="numpy") as file:
        return int(file.metadata()["state"].split('"step": ')[1].split(",")[0].rstrip("}"))


def kill(folder: Path, step: int, delay: float) -> tuple[bool, bool]:
    """Kills the run `delay` seconds after its checkpoint of `step`.

    Returns:
        Whether it was killed (else it had ended before), and whether that was while it wrote a checkpoint.
    """
    pid = child(folder)
    while step_of(folder) < step:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            if status:
                raise RuntimeError(f"The run ended by itself with status {status}.")
            return False, False
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status), any((folder / "checkpoints").glob(".*.tmp"))


def same(ours: Path, theirs: Path) -> int:
    """Returns the number of arrays of two finished runs, which must be equal to the last bit."""
    (a, state_a), (b, state_b) = (checkpoints.load(run / "checkpoints" / "last.safetensors") for run in (ours, theirs))
    assert state_a == state_b, (state_a, state_b)
    a |= {f"model {i}": w.numpy() for i, w in enumerate(open_run(ours).model.weights)}
    b |= {f"model {i}": w.numpy() for i, w in enumerate(open_run(theirs).model.weights)}
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)
    assert (ours / "evaluation.json").read_bytes() == (theirs / "evaluation.json").read_bytes()
    return len(a)


def campaign(folder: Path, kills: int, seed: int) -> None:
    """Runs the undisturbed and the killed run, prints a line for each kill, and raises if the results differ."""
    begun = time.monotonic()
    whole, disturbed = folder / "whole", folder / "disturbed"
    if os.waitpid(child(whole), 0)[1]:
        raise RuntimeError("The undisturbed run failed.")
    moments = random.Random(seed)
    steps, writing, done = sorted(moments.randrange(EPOCHS * STEPS) for _ in range(kills)), 0, 0
    for number, step in enumerate(steps, 1):
        # If the run has passed that step, the kill hits its start or its first steps.
        delay = moments.uniform(0.0, 0.03 if step > step_of(disturbed) else 4.0)
        killed, in_the_middle = kill(disturbed, step, delay)
        found = checkpoints.load_newest(disturbed / "checkpoints")
        assert found is None or not found[2], f"a checkpoint that is not whole: {found[2]}"
        done, writing = done + killed, writing + in_the_middle
        place = "while it wrote a checkpoint" if in_the_middle else "" if killed else "it had ended"
        moment = f"step {step:3} + {1e3 * delay:4.0f} ms"
        print(f"{number:3} of {kills}  {moment}  resumes from step {step_of(disturbed):3}  {place}")
    if os.waitpid(child(disturbed), 0)[1]:
        raise RuntimeError("The disturbed run failed.")
    arrays = same(disturbed, whole)
    print(
        f"{done} of {kills} killed ({writing} while a checkpoint was written), no checkpoint damaged, {arrays} arrays "
        f"identical to the last bit, {time.monotonic() - begun:.0f} s"
    )
    if done < kills:
        raise RuntimeError("The run ended before all kills.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    with tempfile.TemporaryDirectory() as folder:
        campaign(Path(folder), arguments.kills, arguments.seed)


if __name__ == "__main__":
    main()
