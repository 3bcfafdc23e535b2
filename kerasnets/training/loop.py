"""Training by a recipe: everything is checked, a run folder is written, `fit` runs, and goes on after a kill."""

import contextlib
import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path

import keras
import tensorflow as tf

from kerasnets.architectures.catalogue import FAMILIES
from kerasnets.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from kerasnets.data.preprocess import override
from kerasnets.data.sources import open_source
from kerasnets.registry import Preprocessing, create_model, get_row
from kerasnets.training import checkpoints
from kerasnets.training.callbacks import Job, ProgressBar, State, log_bad_images, make_callbacks, variables
from kerasnets.training.evaluate import score
from kerasnets.training.optimizers import Schedule, make_optimizer
from kerasnets.training.recipe import differences, load_recipe, smoke_twin
from kerasnets.training.runs import Run, append_log, begin, claim, is_run, open_run, save_model
from kerasnets.training.schema import Recipe
from kerasnets.training.strategy import check_batch_size, make_strategy, precision, visible_devices
from kerasnets.training.trainer import Trainer

# Arguments of a builder that the trainer decides.
DECIDED = ("include_top", "input_tensor", "input_shape", "pooling", "classifier_activation", "name")
DECIDED += ("include_preprocessing",)


def train(recipe, run_dir=None, *, resume=False, overwrite=False, smoke=False, overrides=(), progress=True) -> Run:
    """Trains a network by a recipe and returns the finished run.

    Args:
        recipe: a `Recipe`, or the path of one.
        run_dir: the run folder; by default `runs/<recipe's name>`, with `_smoke` behind it for a smoke run.
        resume: go on with the run in `run_dir` from its newest whole checkpoint, or begin if there is none.
        overwrite: throw the run in `run_dir` away (only after everything else was checked). Without `resume` and
            `overwrite` a folder that holds a run is refused.
        smoke: two steps and a tiny evaluation through the same code.
        overrides: `"a.b=c"` each, for the recipe at a path.
        progress: whether to show a progress bar.

    Raises:
        ValueError, FileNotFoundError: the request is wrong: recipe, data, shapes, folder. Nothing was written.
        RuntimeError, OSError: the work failed: no finite loss, too many bad images, a full disk.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides, smoke)
    elif smoke:
        recipe = smoke_twin(recipe)
    folder = Path(run_dir or Path("runs") / f"{recipe.name or recipe.model.name}{'_smoke' * smoke}")
    overwrite = overwrite or (smoke and run_dir is None)
    if resume and is_run(folder):
        check_same(recipe, folder)
        if (folder / "model.keras").exists() and (folder / "evaluation.json").exists():
            return open_run(folder)
    with precision(recipe.precision):
        job = prepare(recipe, folder)
    claim(folder, resume=resume, overwrite=overwrite)
    start(job, resume)
    with job.source.bad_images.explained(), job.evaluation_source.bad_images.explained():
        fit(job, progress)
    finish(job)
    return open_run(folder)


def check_same(recipe: Recipe, folder: Path) -> None:
    """Refuses to go on with a run by another recipe."""
    if changed := differences(recipe, load_recipe(folder / "recipe.yaml")):
        raise ValueError(
            f"A run goes on with the recipe that it began with; {', '.join(changed)} changed. "
            f"Put it back, or choose --overwrite or --output DIR. Received: run {os.fspath(folder)!r}"
        )


def prepare(recipe: Recipe, folder: Path) -> Job:
    """Opens the data and builds the network, and writes nothing; every wrong request is found here."""
    assert FAMILIES  # importing the families is what registers their rows
    keras.utils.set_random_seed(recipe.seed)
    # TensorFlow compares its global seed with 0 and then looks at a shuffle's own seed, which is a tensor here.
    tf.random.set_seed(recipe.seed + 1)
    # keras-cv asks for the global generator, which op determinism wants to have been set.
    tf.random.set_global_generator(tf.random.Generator.from_seed(recipe.seed))
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
    preprocessing = make_preprocessing(recipe)
    source = open_source(recipe.data.source, recipe.data.train_split)
    evaluation_source = open_source(recipe.data.source, recipe.data.evaluation_split)
    if evaluation_source.classes != source.classes:
        odd = sorted(set(evaluation_source.classes) ^ set(source.classes))
        raise ValueError(f"Both splits need the same classes. Only one of them has: {', '.join(odd[:5])}")
    strategy = make_strategy()
    check_batch_size(recipe.batch_size, strategy.num_replicas_in_sync, recipe.gradient_accumulation)
    whole = steps_per_epoch(source, recipe.batch_size)
    steps = recipe.steps_per_epoch or whole
    with strategy.scope():
        network = build_network(recipe, preprocessing, len(source.classes))
        trainer = Trainer(
            network, preprocessing, recipe.loss, ema=recipe.ema, gradient_accumulation=recipe.gradient_accumulation
        )
        schedule = Schedule(recipe.schedule, recipe.optimizer.learning_rate, steps, steps * recipe.epochs)
        optimizer = make_optimizer(recipe.optimizer, schedule, network.trainable_variables, recipe.precision)
        at_once = max(n for n in range(1, min(recipe.steps_per_execution, steps) + 1) if steps % n == 0)
        trainer.compile(optimizer, jit_compile=recipe.jit_compile, steps_per_execution=at_once)
    return Job(recipe, trainer, schedule, source, evaluation_source, steps, folder, State())


def make_preprocessing(recipe: Recipe) -> Preprocessing:
    """Returns the row's preprocessing with what the recipe changes."""
    given = recipe.preprocessing.model_dump(exclude_none=True)
    result = override(dataclasses.replace(get_row(recipe.model.name).preprocessing, **given), recipe.data)
    if len(result.mean) != len(result.std):
        raise ValueError(f"preprocessing needs one mean and one std a channel. Received: {result.mean}, {result.std}")
    return result


