"""The part of a run that is Keras's `fit`: from the state's step to the end, on one device or with other workers."""

import contextlib
import math
import os
import sys
from functools import partial

import keras

from kerasnets.data.determinism import parallel
from kerasnets.data.pipeline import evaluation_batches, training_batches
from kerasnets.distribution.strategy import cluster, distribute, same_everywhere
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import append_log, is_run
from kerasnets.training.advice import CompareSpeeds
from kerasnets.training.callbacks import Job, make_callbacks, variables
from kerasnets.training.progress import ProgressBar
from kerasnets.training.stopping import StopRequest

# Steps that a run has left when it is worth finding out whether the pipeline is slower than the step.
WORTH_COMPARING = 200


def warn(job: Job, message: str) -> None:
    """Says and logs something that does not stop the run; the chief does."""
    if cluster().is_chief:
        append_log(job.folder, "warning", message=message)
        print(f"warning: {message}", file=sys.stderr)


def sharding(job: Job) -> str:
    """Says how the examples of a batch are spread."""
    workers, replicas = cluster().workers, job.trainer.distribute_strategy.num_replicas_in_sync
    size = job.recipe.batch_size
    if workers > 1:
        return f"by element: each of {workers} workers ({replicas} devices) reads its own {size // workers} of {size}"
    return f"by element: {size} examples over {replicas} device{'s' * (replicas > 1)}"


def barrier(job: Job, where: str) -> None:
    """Waits for the other workers, and makes sure that they are at the same step and see the same run folder."""
    if cluster().workers == 1:
        return
    if not same_everywhere(job.trainer.distribute_strategy, job.state.step) or not is_run(job.folder):
        raise RuntimeError(
            f"The workers {where} at different steps; all must see the same run folder. "
            f"Received: step {job.state.step}, run folder {os.fspath(job.folder)!r}"
        )


def fit(job: Job, progress: bool, wish: StopRequest) -> None:
    """Runs `fit` from the state's step to the end of the recipe, or until there is a `wish` to stop."""
    recipe, state, trainer = job.recipe, job.state, job.trainer
    barrier(job, "begin")
    done, rest = divmod(state.step, job.steps_per_epoch)
    tensors = checkpoints.read_variables({"metric": variables(job)["metric"]})
    with contextlib.ExitStack() as stack:
        callbacks = make_callbacks(job, tensors if rest or state.judged < done else None, progress, wish)
        for callback in callbacks:
            if isinstance(callback, ProgressBar):
                stack.callback(callback.close)
        if not rest and state.judged < done:
            _conclude(job, callbacks)
        left = job.steps_per_epoch * recipe.epochs - state.step
        # A stream would have to fill its shuffle buffer a second time for it.
        if left >= WORTH_COMPARING and cluster().is_chief and not job.source.stream:
            callbacks.insert(0, CompareSpeeds(lambda: batches(job), trainer.steps_per_execution, partial(warn, job)))
        at_once = trainer.steps_per_execution
        for first, last, steps in fit_segments(state.step, job.steps_per_epoch, recipe.epochs):
            if not state.stopped:
                # An epoch that goes on in the middle of a call's steps takes calls that end with it.
                trainer.steps_per_execution = math.gcd(at_once, steps)
                trainer.fit(
                    _distributed(job, batches(job), recipe.batch_size),
                    initial_epoch=first,
                    epochs=last,
                    steps_per_epoch=steps,
                    validation_data=_validation(job),
                    validation_freq=recipe.evaluation.every_epochs,
                    callbacks=callbacks,
                    shuffle=False,
                    verbose=0,
                )
    if _asked_after_the_last_step(job, wish):
        append_log(job.folder, "stopped", step=state.step)
        raise wish.stopped(f"the checkpoint of step {state.step} is written")


def _asked_after_the_last_step(job: Job, wish: StopRequest) -> bool:
    """Whether this worker or another was asked to stop too late for a step to tell; all workers call it together."""
    if cluster().workers == 1:
        return bool(wish.asked)
    return not same_everywhere(job.trainer.distribute_strategy, bool(wish.asked)) or bool(wish.asked)


def _conclude(job: Job, callbacks: list) -> None:
    """Does what is left of an epoch that was stopped after its last step: evaluation, and what follows from it."""
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


def fit_segments(step: int, steps: int, epochs: int) -> list[tuple[int, int, int]]:
    """Returns (first epoch, last epoch, steps of each) for `fit`; an epoch that was begun is finished on its own."""
    epoch, done = divmod(step, steps)
    begun = [(epoch, epoch + 1, steps - done)] if done else []
    rest = epoch + 1 if done else epoch
    return begun + ([(rest, epochs, steps)] if rest < epochs else [])


def batches(job: Job):
    """Returns this worker's share of the training batches from the state's step on."""
    return training_batches(
        job.source,
        job.trainer.preprocessing,
        job.recipe.data,
        batch_size=job.recipe.batch_size,
        seed=job.recipe.seed,
        start_step=job.state.step,
        share=cluster().share(job.recipe.batch_size),
    )


def _validation(job: Job):
    """Returns the evaluation batches, as `fit` and `evaluate` take them."""
    recipe, strategy = job.recipe, job.trainer.distribute_strategy
    replicas = strategy.num_replicas_in_sync
    size = -(-(recipe.evaluation.batch_size or recipe.batch_size) // replicas) * replicas
    settings = {"batch_size": size, "share": cluster().share(size)}
    source = job.validation_source or job.evaluation_source
    found = evaluation_batches(source, job.trainer.preprocessing, recipe.data, **settings)
    return _distributed(job, found.take(recipe.evaluation.max_batches or -1), size)


def _distributed(job: Job, dataset, batch_size: int):
    """Returns a dataset as `fit` and `evaluate` take it; whoever makes its iterators, they are parallel."""
    strategy = job.trainer.distribute_strategy
    found = distribute(strategy, dataset, batch_size)
    # What Keras would do itself, and then the iterators would not be ours.
    return parallel(strategy.experimental_distribute_dataset(found) if cluster().workers == 1 else found)
