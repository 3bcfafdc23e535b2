"""A type checker and an editor know the builders: the stub is that of the registry, and mypy finds wrong calls."""

import subprocess
import sys

import pytest
from make_stub import STUB, stub

RIGHT = """
import kerasnets

model = kerasnets.ResNet50(weights=None, classes=10, input_shape=(64, 64, 3))
model.summary()
kerasnets.create_model("lenet5", classes=10)
kerasnets.AlexNet(dropout=0.5, pooling="avg", include_top=False)
names: list[str] = kerasnets.list_models("resnet*")
kerasnets.load_weights(model, "net.safetensors")
run = kerasnets.train("lenet5_digits", smoke=True)
print(kerasnets.model_info("resnet50").parameters, kerasnets.complexity(model).parameters)
"""
WRONG = {
    "kerasnets.ResNet5O()": 'no attribute "ResNet5O"',
    "kerasnets.ResNet50(claases=10)": 'did you mean "classes"',
    'kerasnets.ResNet50(pooling="mean")': 'Argument "pooling"',
    'kerasnets.ResNet50(classes="10")': 'Argument "classes"',
    "kerasnets.AlexNet(aux_heads=True)": 'Unexpected keyword argument "aux_heads"',
    'kerasnets.list_models(famly="resnet")': 'did you mean "family"',
    'kerasnets.model_info("resnet50").parameter': 'maybe "parameters"',
}


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    """Returns a function that gives what mypy prints for a program."""
    folder = tmp_path_factory.mktemp("programs")

    def lines(program: str) -> list[str]:
        (folder / "program.py").write_text(program)
        done = subprocess.run([sys.executable, "-m", "mypy", "program.py"], cwd=folder, capture_output=True, text=True)
        return done.stdout.splitlines()

    return lines


def test_the_stub_is_that_of_the_registry():
    assert STUB.read_text(encoding="utf-8") == stub(), "run `python docs/make_stub.py`"


def test_right_calls_pass(check):
    assert check(RIGHT) == ["Success: no issues found in 1 source file"]


def test_every_wrong_call_is_found(check):
    found = check("\n".join(["import kerasnets", *WRONG]))
    for number, text in enumerate(WRONG.values(), start=2):
        assert any(line.startswith(f"program.py:{number}: error") and text in line for line in found), (text, found)
