"""Training by a recipe: everything is checked, a run folder is written, `fit` runs, and goes on after a kill."""

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from kerasnets.architectures.catalogue import FAMILIES
from kerasnets.data.pipeline import steps_per_epoch
from kerasnets.data.preprocess import override
from kerasnets.data.sources import open_source
from kerasnets.data.validation import hold_back
from kerasnets.distribution.precision import computing_in, resolve
from kerasnets.distribution.replicas import prepare_for_replicas
from kerasnets.distribution.strategy import check_batch_size, check_compilation, cluster, make_strategy, visible_devices
from kerasnets.evaluation.evaluate import score
from kerasnets.recipe.read import about, load_recipe, smoke_twin
from kerasnets.recipe.schema import Recipe
from kerasnets.registry import Preprocessing, get_variant
from kerasnets.runs import checkpoints
from kerasnets.runs.folder import (
    Run,
    append_log,
    begin,
    claim,
    is_run,
    locked,
    open_run,
    save_model,
)
from kerasnets.training.advice import advise
from kerasnets.training.callbacks import Job, State, log_bad_images, variables
from kerasnets.training.failures import failures_explained
from kerasnets.training.finetune import first_epochs, load_start
from kerasnets.training.fitting import barrier, fit, sharding, warn
from kerasnets.training.optimizers import Schedule, make_optimizer
from kerasnets.training.private_api import process_state_kept
from kerasnets.training.resuming import check_data, check_same, data_facts
from kerasnets.training.stopping import signals_noted
from kerasnets.training.trainer import Trainer
from kerasnets.weights.preprocess import assumption, is_path, numbers_in, preprocessing_of, with_checkpoint

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
        RuntimeError, OSError: the work failed: no finite loss, too many bad images, a full disk; or SIGTERM stopped it.
        KeyboardInterrupt: Ctrl-C stopped it. In both cases a checkpoint was written, and `resume` goes on.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides, smoke)
    elif smoke:
        recipe = smoke_twin(recipe)
    recipe = recipe.model_copy(update={"precision": resolve(recipe.precision)})
    folder = Path(run_dir or Path("runs") / f"{recipe.name or recipe.model.name}{'_smoke' * smoke}")
    overwrite = overwrite or (smoke and run_dir is None)
    if resume and is_run(folder):
        check_same(recipe, folder)
        if (folder / "model.keras").exists() and (folder / "evaluation.json").exists():
            return open_run(folder)
    if is_run(folder) and cluster().is_chief:
        with locked(folder):  # tried before the work, and held for good by `claim`
            pass
    with process_state_kept():
        _train(recipe, folder, resume, overwrite, progress)
    return open_run(folder)


def _train(recipe: Recipe, folder: Path, resume: bool, overwrite: bool, progress: bool) -> None:
    with computing_in(recipe.precision):
        job = prepare(recipe, folder)
    changed = check_data(job) if resume and is_run(folder) else []
    chief = cluster().is_chief
    with contextlib.ExitStack() as stack:
        if chief:
            stack.enter_context(claim(folder, resume=resume, overwrite=overwrite))
        stack.enter_context(failures_explained(job))
        start(job, resume)
        for message in changed:
            warn(job, message)
        wish = stack.enter_context(signals_noted())
        with computing_in(recipe.precision):
            fit(job, progress, wish)
        if chief:
            wish.end_at_once()
            finish(job)
        barrier(job, "ended")


def prepare(recipe: Recipe, folder: Path) -> Job:
    """Opens the data and builds the network, and writes nothing; every wrong request is found here."""
    assert FAMILIES  # importing the families is what registers their rows
    strategy = make_strategy()
    replicas, workers = strategy.num_replicas_in_sync, cluster().workers
    keras.utils.set_random_seed(recipe.seed)
    # keras-cv asks for the global generator, which op determinism wants to have been set.
    tf.random.set_global_generator(tf.random.Generator.from_seed(recipe.seed))
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
    with about("model.name"):
        get_variant(recipe.model.name)
    preprocessing = make_preprocessing(recipe)
    source, validation_source, evaluation_source = open_splits(recipe)
    check_batch_size(recipe.batch_size, replicas, recipe.gradient_accumulation, workers)
    check_compilation(recipe.jit_compile, replicas)
    whole = steps_per_epoch(source, recipe.batch_size)
    steps = recipe.steps_per_epoch or whole
    with strategy.scope():
        network = build_network(recipe, preprocessing, len(source.classes))
        loaded = load_start(network, recipe)
        trained, epochs = first_epochs(network, recipe.freeze)
        prepare_for_replicas(network, replicas, recipe.synchronized_batch_norm)
        settings = {"ema": recipe.ema, "gradient_accumulation": recipe.gradient_accumulation}
        settings |= {"steps": steps * recipe.epochs, "jit_compile": recipe.jit_compile}
        trainer = Trainer(network, preprocessing, recipe.loss, **settings)
        schedule = Schedule(recipe.schedule, recipe.optimizer.learning_rate, steps, steps * recipe.epochs)
        begun = [epoch * steps for epoch in epochs]
        optimizer = make_optimizer(recipe.optimizer, schedule, trained, recipe.precision, begun)
        at_once = max(n for n in range(1, min(recipe.steps_per_execution, steps) + 1) if steps % n == 0)
        trainer.compile(optimizer, jit_compile=False, steps_per_execution=at_once)
    return Job(recipe, trainer, schedule, source, evaluation_source, steps, folder, State(), loaded, validation_source)


