"""Keras layers of our own; importing the package registers all of them with Keras, so that saved models load."""

import importlib
import pkgutil

import keras  # noqa: F401  (before any of them: `import kerasnets` asks for this package right after Keras)

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
