"""Training by a recipe, from the request to the finished model; a killed run continues where it was."""

import contextlib
import json
import math
import os
import shutil
from functools import partial
from pathlib import Path

import keras

from kerasnets.data.pipeline import parallel
from kerasnets.distribution.precision import computing_in
from kerasnets.distribution.replicas import same_everywhere
from kerasnets.distribution.strategy import cluster, distribute
from kerasnets.evaluation.evaluate import score
from kerasnets.recipe.schema import Recipe
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import Run, append_log, claim, is_run, locked, open_run, save_model
from kerasnets.training.advice import CompareSpeeds
from kerasnets.training.callbacks import make_callbacks
from kerasnets.training.job import Job, log_bad_images, variables, warn
from kerasnets.training.prepare import (
    classifier,
    make_job,
    read_recipe,
    training_data,
    validation_data,
    wanted_recipe,
)
from kerasnets.training.private_api import keep_process_state
from kerasnets.training.progress import ProgressBar
from kerasnets.training.resuming import begin_or_resume, check_data, check_recipe, with_recorded_precision
from kerasnets.training.stopping import StopRequest, catch_signals, explain_errors

# A run with fewer steps left does not check whether the pipeline is slower than the step.
WORTH_COMPARING = 200


def train(  # noqa: PLR0913 - one argument for each choice of a user
    recipe,
    run_dir=None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    smoke: bool = False,
    overrides=(),
    progress: bool = True,
    callbacks=(),
    data=None,
) -> Run:
    """Trains a network by a recipe and returns the finished run.

    Args:
        recipe: a `Recipe`, the name of one that comes with the package (`"lenet5_digits"`), or the path of one.
        run_dir: the run folder. By default `runs/<recipe's name>`, with `_smoke` appended for a smoke run.
        resume: continue the run in `run_dir` from its newest whole checkpoint, or begin it if there is none.
        overwrite: delete the run in `run_dir`, once everything else was checked. Without `resume` and `overwrite`, a
            folder that holds a run is refused.
        smoke: train for two steps and evaluate a few examples, through the same code.
        overrides: strings `"a.b=c"` that change the recipe at a path.
        progress: whether to show a progress bar.
        callbacks: Keras callbacks of your own. Their `self.model` is the trainer, whose `network` is the network. A
            resumed run may call `on_train_begin` twice. Of several workers, each calls them.
        data: `(train, validation)`, batched `tf.data.Dataset`s of your own in place of the recipe's: images
            [B, S, S, C] of 0-255, labels [B] or [B, classes]. They are used in their order and without the recipe's
            augmentation; the recipe's batch size is that of their first batch. With labels [B] the recipe must say
            `model.arguments.classes`. A resumed run takes a new pass, and skips as many batches as its epoch had.

    Raises:
        ValueError, FileNotFoundError: the request is wrong: recipe, data, shapes, folder. Nothing was written.
        RuntimeError, OSError: the work failed: a NaN loss, too many bad images, a full disk; or SIGTERM stopped it.
        KeyboardInterrupt: Ctrl-C stopped it. After SIGTERM and Ctrl-C there is a checkpoint for `resume`.
    """
    if wrong := [c for c in callbacks if not isinstance(c, keras.callbacks.Callback)]:
        raise ValueError(f"`callbacks` should be `keras.callbacks.Callback`s. Received: {wrong[0]!r}")
    recipe = read_recipe(recipe, overrides, smoke)
    folder = Path(run_dir or Path("runs") / f"{recipe.name or recipe.model.name}{'_smoke' * smoke}")
    if resume and is_run(folder):
        recipe = with_recorded_precision(recipe, folder)
    recipe, splits = wanted_recipe(recipe, (), False, data)
    overwrite = overwrite or (smoke and run_dir is None)
    if resume and is_run(folder):
        check_recipe(recipe, folder)
        if (folder / "model.keras").exists() and (folder / "evaluation.json").exists():
            return open_run(folder)
    if is_run(folder) and cluster().is_chief:
        with locked(folder):  # refuses early a folder in use; `claim` below holds the lock for the whole run
            pass
    with keep_process_state():
        _train(recipe, folder, splits, resume=resume, overwrite=overwrite, progress=progress, callbacks=callbacks)
    return open_run(folder)


def _train(recipe: Recipe, folder: Path, splits, *, resume: bool, overwrite: bool, progress: bool, callbacks) -> None:
    with computing_in(recipe.precision):
        job = make_job(recipe, folder, splits, callbacks)
    changed = check_data(job) if resume and is_run(folder) else []
    chief = cluster().is_chief
    with contextlib.ExitStack() as stack:
        if chief:
            stack.enter_context(claim(folder, resume=resume, overwrite=overwrite))
        stack.enter_context(explain_errors(job))
        begin_or_resume(job, resume)
        for message in changed:
            warn(job, message)
        stop = stack.enter_context(catch_signals())
        stack.enter_context(job.writer)
        with computing_in(recipe.precision):
            fit(job, progress, stop)
        if chief:
            stop.stop_immediately()
            finish(job)
        barrier(job, "ended")


