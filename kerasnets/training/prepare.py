"""From a recipe to a `Job`, or to what a `model.fit` of your own needs: data, network, optimizer. Writes nothing."""

import dataclasses
from pathlib import Path

import keras
import tensorflow as tf

from kerasnets.build import build
from kerasnets.compression.constraints import constraints_of
from kerasnets.data.images.per_image import override
from kerasnets.data.pipeline import evaluation_batches, parallel, steps_per_epoch, training_batches
from kerasnets.data.service import check_service
from kerasnets.data.sources import open_source
from kerasnets.data.sources.own import own_source
from kerasnets.data.sources.source import held_out_split
from kerasnets.distribution.precision import computing_in, resolve
from kerasnets.distribution.replicas import prepare_for_replicas
from kerasnets.distribution.strategy import check_batch_size, check_compilation, cluster, compiles, make_strategy
from kerasnets.recipe.data_options import DataOptions, SourceOptions
from kerasnets.recipe.read import load_recipe, named_key, smoke_recipe
from kerasnets.recipe.schema import Recipe
from kerasnets.registry import Preprocessing, get_variant
from kerasnets.training.callbacks import plain_callbacks
from kerasnets.training.compressing import compressed, finished
from kerasnets.training.initial_weights import set_initial_weights
from kerasnets.training.job import Job, State
from kerasnets.training.losses import with_class_weights
from kerasnets.training.optimizers import Schedule, make_optimizer
from kerasnets.training.trainer import Trainer
from kerasnets.training.unfreezing import trained_variables
from kerasnets.weights.preprocess import preprocessing_of, with_checkpoint

