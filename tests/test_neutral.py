"""The tests of keras.applications on our builders: which builders, and a part of the run where its file can be had."""

import inspect
import subprocess
import sys
from pathlib import Path

import keras
import neutral
import pytest


def test_every_network_of_keras_applications_that_is_ours_is_tested():
    builders = {name for name, value in inspect.getmembers(keras.applications, inspect.isfunction)}
    builders -= {name for name in builders if name.startswith(("ConvNeXt", "EfficientNetV2"))}
    assert builders == set(neutral.pairs()) and len(builders) == 28


def test_another_file_is_refused(tmp_path):
    (tmp_path / "applications_test.py").write_text("print('run me')")
    with pytest.raises(SystemExit, match="is not the file of commit"):
        neutral.fetch(tmp_path, str(tmp_path / "applications_test.py"))


@pytest.mark.slow
def test_vgg16_passes_the_tests_of_keras(tmp_path):
    try:
        path = neutral.fetch(tmp_path, None)
    except SystemExit as error:
        pytest.skip(str(error))
    command = [sys.executable, Path(neutral.__file__), "--file", path, "--only", "VGG16"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "| all |" in done.stdout and "5 of 5" in done.stdout
