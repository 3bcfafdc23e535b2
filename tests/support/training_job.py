"""Trains by a recipe in a process of its own: `python training_job.py '{"recipe": ..., "runs": {folder: overrides}}'`.

`"die_at": N` kills the process (SIGKILL) in the middle of step N, when no checkpoint is being written. `"break_at": N`
ends the run there and resumes it in the same process. `"devices": 2` gives it two logical CPUs.
"""

import json
import os
import signal
import sys

import tensorflow as tf

from kerasnets.training import callbacks
from kerasnets.training.loop import train


class Broken(Exception):
    """Ends a run in the middle of a step."""


def die(job):
    job.writer.wait()
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt(job):
    raise Broken


def at_step(step: int, act) -> None:
    """Calls `act` in the middle of a step, once."""
    begun, waiting = callbacks.StepCounter.on_train_batch_begin, [act]

    def and_act(self, batch, logs=None):
        if self.state.step >= step and waiting:
            waiting.pop()(self.job)
        begun(self, batch, logs)

    callbacks.StepCounter.on_train_batch_begin = and_act


def main(recipe, runs, resume=False, die_at=None, break_at=None, devices=1):
    if devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    if die_at:
        at_step(die_at, die)
    if break_at:
        at_step(break_at, interrupt)
    for run_dir, overrides in runs.items():
        try:
            train(recipe, run_dir, overrides=overrides, resume=resume, progress=False)
        except Broken:
            train(recipe, run_dir, overrides=overrides, resume=True, progress=False)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
