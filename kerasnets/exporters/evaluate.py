"""Evaluate whatever `open_network` opens, on labelled images that are given or named."""

import os
from pathlib import Path

import keras

from kerasnets.data.class_names import match_classes
from kerasnets.data.sources import open_source
from kerasnets.data.sources.folder import folder_splits
from kerasnets.data.sources.source import Source
from kerasnets.evaluation import evaluate as evaluation
from kerasnets.exporters.images import named_data
from kerasnets.exporters.open_network import LoadedNetwork, open_network
from kerasnets.recipe.data_options import DataOptions
from kerasnets.runs.folder import Run, is_run


def evaluate(target, source=None, preprocessing=None, options=None, *, weights=None, split=None, **settings) -> dict:
    """Evaluates a network that returns probabilities.

    Args:
        target: a run, the path of a run folder or of a `.keras` file, a model's name with `weights`, the tag of a
            checkpoint (`resnet50.a1_in1k`), or a `keras.Model` with one output.
        source: the labelled images: what `open_source` gives, `"digits"`, an .npz file, `"tfds:NAME"`, or a folder of
            images or shards. The default is the evaluation split of the run.
        preprocessing: turns images into the input of the model; the default is that of the run or model.
        options: the `DataOptions` of `source`; the default is those of the run.
        weights: for a model's name, what its builder takes.
        split: of images that are named; see `labelled_images`.
        **settings: `batch_size`, `max_batches` and `wrong_folder`, as for `evaluation.evaluate.score`.

    Classes are matched by name with those of the run, or by WordNet id with those of ImageNet for a model with 1000
    outputs, so that the images may be of some of the classes; see `match_classes`.

    Returns:
        `{"examples", "top1", "top5", "loss", "confusion", "confusions", "wrong"}`; shares are 0 to 1,
        `confusion[true][predicted]` counts examples and is empty for more than 1,000 classes, `confusions` lists the
        100 most frequent ones, `wrong` the first 64 wrong predictions.

    Raises:
        FileNotFoundError: there is no such run, file or folder.
        ValueError: the model does not fit the images or the labels, or images or weights are missing.
    """
    named = isinstance(source, (str, os.PathLike))
    if isinstance(target, Run) and named:
        target = target.path
    is_path = isinstance(target, (str, os.PathLike))
    if not named and (isinstance(target, (Run, keras.Model)) or is_path and is_run(target)):
        return evaluation.evaluate(target, source, preprocessing, options, **settings)
    network = open_network(target, weights, preprocessing=preprocessing)
    if source is None or named:
        source, options = labelled_images(network, target, source, split, "source")
    return evaluation.evaluate(network.model, source, network.preprocessing, options, **settings)


def labelled_images(
    network: LoadedNetwork, target, data=None, split: str | None = None, argument: str = "--data"
) -> tuple[Source, DataOptions]:
    """Returns the labelled images for a network, with its classes, and their options.

    Args:
        network: what `open_network` gives for `target`.
        data: the name of images; by default those of the run.
        split: by default the held-out one; of a folder without splits all, for a network that was trained elsewhere.
        argument: the name of the user's argument, for errors.

    Raises:
        ValueError: for a network without images or without weights.
        FileNotFoundError: for images that are not there.
    """
    if network.random or network.run is None and data is None:
        raise ValueError(
            "A model's name or file needs labelled images (--data), and a name also needs weights (--weights). "
            f"Received: {network.name!r}, {argument}={data!r}{', no weights' if network.random else ''}"
        )
    options = named_data(str(data), argument) if data else network.data
    is_file = isinstance(target, (str, os.PathLike)) and Path(target).suffix == ".keras"
    trained_elsewhere = network.run is None and not is_file and not isinstance(target, keras.Model)
    if split is None and trained_elsewhere and options.source.kind == "folder":
        split = "all" if folder_splits(Path(options.source.path))[1] else None
    source = open_source(options.source, split or options.evaluation_split)
    return match_classes(source, network.classes), options
