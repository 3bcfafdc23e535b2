"""Hides TensorFlow in a process, as if it were not installed."""

from importlib.machinery import PathFinder


def hide_tensorflow() -> None:
    """Lets Python find no module of TensorFlow. Call it before any import of Keras."""
    find = PathFinder.find_spec

    def find_spec(name, path=None, target=None):
        return None if name.split(".")[0] == "tensorflow" else find(name, path, target)

    PathFinder.find_spec = find_spec