def fit(job: Job, progress: bool, stop: StopRequest) -> None:
    """Runs Keras's `fit` from the state's step to the end of the recipe, or until `stop` asks to end."""
    recipe, state, trainer = job.recipe, job.state, job.trainer
    barrier(job, "begin")
    done, rest = divmod(state.step, job.steps_per_epoch)
    tensors = checkpoints.read_variables({"metric": variables(job)["metric"]})
    with contextlib.ExitStack() as stack:
        callbacks = make_callbacks(job, tensors if rest or state.judged < done else None, progress, stop)
        for callback in callbacks:
            if isinstance(callback, ProgressBar):
                stack.callback(callback.close)
        if not rest and state.judged < done:
            _complete_epoch(job, callbacks)
        left = job.steps_per_epoch * recipe.epochs - state.step
        # Not with a stream, which would have to fill its shuffle buffer a second time.
        if left >= WORTH_COMPARING and cluster().is_chief and not job.source.stream:
            callbacks.insert(
                0, CompareSpeeds(lambda: training_data(job), trainer.steps_per_execution, partial(warn, job))
            )
        execution = trainer.steps_per_execution
        for first, last, steps in fit_segments(state.step, job.steps_per_epoch, recipe.epochs):
            if not state.stopped:
                # The calls of the rest of an epoch must be equally long and end with the epoch.
                trainer.steps_per_execution = math.gcd(execution, steps)
                trainer.fit(
                    _distributed(job, training_data),
                    initial_epoch=first,
                    epochs=last,
                    steps_per_epoch=steps,
                    validation_data=_validation(job),
                    validation_freq=recipe.evaluation.every_epochs,
                    callbacks=callbacks,
                    shuffle=False,
                    verbose=0,
                )
                state.stopped = state.stopped or trainer.stop_training  # a callback of the user's own asked for it
    job.writer.wait()
    if _asked_after_the_last_step(job, stop):
        append_log(job.folder, "stopped", step=state.step)
        raise stop.error(f"the checkpoint of step {state.step} is written")


def fit_segments(step: int, steps: int, epochs: int) -> list[tuple[int, int, int]]:
    """Returns the calls of `fit` that complete a run: (first epoch, last epoch, steps of each epoch).

    Args:
        step: the steps that are done. If they end in the middle of an epoch, its rest is a call of its own.
        steps: the steps of an epoch.
        epochs: the epochs of the run.
    """
    epoch, done = divmod(step, steps)
    begun = [(epoch, epoch + 1, steps - done)] if done else []
    rest = epoch + 1 if done else epoch
    return begun + ([(rest, epochs, steps)] if rest < epochs else [])


def barrier(job: Job, where: str) -> None:
    """Waits for the other workers, and checks that they are at the same step and see the same run folder."""
    if cluster().workers == 1:
        return
    if not same_everywhere(job.trainer.distribute_strategy, job.state.step) or not is_run(job.folder):
        raise RuntimeError(
            f"The workers {where} at different steps; all must see the same run folder. "
            f"Received: step {job.state.step}, run folder {os.fspath(job.folder)!r}"
        )


def _asked_after_the_last_step(job: Job, stop: StopRequest) -> bool:
    """Whether a signal to any worker came after the last step, too late for a callback. All workers call it."""
    if cluster().workers == 1:
        return bool(stop.signal)
    return not same_everywhere(job.trainer.distribute_strategy, bool(stop.signal)) or bool(stop.signal)


def _complete_epoch(job: Job, callbacks: list) -> None:
    """Does what a run that was stopped after the last step of an epoch has left out: evaluation and end of epoch."""
    epoch = job.state.step // job.steps_per_epoch - 1
    group = keras.callbacks.CallbackList(callbacks, model=job.trainer)
    group.on_train_begin()
    group.on_epoch_begin(epoch)
    logs = {name: float(value) for name, value in job.trainer.get_metrics_result().items()}
    if (epoch + 1) % job.recipe.evaluation.every_epochs == 0:
        found = job.trainer.evaluate(_validation(job), callbacks=group, return_dict=True, verbose=0)
        logs |= {f"val_{name}": value for name, value in found.items()}
    group.on_epoch_end(epoch, logs)
    group.on_train_end(logs)


def _validation(job: Job):
    return _distributed(job, validation_data)


def _distributed(job: Job, data):
    """Returns the dataset of `data(job, parts)` as `fit` takes it; its iterators stay parallel under op determinism.

    Keras would distribute a plain dataset itself, and its iterators would not be parallel.
    """
    strategy = job.trainer.distribute_strategy
    divided = job.source.batches is None  # batches of the user's own are taken as they are
    parts = strategy.num_replicas_in_sync // cluster().workers if divided else 1
    return parallel(distribute(strategy, data(job, parts), divided=divided))


def finish(job: Job) -> None:
    """Writes the finished network as model.keras and its scores as evaluation.json."""
    recipe, folder, preprocessing = job.recipe, job.folder, job.trainer.preprocessing
    weights, kept = _kept_weights(job)
    model = classifier(job, weights)
    shutil.rmtree(folder / "wrong", ignore_errors=True)
    result = score(
        model,
        job.evaluation_source,
        preprocessing,
        recipe.data,
        batch_size=recipe.evaluation.batch_size or recipe.batch_size,
        max_batches=recipe.evaluation.max_batches,
        wrong_folder=folder / "wrong",
    )
    result["chosen_on"] = recipe.chosen_on if kept != "last" or job.state.stopped else None
    save_model(model, folder / "model.keras")
    checkpoints.write_atomically(folder / "evaluation.json", json.dumps(result) + "\n")
    log_bad_images(job)
    numbers = {key: result[key] for key in ("examples", "top1", "top5", "loss", "chosen_on")}
    append_log(folder, "end", step=job.state.step, kept=kept, stopped_early=job.state.stopped, **numbers)


def _kept_weights(job: Job) -> tuple[list, str]:
    """Returns the values of the weights that the finished network gets, and which these are."""
    best = job.folder / "checkpoints" / "best.safetensors"
    if job.recipe.keep == "best" and best.exists():
        try:
            tensors, facts = checkpoints.load(best)
            return [tensors[name] for name in sorted(tensors)], f"best (epoch {facts['epoch']})"
        except checkpoints.DamagedCheckpoint as error:
            warn(job, f"{error}; the weights of the last epoch are kept instead of the best ones")
    return [v.numpy() for v in job.trainer.inference_weights()], "last"
