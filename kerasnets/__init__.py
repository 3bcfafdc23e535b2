"""Convolutional networks as their papers have them, for Keras 3 and TensorFlow.

    import kerasnets

    model = kerasnets.ResNet50(classes=10)
    kerasnets.list_models("resnet*")

Every public name is imported when it is first used, so that `import kerasnets` takes no time. Once Keras is imported as
well, it knows our layers: `keras.models.load_model` needs nothing more.
"""

import importlib
import sys

# Public name -> the file that defines it.
_FUNCTIONS = {
    "create_model": "kerasnets.build",
    "list_models": "kerasnets.model_index",
    "list_pretrained": "kerasnets.model_index",
    "model_info": "kerasnets.model_index",
    "ModelInfo": "kerasnets.model_index",
    "load_model": "kerasnets.runs.folder",
    "load_weights": "kerasnets.weights.load",
    "features": "kerasnets.graph.features",
    "freeze": "kerasnets.graph.freeze",
    "fold_batch_norm": "kerasnets.graph.fold",
    "narrowed": "kerasnets.compression.structured",
    "quantization_aware": "kerasnets.compression.quantization",
    "optimize": "kerasnets.graph.inference",
    "preprocess_input": "kerasnets.weights.preprocess",
    "decode_predictions": "kerasnets.data.labels",
    "inception_module": "kerasnets.architectures.googlenet",
    "complexity": "kerasnets.graph.cost",
    "arithmetic": "kerasnets.report.arithmetic",
    "compare": "kerasnets.report.comparison",
    "effective_receptive_field": "kerasnets.explain.inside",
    "visualize": "kerasnets.report.visualization",
    "visualize_evolution": "kerasnets.report.unit_pictures",
    "visualize_units": "kerasnets.report.unit_pictures",
    "prepare": "kerasnets.training.prepare",
    "summary": "kerasnets.runs.summary",
    "train": "kerasnets.training.loop",
    "evaluate": "kerasnets.exporters.evaluate",
    "open_network": "kerasnets.exporters.open_network",
    "export": "kerasnets.exporters.export",
    "compress": "kerasnets.exporters.compress",
    "quantize_debug": "kerasnets.exporters.quantize_debug",
    "finetune": "kerasnets.exporters.finetune",
    "predict": "kerasnets.exporters.predict",
    "run_experiment": "kerasnets.experiments.run",
    "sweep": "kerasnets.experiments.sweep",
    "find_learning_rate": "kerasnets.experiments.learning_rate",
    "experiment_report": "kerasnets.report.experiment",
    "push_to_hub": "kerasnets.runs.hub",
    "from_hub": "kerasnets.runs.hub",
}


# What these modules define works on TensorFlow only: training by recipe, tf.data, runs and exports.
_ON_TENSORFLOW = ("kerasnets.training.", "kerasnets.evaluation.", "kerasnets.exporters.", "kerasnets.runs.folder")
_ON_TENSORFLOW += ("kerasnets.runs.hub", "kerasnets.report.visualization", "kerasnets.experiments.")


def _builders() -> dict[str, str]:
    """Python name of every network -> its name in the registry."""
    from kerasnets.model_index import read_model_index

    return {facts["python_name"]: name for name, facts in read_model_index().items()}


def __getattr__(name: str):
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("kerasnets")
    if name.startswith("_"):
        raise AttributeError(f"module 'kerasnets' has no attribute {name!r}")
    if name in _FUNCTIONS:
        value = _function(name)
    elif name in (builders := _builders()):
        from kerasnets.build import builder, get_variant

        value = builder(get_variant(builders[name]))
    else:
        from kerasnets.registry import did_you_mean

        hint = did_you_mean(name, [*_FUNCTIONS, *builders])
        raise AttributeError(f"module 'kerasnets' has no attribute {name!r}.{hint}")
    globals()[name] = value
    return value


def _function(name: str):
    if _FUNCTIONS[name].startswith(_ON_TENSORFLOW):
        from kerasnets.layers.backend import ON_TENSORFLOW, refusing

        if not ON_TENSORFLOW:
            return refusing(name)
    return getattr(importlib.import_module(_FUNCTIONS[name]), name)


def __dir__() -> list[str]:
    return sorted([*_FUNCTIONS, *_builders(), "__version__"])


def _register_with_keras() -> None:
    """Imports everything that Keras must know by name to read a saved model: layers, functions and losses."""
    importlib.import_module("kerasnets.layers")
    importlib.import_module("kerasnets.training.paper_losses")


class _AfterKeras:
    """An import finder that registers our layers right after the import of Keras, and then removes itself.

    If `import kerasnets` registered them, every command would wait for TensorFlow, `kerasnets list` too.
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
