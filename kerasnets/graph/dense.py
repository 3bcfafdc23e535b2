"""Networks that slide over whole images: dense layers become convolutions (VGG, section 3.2; ResNet, section 3.4)."""

import keras


def fully_convolutional(model: keras.Model) -> keras.Model:
    """Returns the network that gives `model`'s logits at every place of an image of any size.

    The first dense layer behind a `Flatten` becomes a convolution of the size of the map that it was flattened from,
    the dense layers behind it work on each place. A network with global pooling already takes any size. All other
    layers are shared with `model`.

    Args:
        model: a classifier [B, S, S, C] -> [B, classes] whose last layer `predictions` is dense or an activation.

    Returns:
        [B, height, width, C] -> logits [B, rows, columns, classes], or [B, classes] with global pooling.

    Raises:
        ValueError: for a network of another form.
    """
    flattens = [layer for layer in model.layers if isinstance(layer, keras.layers.Flatten)]
    last = model.layers[-1]
    if len(flattens) > 1 or not isinstance(last, (keras.layers.Dense, keras.layers.Activation)):
        raise ValueError(
            "Dense evaluation needs a network that flattens at most once and ends in a dense layer or an activation. "
            f"Received: {model.name}, which ends in {type(last).__name__}"
        )
    behind = model.layers[model.layers.index(flattens[0]) :] if flattens else []
    first = next((layer for layer in behind if isinstance(layer, keras.layers.Dense)), None)

    def convert(layer):
        if layer in flattens:
            return keras.layers.Identity(name=layer.name)
        if layer is first:
            return _as_convolution(layer, flattens[0].input.shape[1:], logits=layer is last)
        if layer is last:
            return _logits(layer)
        return layer

    pixels = keras.Input((None, None, model.input_shape[-1]))
    inputs = keras.tree.map_structure(lambda tensor: pixels, model.input)
    return keras.models.clone_model(model, input_tensors=inputs, clone_function=convert)


def _as_convolution(layer, shape, logits: bool):
    """Returns the convolution that does at every place what the dense `layer` does on a flattened map of `shape`."""
    height, width, channels = shape
    activation = None if logits else layer.activation
    options = {"use_bias": layer.use_bias, "dtype": layer.dtype_policy, "name": layer.name}
    result = keras.layers.Conv2D(layer.units, (height, width), activation=activation, **options)
    result.build((None, None, None, channels))
    kernel, *bias = layer.get_weights()
    result.set_weights([kernel.reshape(height, width, channels, layer.units), *bias])
    return result


def _logits(layer):
    """Returns the last layer without its activation."""
    if isinstance(layer, keras.layers.Activation):
        return keras.layers.Activation("linear", dtype=layer.dtype_policy, name=layer.name)
    result = keras.layers.Dense(layer.units, use_bias=layer.use_bias, dtype=layer.dtype_policy, name=layer.name)
    result.build((None, layer.kernel.shape[0]))
    result.set_weights(layer.get_weights())
    return result
