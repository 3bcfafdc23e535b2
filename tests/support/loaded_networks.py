"""Networks as the exporters get them, for tests."""

from nets import build_twin, fill

from kerasnets.exporters.open_network import LoadedNetwork
from kerasnets.recipe.data_options import DataOptions, SourceOptions
from kerasnets.registry import Preprocessing


def filled_network(name: str) -> LoadedNetwork:
    """Returns the small twin of a variant with every weight filled, to be compared on digits."""
    model = build_twin(name)
    fill(model)
    size, channels = model.input_shape[1], model.input_shape[3]
    pixels = Preprocessing(size, 1.0, mean=(78.0,) * channels, std=(96.0,) * channels)
    return LoadedNetwork(name, model, pixels, tuple("0123456789"), DataOptions(source=SourceOptions(kind="digits")))
