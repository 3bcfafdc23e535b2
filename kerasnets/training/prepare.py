"""From a recipe to a `Job`: opens the data, builds the network and the optimizer. Writes nothing."""

import dataclasses
from pathlib import Path

import keras
import tensorflow as tf

from kerasnets.build import build
from kerasnets.data.images.per_image import override
from kerasnets.data.pipeline import steps_per_epoch
from kerasnets.data.sources import open_source
from kerasnets.data.sources.source import held_out_split
from kerasnets.distribution.replicas import prepare_for_replicas
from kerasnets.distribution.strategy import check_batch_size, check_compilation, cluster, make_strategy
from kerasnets.recipe.read import named_key
from kerasnets.recipe.schema import Recipe
from kerasnets.registry import Preprocessing, get_variant
from kerasnets.training.initial_weights import set_initial_weights
from kerasnets.training.job import Job, State
from kerasnets.training.optimizers import Schedule, make_optimizer
from kerasnets.training.trainer import Trainer
from kerasnets.training.unfreezing import trained_variables
from kerasnets.weights.preprocess import preprocessing_of, with_checkpoint

# Arguments of a builder that the trainer decides.
DECIDED = ("include_top", "input_tensor", "input_shape", "pooling", "classifier_activation", "name")
DECIDED += ("include_preprocessing",)


def prepare(recipe: Recipe, folder: Path) -> Job:
    """Returns everything that a run needs. Whatever is wrong in a request is found here.

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
    source, validation_source, evaluation_source = open_splits(recipe)
    check_batch_size(recipe.batch_size, replicas, recipe.gradient_accumulation, workers)
    check_compilation(recipe.jit_compile, replicas)
    full_epoch = steps_per_epoch(source, recipe.batch_size)
    steps = recipe.steps_per_epoch or full_epoch
    with strategy.scope():
        network = build_network(recipe, preprocessing, len(source.classes))
        loaded = set_initial_weights(network, recipe)
        trained, first_epochs = trained_variables(network, recipe.freeze)
        prepare_for_replicas(network, replicas, recipe.synchronized_batch_norm)
        settings = {"ema": recipe.ema, "gradient_accumulation": recipe.gradient_accumulation}
        settings |= {"steps": steps * recipe.epochs, "jit_compile": recipe.jit_compile}
        trainer = Trainer(network, preprocessing, recipe.loss, **settings)
        schedule = Schedule(recipe.schedule, recipe.optimizer.learning_rate, steps, steps * recipe.epochs)
        first_steps = [epoch * steps for epoch in first_epochs]
        optimizer = make_optimizer(recipe.optimizer, schedule, trained, recipe.precision, first_steps)
        # The calls of an epoch must be equally long.
        execution = max(n for n in range(1, min(recipe.steps_per_execution, steps) + 1) if steps % n == 0)
        trainer.compile(optimizer, jit_compile=False, steps_per_execution=execution)
    return Job(recipe, trainer, schedule, source, evaluation_source, steps, folder, State(), loaded, validation_source)


def open_splits(recipe: Recipe) -> tuple:
    """Opens the training split, the split that chooses the best epoch (or `None`), and the evaluation split."""
    data, validation = recipe.data, None
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


def make_preprocessing(recipe: Recipe) -> Preprocessing:
    """Returns the preprocessing of the weights, or of the variant, with the changes that the recipe makes."""
    changes = recipe.preprocessing.model_dump(exclude_none=True)
    own = preprocessing_of(recipe.model.name, recipe.model.arguments.get("weights"), recipe.model.arguments)
    result = override(dataclasses.replace(own, **changes), recipe.data)
    if len(result.mean) != len(result.std):
        raise ValueError(f"preprocessing needs one mean and one std a channel. Received: {result.mean}, {result.std}")
    return result


def build_network(recipe: Recipe, preprocessing: Preprocessing, classes: int, *, training: bool = True) -> keras.Model:
    """Builds the recipe's network with initial weights; `set_initial_weights` loads those that the recipe names.

    Args:
        training: whether it gives logits and has the auxiliary heads, else one output of probabilities.
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
    with named_key("model.spec"):
        variant = get_variant(recipe.model.name).with_spec(**recipe.model.spec)
    if arguments.get("weights") is not None:
        arguments, _ = with_checkpoint(variant, arguments)
    arguments["weights"] = None
    try:
        network = build(variant, classifier_activation=activation, **arguments)
    except TypeError as error:
        raise ValueError(f"model.arguments: {error}") from None
    network.preprocessing = preprocessing
    return network
