"""Losses of single papers as Keras losses, for `compile` and `fit`.

The package's own trainer does not use them: it calls `example_losses` of the layer `predictions`.
"""

import keras

from kerasnets.layers.rbf import maximum_a_posteriori_loss, maximum_likelihood_loss


@keras.saving.register_keras_serializable("kerasnets")
class RBFLoss(keras.losses.Loss):
    """LeNet-5's losses, on the negative distances that `lenet5` gives with `classifier_activation=None`.

    Labels are int (batch,) or (batch, 1), or float (batch, classes) that sum to 1.

    Args:
        criterion: `"map"` is equation 9: the true class against all others and against a "rubbish" class. `"mle"` is
            equation 8: the distance to the true class alone.
        rubbish: the constant j of equation 9.

    Raises:
        ValueError: for another criterion.

    Source: LeCun et al. 1998, section II.C
    """

    def __init__(self, criterion="map", rubbish=1.0, reduction="sum_over_batch_size", name="rbf_loss", **kwargs):
        super().__init__(name=name, reduction=reduction, **kwargs)
        if criterion not in ("map", "mle"):
            raise ValueError(f"`criterion` should be either 'map' or 'mle'. Received: criterion={criterion!r}")
        self.criterion, self.rubbish = criterion, rubbish

    def call(self, y_true, y_pred):
        if self.criterion == "mle":
            return maximum_likelihood_loss(y_true, y_pred)
        return maximum_a_posteriori_loss(y_true, y_pred, self.rubbish)

    def get_config(self):
        return {**super().get_config(), "criterion": self.criterion, "rubbish": self.rubbish}
