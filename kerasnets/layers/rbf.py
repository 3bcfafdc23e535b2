"""Euclidean radial basis functions with fixed codes, and the losses that train a network towards them."""

import keras
import numpy as np

# The ten digits, 7 wide and 12 high, as the paper's figure 3 draws them: `#` is +1, `.` is -1.
_BITMAPS = """
.#####. ...##.. .#####. ####### .#####. .#####. ..####. ####### .#####. .#####.
....... ..###.. ....... .....## ....... ....... .##.... .....## ##...## ##..###
..###.. .####.. .#####. ....##. ....... ####### ##..... .....## ##...## ##...##
.##.##. ...##.. ##...## ...##.. .##..## ##..... ##..... ....##. ##...## ##...##
##...## ...##.. #....## ..####. .##..## ##..... ######. ...##.. .#####. ##..###
##...## ...##.. ....##. .....## ###..## .####.. ###..## ...##.. ##...## .######
##...## ...##.. ..###.. .....## ##...## ..####. ##...## ..##... ##...## .....##
##...## ...##.. .##.... .....## ##...## .....## ##...## ..##... ##...## .....##
.##.##. ...##.. ##..... ##...## ##..### ##...## ###..## ..##... ##...## ....##.
..###.. .###### ####### .#####. .###### .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... .....## ....... ....... ....... ....... .......
....... ....... ....... ....... .....## ....... ....... ....... ....... .......
"""
CODE_LENGTH = 7 * 12


def digit_codes(classes: int = 10) -> np.ndarray:
    """Returns the codes as float32 (classes, 84) of -1 and +1, row by row from the top left.

    The first ten are the digits. Further classes get random codes, always the same ones, with equal chances of -1 and
    +1; the paper names this choice for classes without a picture.
    """
    rows = [line.split() for line in _BITMAPS.split("\n") if line]
    pixels = np.array([[list(part) for part in row] for row in rows]) == "#"
    digits = np.where(pixels, 1.0, -1.0).transpose(1, 0, 2).reshape(10, CODE_LENGTH)
    others = np.random.default_rng(1998).choice((-1.0, 1.0), (max(classes - 10, 0), CODE_LENGTH))
    return np.concatenate([digits, others])[:classes].astype("float32")


def maximum_likelihood_loss(labels, outputs):
    """The penalty of the right class, the paper's equation 8: `E = y_D`.

    Args:
        labels: int (batch,), or float (batch, classes) that sum to 1.
        outputs: `-y`, (batch, classes): an `RBFOutput` without activation.

    Returns:
        float32 (batch,).
    """
    return -keras.ops.sum(_one_hot(labels, outputs) * keras.ops.cast(outputs, "float32"), axis=-1)


def maximum_a_posteriori_loss(labels, outputs, rubbish=1.0):
    """The penalty of the right class against all, the paper's equation 9: `E = y_D + log(exp(-j) + sum_i exp(-y_i))`.

    Args:
        labels, outputs: as for `maximum_likelihood_loss`.
        rubbish: the paper's constant j > 0, the penalty of "none of these". It keeps the penalties of wrong classes
            from growing without end. The paper does not give its value.

    Returns:
        float32 (batch,).
    """
    outputs = keras.ops.cast(outputs, "float32")
    rest = keras.ops.full_like(outputs[:, :1], -rubbish)
    everything = keras.ops.logsumexp(keras.ops.concatenate([outputs, rest], axis=-1), axis=-1)
    return maximum_likelihood_loss(labels, outputs) + everything


@keras.saving.register_keras_serializable("kerasnets")
class RBFOutput(keras.layers.Layer):
    """Squared distances to fixed codes: `y_i = sum_j (x_j - w_ij)^2`, returned as `activation(-y)`.

    (batch, 84) -> (batch, units), float32. No trainable weights. A small `y_i` means class `i`, so `-y` ranks classes
    like logits, and its softmax is the posterior of Gaussians around the codes.

    Args:
        units: number of classes; see `digit_codes`.
        activation: function of `-y`, such as `"softmax"`; `None` for `-y` itself.
        loss: what `example_losses` computes, `"map"` (`maximum_a_posteriori_loss`) or `"mle"`
            (`maximum_likelihood_loss`).

    Raises:
        ValueError: for another loss, or input that is not 84 wide.

    Source: LeCun et al. 1998, section II.B, figure 3, section II.C
    """

    def __init__(self, units, activation=None, loss="map", **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if loss not in ("map", "mle"):
            raise ValueError(f"`loss` should be either 'map' or 'mle'. Received: loss={loss!r}")
        self.units, self.activation, self.loss = units, keras.activations.get(activation), loss

    def build(self, input_shape):
        if input_shape[-1] != CODE_LENGTH:
            raise ValueError(f"The codes are {CODE_LENGTH} long. Received: input of shape {tuple(input_shape)}")

    def call(self, inputs):
        # |x - w|^2 = |x|^2 - 2 x.w + |w|^2, and |w|^2 is the length of a code of +-1.
        products = keras.ops.matmul(inputs, keras.ops.convert_to_tensor(digit_codes(self.units).T, self.compute_dtype))
        lengths = keras.ops.sum(keras.ops.square(inputs), axis=-1, keepdims=True) + float(CODE_LENGTH)
        return self.activation(products * 2.0 - lengths)

    def example_losses(self, labels, outputs):
        """The loss of each example, float32 (batch,); `outputs` are those without activation."""
        loss = {"map": maximum_a_posteriori_loss, "mle": maximum_likelihood_loss}[self.loss]
        return loss(labels, outputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "units": self.units, "activation": activation, "loss": self.loss}


def _one_hot(labels, outputs):
    if len(labels.shape) == 2 and labels.shape[-1] == outputs.shape[-1]:
        return keras.ops.cast(labels, "float32")
    return keras.ops.one_hot(keras.ops.reshape(keras.ops.cast(labels, "int32"), (-1,)), outputs.shape[-1])
