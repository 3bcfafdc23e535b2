"""Image classification sets of tensorflow-datasets."""

import tensorflow as tf

from kerasnets.data.errors import BadImages
from kerasnets.data.fingerprint import of_shards
from kerasnets.data.sources.records import record_reader
from kerasnets.data.sources.source import Source, check_split
from kerasnets.recipe.data_options import SourceOptions


def open_tfds(options: SourceOptions, split: str) -> Source:
    """Opens an image set of tensorflow-datasets as a stream; the pipeline decodes its images."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(options.name, data_dir=options.data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        raise ValueError(f"tensorflow-datasets has no such data set. Received: name={options.name!r}") from None
    if options.download:
        _prepare(builder, options.name)
    elif not builder.is_prepared():
        raise FileNotFoundError(
            f"{options.name} is not prepared in {builder.data_dir}. Set `download: true` to prepare it."
        )
    image_key, label_key, features = options.image_key, options.label_key, builder.info.features
    for key, kind in ((image_key, tfds.features.Image), (label_key, tfds.features.ClassLabel)):
        if not isinstance(dict(features).get(key), kind):
            raise ValueError(
                f"{options.name} has no feature {key!r} of type {kind.__name__}; it has {', '.join(features)}."
            )
    for part in split.split("+"):
        check_split(part.split("[")[0].strip(), (*builder.info.splits, "all"), options.name)
    decoders = {image_key: tfds.decode.SkipDecoding()}
    read = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)

    def stream(seed=None):
        examples = builder.as_dataset(split=split, shuffle_files=False, decoders=decoders, read_config=read)
        return examples.enumerate().map(lambda i, x: (i, x[image_key], tf.cast(x[label_key], tf.int32)))

    size = builder.info.splits[split].num_examples
    files = sorted({str(part.filename) for part in builder.info.splits[split].file_instructions})
    return Source(
        name=options.name,
        split=split,
        classes=tuple(features[label_key].names),
        size=size,
        encoded=True,
        bad_images=BadImages(size),
        image_name=lambda index: f"{options.name}/{split}/{index}",
        stream=stream,
        order=lambda seed=None: tf.data.Dataset.range(size),
        records=lambda: _record_reader(builder, split, image_key, label_key),
        shuffle_buffer=options.shuffle_buffer,
        facts=lambda: {"the version": str(builder.version)} | of_shards(files),
    )


def _record_reader(builder, split: str, image_key: str, label_key: str):
    """Returns index -> (image, label), which reads one example of the split."""
    import tensorflow_datasets as tfds

    decoders = {image_key: tfds.decode.SkipDecoding()}

    def parse(record):
        example = builder.info.features.deserialize_example(record, decoders=decoders)
        return example[image_key], tf.cast(example[label_key], tf.int32)

    parts = builder.info.splits[split].file_instructions
    return record_reader(((str(part.filename), part.skip, part.take) for part in parts), parse)


def _prepare(builder, name: str) -> None:
    """Downloads and prepares a set, with one clear error for what a user has to do first."""
    try:
        builder.download_and_prepare()
    except AssertionError as error:  # The set needs archives that one downloads by hand, as ImageNet does.
        raise FileNotFoundError(f"{name} cannot be prepared: {' '.join(str(error).split())}") from None
    except ImportError as error:
        raise ValueError(
            f"To prepare {name}, tensorflow-datasets needs a package: pip install {error.name}. Received: name={name!r}"
        ) from None