def open_splits(recipe: Recipe) -> tuple:
    """Opens what is trained on, what the epoch is chosen on (or `None`), and what the network is scored on."""
    data, validation = recipe.data, None
    with about("data.train_split"):
        source = open_source(data.source, data.train_split)
    with about("data.evaluation_split"):
        evaluation = open_source(data.source, data.evaluation_split)
    if data.validation_fraction:
        with about("data.validation_fraction"):
            source, validation = hold_back(source, data.validation_fraction, recipe.seed)
    elif data.validation_split:
        with about("data.validation_split"):
            validation = open_source(data.source, data.validation_split)
    for other in filter(None, (validation, evaluation)):
        if other.classes != source.classes:
            odd = sorted(set(other.classes) ^ set(source.classes))
            raise ValueError(f"All splits need the same classes. Only one of two has: {', '.join(odd[:5])}")
    return source, validation, evaluation


def make_preprocessing(recipe: Recipe) -> Preprocessing:
    """Returns the preprocessing of the weights that the recipe starts from, or the row's, with what it changes."""
    given = recipe.preprocessing.model_dump(exclude_none=True)
    own = preprocessing_of(recipe.model.name, recipe.model.arguments.get("weights"), recipe.model.arguments)
    result = override(dataclasses.replace(own, **given), recipe.data)
    if len(result.mean) != len(result.std):
        raise ValueError(f"preprocessing needs one mean and one std a channel. Received: {result.mean}, {result.std}")
    return result


def build_network(recipe: Recipe, preprocessing: Preprocessing, classes: int, *, training: bool = True) -> keras.Model:
    """Builds the recipe's network: with logits and auxiliary heads for training, else one output of probabilities.

    Its weights are initial ones; `load_start` loads those that the recipe names.
    """
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
        arguments.pop("aux_heads", None)
    activation = None if training else "softmax"
    with about("model.spec"):
        row = get_variant(recipe.model.name).with_spec(**recipe.model.spec)
    if arguments.get("weights") is not None:
        arguments, _ = with_checkpoint(row, arguments)
    arguments["weights"] = None
    try:
        network = row(classifier_activation=activation, **arguments)
    except TypeError as error:
        raise ValueError(f"model.arguments: {error}") from None
    network.preprocessing = preprocessing
    return network


def start(job: Job, resume: bool) -> None:
    """Writes the opening of the run folder, and puts the newest checkpoint back if the run goes on."""
    found = checkpoints.load_newest(job.folder / "checkpoints") if resume else None
    if cluster().is_chief:
        facts = (job.recipe, job.trainer.preprocessing, job.source.classes, visible_devices(), data_facts(job))
        begin(job.folder, *facts)
    if found is None:
        facts = {"parameters": job.trainer.network.count_params(), "train_examples": job.source.size}
        facts |= {"steps_per_epoch": job.steps_per_epoch, "epochs": job.recipe.epochs, "sharding": sharding(job)}
        append_log(job.folder, "start", **facts)
        for message in advise(job):
            warn(job, message)
        if job.loaded:
            source = job.recipe.model.arguments["weights"]
            append_log(job.folder, "weights", source=str(source), summary=str(job.loaded), left=job.loaded.left)
            if is_path(source) and numbers_in(source) is None and job.recipe.preprocessing.mean is None:
                warn(job, assumption(Path(source).name, job.trainer.preprocessing))
        return
    tensors, state, complaints = found
    for complaint in complaints:
        warn(job, f"{complaint}; going on from the checkpoint before it")
    checkpoints.write_variables(variables(job), tensors)
    for key, value in state.items():
        setattr(job.state, key, value)
    append_log(job.folder, "resume", step=job.state.step)


def finish(job: Job) -> None:
    """Writes the finished network in its inference form, and what it scores."""
    recipe, folder, preprocessing = job.recipe, job.folder, job.trainer.preprocessing
    weights, kept = kept_weights(job)
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
    result["chosen_on"] = recipe.chosen_on if kept != "last" or job.state.stopped else None
    save_model(model, folder / "model.keras")
    checkpoints.write_atomically(folder / "evaluation.json", json.dumps(result) + "\n")
    log_bad_images(job)
    numbers = {key: result[key] for key in ("examples", "top1", "top5", "loss", "chosen_on")}
    append_log(folder, "end", step=job.state.step, kept=kept, stopped_early=job.state.stopped, **numbers)


def kept_weights(job: Job) -> tuple[list, str]:
    """Returns the values of the weights that are kept, and which ones these are."""
    best = job.folder / "checkpoints" / "best.safetensors"
    if job.recipe.keep == "best" and best.exists():
        try:
            tensors, facts = checkpoints.load(best)
            return [tensors[name] for name in sorted(tensors)], f"best (epoch {facts['epoch']})"
        except checkpoints.DamagedCheckpoint as error:
            warn(job, f"{error}; the weights of the last epoch are kept in the place of the best one's")
    return [v.numpy() for v in job.trainer.inference_weights()], "last"


def copy_weights(trained: keras.Model, values: list, model: keras.Model) -> None:
    """Puts the `values` of the trained network's weights into its inference form; auxiliary heads are left out."""
    by_path = {w.path: value for w, value in zip(trained.weights, values, strict=True)}
    for weight in model.weights:
        weight.assign(by_path[weight.path])
