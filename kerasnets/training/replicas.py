"""The two stock layers that compute something else on several replicas than on one, put right before training.

* Batch norm takes the statistics of each replica's own share, which is a choice: the recipe's
  `synchronized_batch_norm` makes them those of the whole batch.
* Dropout drops the same on every replica, each having the same random state. Here each replica draws for the whole
  batch and takes its own part, as our own drop-path layers do, so that one device and many drop the same.
"""

import keras
import tensorflow as tf

from kerasnets.layers.recomputed import RecomputedConvolutions


class _DropoutOfTheWholeBatch(keras.layers.Dropout):
    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        context = tf.distribute.get_replica_context()
        size, replica = tf.shape(inputs)[0], context.replica_id_in_sync_group
        whole = tf.concat([[size * context.num_replicas_in_sync], tf.shape(inputs)[1:]], 0)
        mask = keras.random.dropout(tf.ones(whole, inputs.dtype), self.rate, seed=self.seed_generator)
        return inputs * tf.ensure_shape(mask[replica * size : (replica + 1) * size], inputs.shape)


def put_right(network: keras.Model, replicas: int, synchronized_batch_norm: bool = False) -> None:
    """Prepares a new network for training on `replicas` devices.

    Raises:
        ValueError: batch norm cannot be synchronised: the network recomputes it, or has none.
    """
    if synchronized_batch_norm:
        norms = _batch_norms(network)
        for norm in norms if replicas > 1 else ():  # one device alone is faster without
            norm.synchronized = True
    for layer in network.layers:
        if replicas > 1 and type(layer) is keras.layers.Dropout and layer.noise_shape is None:
            layer.__class__ = _DropoutOfTheWholeBatch


def _batch_norms(network) -> list:
    if any(isinstance(layer, RecomputedConvolutions) for layer in network.layers):
        raise ValueError(
            "synchronized_batch_norm does not work with batch norm that is recomputed; set "
            "model.arguments.recompute=false. Received: synchronized_batch_norm=True"
        )
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        raise ValueError(
            f"synchronized_batch_norm needs a network with batch normalisation; {network.name} has none, leave the key "
            "out. Received: synchronized_batch_norm=True"
        )
    return norms
