"""Trains by a recipe in a process of its own: `python training_job.py '{"recipe": ..., "runs": {folder: overrides}}'`.

`"die_at": N` kills the process (SIGKILL) in the middle of step N, when no checkpoint is being written. `"devices": 2`
gives it two logical CPUs.
"""

import json
import os
import signal
import sys

import tensorflow as tf

from kerasnets.training import callbacks
from kerasnets.training.loop import train


def main(recipe, runs, resume=False, die_at=None, devices=1):
    if devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    if die_at:
        begun = callbacks.StepCounter.on_train_batch_begin

        def die(self, batch, logs=None):
            if self.state.step >= die_at:
                self.job.writer.wait()
                os.kill(os.getpid(), signal.SIGKILL)
            begun(self, batch, logs)

        callbacks.StepCounter.on_train_batch_begin = die
    for run_dir, overrides in runs.items():
        train(recipe, run_dir, overrides=overrides, resume=resume, progress=False)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
