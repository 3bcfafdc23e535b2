"""Sources of labelled images: scikit-learn's digits, folders, .npz arrays, tensorflow-datasets and TFRecord shards."""

from kerasnets.data.sources.arrays import open_arrays
from kerasnets.data.sources.digits import open_digits
from kerasnets.data.sources.folder import open_folder
from kerasnets.data.sources.own import open_own
from kerasnets.data.sources.shards import open_shards
from kerasnets.data.sources.source import Source
from kerasnets.data.sources.tfds import open_tfds
from kerasnets.recipe.data_options import SourceOptions

OPENERS = {
    "digits": open_digits,
    "folder": open_folder,
    "arrays": open_arrays,
    "tfds": open_tfds,
    "tfrecord": open_shards,
    "own": open_own,
}


def open_source(options: SourceOptions, split: str) -> Source:
    """Opens one split of a source.

    Args:
        options: which source.
        split: "train" or "test" for digits; the name of a sub-folder for a folder ("train", "test" or "all" when the
            folder has no splits); `x_<split>` for arrays; any split string of tensorflow-datasets ("train[:80%]"); a
            split of the index for shards.

    Raises:
        FileNotFoundError: the folder or file does not exist.
        ValueError: the split is unknown, the folder holds no images or an empty class folder, the arrays do not fit
            together, or a shard is damaged.
    """
    return OPENERS[options.kind](options, split)