# Arguments of a builder that the trainer decides.
DECIDED = ("include_top", "input_tensor", "input_shape", "pooling", "classifier_activation", "name")
DECIDED += ("include_preprocessing",)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What `model.fit` needs to train by a recipe.

    Attributes:
        model: the compiled model. It takes 0-255 pixels and normalises them itself.
        train: endless batches (images, labels). With mixup or cutmix `model` mixes them by a third part.
        validation: one pass of (images, labels, weights).
        callbacks: what the recipe asks for besides the step: unfreezing, moving averages, early stopping, plateaus.
        epochs, steps_per_epoch: the length of the training.
        labels: the names of the classes.
    """

    model: keras.Model
    train: tf.data.Dataset
    validation: tf.data.Dataset
    callbacks: list[keras.callbacks.Callback]
    epochs: int
    steps_per_epoch: int
    labels: tuple[str, ...]
    job: Job = dataclasses.field(repr=False)

    def network(self) -> keras.Model:
        """Returns the network as it is now: normalised pixels -> probabilities, without auxiliary heads.

        Of a recipe with moving averages it has the averages.
        """
        return classifier(self.job, [weight.numpy() for weight in self.model.inference_weights()])


def prepare(recipe, *, overrides=(), smoke: bool = False, data=None) -> Prepared:
    """Prepares what a recipe says for a `model.fit` of your own. No file is written.

        ready = kerasnets.prepare("lenet5_digits")
        ready.model.fit(
            ready.train, validation_data=ready.validation, callbacks=ready.callbacks,
            epochs=ready.epochs, steps_per_epoch=ready.steps_per_epoch,
        )
        net = ready.network()

    Seeds, and TensorFlow's switch for determinism if the recipe asks for it, are set for the whole process.

    Args:
        recipe: a `Recipe`, a recipe's name, or the path of one.
        overrides: strings `"a.b=c"` that change the recipe at a path.
        smoke: prepare two steps and a small evaluation.
        data: `(train, validation)`, datasets of your own, as for `train`.

    Raises:
        ValueError, FileNotFoundError: the recipe, its data or its weights do not fit together.
    """
    recipe, splits = wanted_recipe(recipe, overrides, smoke, data)
    with computing_in(recipe.precision):
        job = make_job(recipe.model_copy(update={"keep": "last"}), None, splits)
    return Prepared(
        model=job.trainer,
        train=training_data(job),
        validation=validation_data(job),
        callbacks=plain_callbacks(job),
        epochs=recipe.epochs,
        steps_per_epoch=job.steps_per_epoch,
        labels=job.source.classes,
        job=job,
    )


def wanted_recipe(recipe, overrides, smoke: bool, data) -> tuple[Recipe, tuple | None]:
    """Returns the recipe of a request, and the splits of `data`, `None` without data.

    The recipe is read if it is a name or path, and has the precision that `auto` stands for.
    """
    recipe = read_recipe(recipe, overrides, smoke)
    precision = "float32" if recipe.quantize else resolve(recipe.precision, recipe.model.name)
    recipe = recipe.model_copy(update={"precision": precision})
    return (recipe, None) if data is None else with_own_data(recipe, data)


def read_recipe(recipe, overrides=(), smoke: bool = False) -> Recipe:
    """Returns a recipe, which is read if it is a name or path; its precision may be `auto`."""
    if not isinstance(recipe, Recipe):
        return load_recipe(recipe, overrides, smoke)
    return smoke_recipe(recipe) if smoke else recipe


def make_job(recipe: Recipe, folder: Path | None, splits: tuple | None = None, callbacks=()) -> Job:
    """Returns everything that a run needs. Whatever is wrong in a request is found here.

    Args:
        recipe: with its precision resolved.
        folder: the run folder; `None` for `prepare`.
        splits: open sources as `open_splits` gives them; by default the recipe's.
        callbacks: of the user's own.

    Raises:
        ValueError, FileNotFoundError: the recipe, its data or its weights do not fit together.
    """
    strategy = make_strategy()
    replicas, workers = strategy.num_replicas_in_sync, cluster().workers
    keras.utils.set_random_seed(recipe.seed)
    # keras-cv draws from the global generator, which op determinism requires to be seeded.
    tf.random.set_global_generator(tf.random.Generator.from_seed(recipe.seed))
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
    with named_key("model.name"):
        get_variant(recipe.model.name)
    preprocessing = make_preprocessing(recipe)
    source, validation_source, evaluation_source = splits or open_splits(recipe)
    check_batch_size(recipe.batch_size, replicas, recipe.gradient_accumulation, workers)
    check_compilation(recipe.jit_compile, replicas, recipe.synchronized_batch_norm, recipe.quantize)
    full_epoch = steps_per_epoch(source, recipe.batch_size)
    steps = recipe.steps_per_epoch or full_epoch
    with strategy.scope():
        network = build_network(recipe, preprocessing, len(source.classes))
        loaded = set_initial_weights(network, recipe)
        trained, first_epochs = trained_variables(network, recipe.freeze)
        prepare_for_replicas(network, replicas, recipe.synchronized_batch_norm)
        settings = {"ema": recipe.ema, "gradient_accumulation": recipe.gradient_accumulation}
        settings |= {"steps": steps * recipe.epochs, "jit_compile": compiles(recipe.jit_compile, network)}
        trainer = Trainer(network, preprocessing, with_class_weights(recipe.loss, source), **settings)
        trainer.multi_label = source.multi_label
        schedule = Schedule(recipe.schedule, recipe.optimizer.learning_rate, steps, steps * recipe.epochs)
        optimizer = make_optimizer(
            recipe.optimizer, schedule, trained, recipe.precision, [epoch * steps for epoch in first_epochs]
        )
        # The calls of an epoch must be equally long.
        execution = max(n for n in range(1, min(recipe.steps_per_execution, steps) + 1) if steps % n == 0)
        trainer.compile(optimizer, jit_compile=False, steps_per_execution=execution)
        trainer.constraints = constraints_of(recipe, network, steps, execution)
    found = (recipe, trainer, schedule, source, evaluation_source, steps, folder, State(), loaded, validation_source)
    return Job(*found, tuple(callbacks))


def open_splits(recipe: Recipe) -> tuple:
    """Opens the training split, the split that chooses the best epoch (or `None`), and the evaluation split."""
    data, validation = recipe.data, None
    if data.service:
        check_service(data.service)
    with named_key("data.train_split"):
        source = open_source(data.source, data.train_split)
    with named_key("data.evaluation_split"):
        evaluation = open_source(data.source, data.evaluation_split)
    if data.validation_fraction:
        with named_key("data.validation_fraction"):
            source, validation = held_out_split(source, data.validation_fraction, recipe.seed)
    elif data.validation_split:
        with named_key("data.validation_split"):
            validation = open_source(data.source, data.validation_split)
    for other in filter(None, (validation, evaluation)):
        if other.classes != source.classes:
            odd = sorted(set(other.classes) ^ set(source.classes))
            raise ValueError(f"All splits need the same classes. Only one of two has: {', '.join(odd[:5])}")
    return source, validation, evaluation


def with_own_data(recipe: Recipe, data) -> tuple[Recipe, tuple]:
    """Returns the recipe for datasets of the user's own, and their splits as `open_splits` gives them.

    Size and batch size are those of the first batch. The recipe's augmentation does not apply.
    """
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(f"`data` should be a pair of datasets (train, validation). Received: data={data!r}")
    if cluster().workers > 1:
        raise ValueError("`data` of your own trains in one process. Received: several workers in TF_CONFIG")
    classes = recipe.model.arguments.get("classes")
    source = own_source(data[0], "training", classes, recipe.steps_per_epoch)
    evaluation = own_source(data[1], "validation", classes or len(source.classes))
    batch_size, height, width, channels = source.batch_shape
    if height != width or evaluation.batch_shape[1:] != source.batch_shape[1:]:
        raise ValueError(
            "The images of both datasets should be square and of one shape. "
            f"Received: {source.batch_shape[1:]} and {evaluation.batch_shape[1:]}"
        )
    changes = recipe.preprocessing.model_dump(exclude_none=True)
    known = changes.get("mean") or preprocessing_of(recipe.model.name, recipe.model.arguments.get("weights")).mean
    if len(known) != channels:
        raise ValueError(
            f"The images have {channels} channels and the network takes {len(known)}; set preprocessing.mean and "
            f"preprocessing.std. Received: images of shape {source.batch_shape[1:]}"
        )
    own = DataOptions(source=SourceOptions(kind="own"), size=height)
    return recipe.model_copy(update={"data": own, "batch_size": batch_size}), (source, None, evaluation)


def classifier(job: Job, weights: list) -> keras.Model:
    """Returns a network of probabilities without auxiliary heads.

    Args:
        weights: the values of the trained network's weights, auxiliary heads included.
    """
    activation = "sigmoid" if job.source.multi_label else "softmax"
    model = build_network(job.recipe, job.trainer.preprocessing, len(job.source.classes), activation)
    by_path = {w.path: value for w, value in zip(job.trainer.network.weights, weights, strict=True)}
    for weight in model.weights:
        weight.assign(by_path[weight.path])
    return finished(model, job.recipe)


def training_data(job: Job, parts: int = 1):
    """Returns this worker's training batches from the state's step on, each in `parts` for its devices, in turn."""
    size = job.recipe.batch_size
    settings = {"batch_size": size, "share": cluster().share(size), "parts": parts, "seed": job.recipe.seed}
    preprocessing = job.trainer.preprocessing
    return training_batches(job.source, preprocessing, job.recipe.data, start_step=job.state.step, **settings)


def validation_data(job: Job, parts: int = 1):
    """Returns the evaluation batches of this worker, divided as those of `training_data`."""
    recipe, size = job.recipe, evaluation_batch_size(job)
    source = job.validation_source or job.evaluation_source
    settings = {"batch_size": size, "share": cluster().share(size), "parts": parts, "service": recipe.data.service}
    found = evaluation_batches(source, job.trainer.preprocessing, recipe.data, **settings)
    return parallel(found.take(parts * recipe.evaluation.max_batches if recipe.evaluation.max_batches else -1))


def evaluation_batch_size(job: Job) -> int:
    """Returns the global batch of an evaluation, a multiple of the number of replicas."""
    replicas = job.trainer.distribute_strategy.num_replicas_in_sync
    return -(-(job.recipe.evaluation.batch_size or job.recipe.batch_size) // replicas) * replicas


def make_preprocessing(recipe: Recipe) -> Preprocessing:
    """Returns the preprocessing of the weights, or of the variant, with the changes that the recipe makes."""
    changes = recipe.preprocessing.model_dump(exclude_none=True)
    own = preprocessing_of(recipe.model.name, recipe.model.arguments.get("weights"), recipe.model.arguments)
    result = override(dataclasses.replace(own, **changes), recipe.data)
    if len(result.mean) != len(result.std):
        raise ValueError(f"preprocessing needs one mean and one std a channel. Received: {result.mean}, {result.std}")
    return result


def build_network(recipe: Recipe, preprocessing: Preprocessing, classes: int, activation=None) -> keras.Model:
    """Builds the recipe's network with initial weights; `set_initial_weights` loads those that the recipe names.

    Args:
        activation: of the one output. `None` is for training: logits, and the auxiliary heads.
    """
    arguments = dict(recipe.model.arguments)
    if taken := [name for name in DECIDED if name in arguments]:
        raise ValueError(
            f"model.arguments.{taken[0]} is decided by the trainer; size and channels come from data.size and "
            f"preprocessing.mean. Received: {taken[0]}={arguments[taken[0]]!r}"
        )
    if arguments.setdefault("classes", classes) != classes:
        raise ValueError(f"The data has {classes} classes. Received: model.arguments.classes={arguments['classes']}")
    side = None if activation is None and recipe.data.training_size else preprocessing.size
    arguments["input_shape"] = (side, side, len(preprocessing.mean))
    if activation:
        arguments.pop("aux_heads", None)
    with named_key("model.spec"):
        variant = get_variant(recipe.model.name).with_spec(**recipe.model.spec)
    if side is None and variant.fixed_size:
        raise ValueError(f"data.training_size: {variant.name} takes images of one size. Remove it.")
    if arguments.get("weights") is not None:
        arguments, _ = with_checkpoint(variant, arguments)
    arguments["weights"] = None
    try:
        network = build(variant, classifier_activation=activation, **arguments)
    except TypeError as error:
        raise ValueError(f"model.arguments: {error}") from None
    network.preprocessing = preprocessing
    return compressed(network, recipe)
