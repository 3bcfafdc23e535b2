"""Dense evaluation on whole images: dense layers become convolutions (VGG, section 3.2; ResNet, section 3.4)."""

import keras


def fully_convolutional(model: keras.Model) -> keras.Model:
    """Returns a network that gives the logits of `model` at every position of an image of any size.

    The first dense layer after a `Flatten` becomes a convolution as large as the map that was flattened. The dense
    layers after it are applied to each position. A network with global pooling takes any size without changes, and
    keeps one output. All other layers are shared with `model`.

    Args:
        model: a classifier [B, S, S, C] -> [B, classes]. Its last layer is dense or an activation.

    Returns:
        [B, height, width, C] -> logits [B, rows, columns, classes], or [B, classes] with global pooling.

    Raises:
        ValueError: for a network that flattens twice or has another last layer.
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
    """Returns a convolution equal to a dense layer on a flattened map of `shape`, for larger maps."""
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
