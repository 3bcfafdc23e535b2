"""What all tests share: the settings of TensorFlow, made before its import, and a small TensorFlow data set."""

import gc
import os
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the commands set it


def pytest_collection_finish():
    """Leaves what the imports made out of garbage collection: `keras.backend.clear_session` collects all the rest."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def determinism_ends_with_the_test():
    """`prepare` and `make_job` switch it on for the whole process; a later test without a seed would fail."""
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import config

        config.disable_op_determinism()


@pytest.fixture(scope="session")
def tfds_folder(tmp_path_factory):
    """Returns the `data_dir` of a TensorFlow data set called `shades`."""
    import tensorflow_datasets as tfds
    from data_files import photo

    class Shades(tfds.core.GeneratorBasedBuilder):
        """Twenty-one small pictures in three classes."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            label = tfds.features.ClassLabel(names=["dark", "grey", "light"])
            features = {"image": tfds.features.Image(shape=(None, None, 3)), "label": label}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(21):
                yield i, {"image": photo(i), "label": i % 3}

    folder = tmp_path_factory.mktemp("tfds")
    Shades(data_dir=str(folder)).download_and_prepare()
    return folder
