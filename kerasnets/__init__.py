"""Convolutional networks as their papers have them, for Keras 3 and TensorFlow.

    import kerasnets

    model = kerasnets.ResNet50(classes=10)
    kerasnets.list_models("resnet*")

Every name is looked up when it is first used, so that importing the package costs nothing. Whoever uses Keras beside it
has our layers registered with it: `import kerasnets` is all that `keras.models.load_model` needs.
"""

import importlib
import sys
import types

# Public name -> the file that defines it.
_FUNCTIONS = {
    "create_model": "kerasnets.registry",
    "list_models": "kerasnets.model_index",
    "model_info": "kerasnets.model_index",
    "ModelInfo": "kerasnets.model_index",
    "load_model": "kerasnets.runs.folder",
    "load_weights": "kerasnets.weights.load",
    "features": "kerasnets.graph.features",
    "freeze": "kerasnets.graph.freeze",
    "fold_batch_norm": "kerasnets.graph.fold",
    "preprocess_input": "kerasnets.weights.preprocess",
    "decode_predictions": "kerasnets.data.labels",
    "inception_module": "kerasnets.architectures.googlenet",
    "complexity": "kerasnets.graph.cost",
    "train": "kerasnets.training.loop",
    "evaluate": "kerasnets.evaluation.evaluate",
    "export": "kerasnets.exporters.export",
    "predict": "kerasnets.exporters.predict",
}
_CATALOGUE = "kerasnets.architectures.catalogue"  # Importing it registers every row.


def _builders() -> dict[str, str]:
    rows = importlib.import_module("kerasnets.model_index").read_model_index()
    return {row["python_name"]: name for name, row in rows.items()}


def __getattr__(name: str):
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("kerasnets")
    if name.startswith("_"):
        raise AttributeError(f"module 'kerasnets' has no attribute {name!r}")
    if name in _FUNCTIONS:
        if name == "create_model":
            importlib.import_module(_CATALOGUE)
        value = getattr(importlib.import_module(_FUNCTIONS[name]), name)
    else:
        builders = _builders()
        if name not in builders:
            hint = importlib.import_module("kerasnets.registry").did_you_mean(name, [*_FUNCTIONS, *builders])
            raise AttributeError(f"module 'kerasnets' has no attribute {name!r}.{hint}")
        importlib.import_module(_CATALOGUE)
        row = importlib.import_module("kerasnets.registry").get_variant(builders[name])
        value = importlib.import_module("kerasnets.architectures.variant").builder(row)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*_FUNCTIONS, *_builders(), "__version__"])


class _FrontDoor(types.ModuleType):
    """Keeps `kerasnets.exporters` and `kerasnets.complexity` the functions that they are announced as.

    Python would put the room of the same name in their place as soon as anything imports it.
    """

    def __setattr__(self, name, value):
        if not (name in _FUNCTIONS and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor


def _register_with_keras() -> None:
    """Imports all layers, functions and losses that Keras must know by name to read a saved model."""
    importlib.import_module("kerasnets.layers")
    importlib.import_module("kerasnets.training.paper_losses")


class _AfterKeras:
    """A finder that registers our layers as soon as somebody has imported Keras, and then removes itself.

    Importing them with the package would cost every command the start of TensorFlow.
    """

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "keras":
            return None
        finders = [finder for finder in sys.meta_path if finder is not cls]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in finders)), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module):
            execute(module)
            if cls in sys.meta_path:
                sys.meta_path.remove(cls)
            _register_with_keras()

        spec.loader.exec_module = execute_and_register
        return spec


if "keras" in sys.modules:
    _register_with_keras()
else:
    sys.meta_path.insert(0, _AfterKeras)
