"""What computes something else on several replicas than on one, and what makes it the same.

* Batch norm takes the statistics of each replica's own share, which is a choice: the recipe's
  `synchronized_batch_norm` makes them those of the whole batch.
* Dropout drops the same on every replica, each having the same random state. Here each replica draws for the whole
  batch and takes its own part, as our own drop-path layers do, so that one device and many drop the same.
* A replica without an example gets one that counts for nothing: oneDNN's kernels refuse an empty batch.
* Moving statistics that each replica keeps for itself are averaged before anybody evaluates or saves them.
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


def prepare_for_replicas(network: keras.Model, replicas: int, synchronized_batch_norm: bool = False) -> None:
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


def at_least_one(images, labels):
    """Give a replica without an example one of zeros.

    Returns:
        images, labels, and the scalar 0.0 if the example was added, else 1.0; `None` where the shape rules that out.
    """
    if images.shape[0]:
        return images, labels, None
    empty = tf.equal(tf.shape(images)[0], 0)
    images, labels = tf.cond(
        empty,
        lambda: [tf.zeros([1, *each.shape[1:]], each.dtype) for each in (images, labels)],
        lambda: [images, labels],
    )
    return images, labels, 1.0 - tf.cast(empty, tf.float32)


def make_averaging(strategy, variables):
    """Return a function, traced once, that gives every replica the mean of what the replicas hold of each variable.

    A variable that is the same everywhere stays so to the last bit. All workers have to call the function.
    """
    if strategy.num_replicas_in_sync == 1 or not variables:
        return lambda: None

    def average():
        context = tf.distribute.get_replica_context()
        mine = [tf.convert_to_tensor(variable) for variable in variables]
        is_first = tf.equal(context.replica_id_in_sync_group, 0)
        first = context.all_reduce(tf.distribute.ReduceOp.SUM, [tf.where(is_first, v, 0.0) for v in mine])
        gaps = context.all_reduce(tf.distribute.ReduceOp.MEAN, [v - f for v, f in zip(mine, first, strict=True)])
        for variable, value, gap in zip(variables, first, gaps, strict=True):
            variable.assign(value + gap)

    return tf.function(lambda: strategy.run(average), autograph=False)


def _batch_norms(network) -> list:
    if any(isinstance(layer, RecomputedConvolutions) for layer in network.layers):
        raise ValueError(
            "synchronized_batch_norm does not work with batch norm that is recomputed; set "
            "model.arguments.recompute=false. Received: synchronized_batch_norm=True"
        )
    parts = [part for layer in network.layers for part in getattr(layer, "parts", (layer,))]
    norms = [part for part in parts if isinstance(part, keras.layers.BatchNormalization)]
    if not norms:
        raise ValueError(
            f"synchronized_batch_norm needs a network with batch normalisation; {network.name} has none, leave the key "
            "out. Received: synchronized_batch_norm=True"
        )
    return norms