def build_network(recipe: Recipe, preprocessing: Preprocessing, classes: int, *, training: bool = True) -> keras.Model:
    """Builds the recipe's network: with logits and auxiliary heads for training, else one output of probabilities."""
    arguments = dict(recipe.model.arguments)
    if taken := [name for name in DECIDED if name in arguments]:
        raise ValueError(
            f"model.arguments.{taken[0]} is decided by the trainer; size and channels come from data.size and "
            f"preprocessing.mean. Received: {taken[0]}={arguments[taken[0]]!r}"
        )
    if arguments.setdefault("classes", classes) != classes:
        raise ValueError(f"The data has {classes} classes. Received: model.arguments.classes={arguments['classes']}")
    arguments["input_shape"] = (preprocessing.size, preprocessing.size, len(preprocessing.mean))
    if not training:
        arguments = {k: v for k, v in arguments.items() if k not in ("aux_heads", "weights")}
    activation = None if training else "softmax"
    try:
        return create_model(recipe.model.name, classifier_activation=activation, **arguments)
    except TypeError as error:
        raise ValueError(f"model.arguments: {error}") from None


def start(job: Job, resume: bool) -> None:
    """Writes the opening of the run folder, and puts the newest checkpoint back if the run goes on."""
    found = checkpoints.load_newest(job.folder / "checkpoints") if resume else None
    begin(job.folder, job.recipe, job.trainer.preprocessing, job.source.classes, visible_devices())
    if found is None:
        facts = {"parameters": job.trainer.network.count_params(), "train_examples": job.source.size}
        append_log(job.folder, "start", **facts, steps_per_epoch=job.steps_per_epoch, epochs=job.recipe.epochs)
        return
    tensors, state, complaints = found
    for complaint in complaints:
        append_log(job.folder, "warning", message=f"{complaint}; going on from the checkpoint before it")
        print(f"warning: {complaint}; going on from the checkpoint before it", file=sys.stderr)
    checkpoints.write_variables(variables(job), tensors)
    for key, value in state.items():
        setattr(job.state, key, value)
    append_log(job.folder, "resume", step=job.state.step)


def fit(job: Job, progress: bool) -> None:
    """Runs `fit` from the state's step to the end of the recipe."""
    recipe, state = job.recipe, job.state
    legs = [] if state.stopped else _legs(state.step, job.steps_per_epoch, recipe.epochs)
    tensors = checkpoints.read_variables({"metric": variables(job)["metric"]})
    callbacks = make_callbacks(job, tensors if state.step % job.steps_per_epoch else None, progress)
    replicas = job.trainer.distribute_strategy.num_replicas_in_sync
    size = -(-(recipe.evaluation.batch_size or recipe.batch_size) // replicas) * replicas
    validation = evaluation_batches(job.evaluation_source, job.trainer.preprocessing, recipe.data, batch_size=size)
    with contextlib.ExitStack() as stack:
        for callback in callbacks:
            if isinstance(callback, ProgressBar):
                stack.callback(callback.close)
        for first, last, steps in legs:
            if not state.stopped:
                job.trainer.fit(
                    _batches(job),
                    initial_epoch=first,
                    epochs=last,
                    steps_per_epoch=steps,
                    validation_data=validation.take(recipe.evaluation.max_batches or -1),
                    validation_freq=recipe.evaluation.every_epochs,
                    callbacks=callbacks,
                    shuffle=False,
                    verbose=0,
                )


def _legs(step: int, steps: int, epochs: int) -> list[tuple[int, int, int]]:
    """Returns (first epoch, last epoch, steps of each) for `fit`; an epoch that was begun is finished on its own."""
    epoch, done = divmod(step, steps)
    begun = [(epoch, epoch + 1, steps - done)] if done else []
    rest = epoch + 1 if done else epoch
    return begun + ([(rest, epochs, steps)] if rest < epochs else [])


def _batches(job: Job):
    """Returns the training batches from the state's step on."""
    return training_batches(
        job.source,
        job.trainer.preprocessing,
        job.recipe.data,
        batch_size=job.recipe.batch_size,
        seed=job.recipe.seed,
        start_step=job.state.step,
    )


def finish(job: Job) -> None:
    """Writes the finished network in its inference form, and what it scores."""
    recipe, folder, preprocessing = job.recipe, job.folder, job.trainer.preprocessing
    best = folder / "checkpoints" / "best.safetensors"
    weights, kept = [v.numpy() for v in job.trainer.inference_weights()], "last"
    if recipe.evaluation.keep == "best" and best.exists():
        tensors, facts = checkpoints.load(best)
        weights, kept = [tensors[name] for name in sorted(tensors)], f"best (epoch {facts['epoch']})"
    model = build_network(recipe, preprocessing, len(job.source.classes), training=False)
    copy_weights(job.trainer.network, weights, model)
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
    save_model(model, folder / "model.keras")
    checkpoints.write_atomically(folder / "evaluation.json", json.dumps(result) + "\n")
    log_bad_images(job)
    numbers = {key: result[key] for key in ("examples", "top1", "top5", "loss")}
    append_log(folder, "end", step=job.state.step, kept=kept, stopped_early=job.state.stopped, **numbers)


def copy_weights(trained: keras.Model, values: list, model: keras.Model) -> None:
    """Puts the `values` of the trained network's weights into its inference form; auxiliary heads are left out."""
    by_path = {w.path: value for w, value in zip(trained.weights, values, strict=True)}
    for weight in model.weights:
        weight.assign(by_path[weight.path])
