"""What the tests of networks share: filled weights, tiny twins, and the outside numbers."""

import json
import zlib
from pathlib import Path

import numpy as np

from kerasnets.build import build
from kerasnets.registry import get_variant, variant_names

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent


def read_json(name: str):
    return json.loads((TESTS / name).read_text())


def fill(model) -> None:
    """Gives every weight, moving statistics included, values that do not hide a mistake, as zeros would."""
    for variable in model.weights:
        if "seed" in variable.name:
            continue
        shape = tuple(variable.shape)
        n = np.random.default_rng(zlib.crc32(f"{variable.path}".encode())).standard_normal(shape)
        if variable.name == "moving_variance":
            value = 1 + 0.2 * np.abs(n)
        elif variable.name in ("bias", "beta", "moving_mean"):
            value = 0.1 * n
        elif len(shape) < 2:
            value = 1 + 0.1 * n
        else:
            depthwise = variable.name == "kernel" and len(shape) == 4 and shape[3] == 1
            fan_in = np.prod(shape[:2]) if depthwise else np.prod(shape[:-1])
            value = n * np.sqrt(1.6 / fan_in)
        variable.assign(value.astype(np.float32))


def pixels(shape, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.5, 1.5, shape).astype(np.float32)


def twin(name: str):
    """Returns a variant's tiny twin and its builder arguments: same code, smaller numbers (tests/tiny_twins.json)."""
    variant, recipe = get_variant(name), dict(read_json("tiny_twins.json").get(name, {}))
    variant = variant.with_spec(**recipe.pop("spec", {}))
    size = variant.input_shape[0] if variant.fixed_size else variant.min_size
    arguments = {"input_shape": (size, size, variant.input_shape[2]), "classes": 10, **recipe}
    return variant, {**arguments, "input_shape": tuple(arguments["input_shape"])}


def build_twin(name: str, **changes):
    variant, arguments = twin(name)
    return build(variant, **{**arguments, **changes})


def outline(make, *arguments, **more):
    """Returns what a builder makes, without values of its weights: they take most of the time of a large network."""
    import keras

    with keras.StatelessScope(initialize_variables=False):
        model = make(*arguments, **more)
    keras.backend.clear_session()  # or Keras keeps these variables, and the next such scope initialises all of them
    return model


def check_tflite(model, x, path: Path) -> None:
    """Checks that a model's TFLite file, written to `path`, agrees with it on `x` and has built-in operators only."""
    import keras
    from ai_edge_litert.interpreter import Interpreter

    from kerasnets.exporters.tflite import read_ops, summarise_ops
    from kerasnets.graph.litert import converter_of

    fixed = keras.Input(batch_shape=x.shape)
    path.write_bytes(converter_of(keras.Model(fixed, model(fixed, training=False))).convert())
    assert not summarise_ops(read_ops(path), quantised=False)["flex_ops"]
    interpreter = Interpreter(str(path))
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, x.shape)  # TensorFlow 2.20 does not keep the size of the batch
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, x)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = np.asarray(model(x, training=False))
    assert np.abs(found - expected).max() <= 1e-3 * expected.std()


def representatives(*columns: str) -> list[str]:
    """The variant with the fewest parameters for each combination of some of its fields ("family", "body")."""
    numbers, chosen = read_json("outside_numbers.json"), {}
    for name in sorted(variant_names(), key=lambda name: numbers[name]["parameters"]):
        variant = get_variant(name)
        chosen.setdefault(tuple(getattr(getattr(variant, c), "__name__", getattr(variant, c)) for c in columns), name)
    return sorted(chosen.values())
