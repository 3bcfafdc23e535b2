"""What makes several replicas compute the same as one, and the sums over replicas inside a step.

* Batch norm uses the statistics of each replica's part of the batch. The recipe's `synchronized_batch_norm` replaces
  them by those of the whole batch.
* Keras's dropout has the same random state on every replica, so each would drop the same places. Here each replica
  draws for the whole batch and takes its own part, as our drop-path layers do.
* A replica without an example gets one of weight 0: oneDNN's kernels refuse an empty batch.
* Each replica keeps its own moving statistics. They are averaged before an evaluation and before a checkpoint.
"""

import keras
import tensorflow as tf

from kerasnets.layers.recomputed import RecomputedConvolutions

# Gradients are summed over the replicas in packs of about so many bytes, in the order in which the backward pass makes
# them. So the first packs travel while the rest of the gradients is computed.
BYTES_PER_PACK = 32 * 2**20


class _WholeBatchDropout(keras.layers.Dropout):
    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        context = tf.distribute.get_replica_context()
        size, replica = tf.shape(inputs)[0], context.replica_id_in_sync_group
        whole = tf.concat([[size * context.num_replicas_in_sync], tf.shape(inputs)[1:]], 0)
        mask = keras.random.dropout(tf.ones(whole, inputs.dtype), self.rate, seed=self.seed_generator)
        return inputs * tf.ensure_shape(mask[replica * size : (replica + 1) * size], inputs.shape)


def prepare_for_replicas(network: keras.Model, replicas: int, synchronized_batch_norm: bool = False) -> None:
    """Makes dropout, and batch norm if asked, compute on `replicas` devices what they compute on one.

    Raises:
        ValueError: batch norm cannot be synchronised, because the network recomputes it or has none.
    """
    if synchronized_batch_norm:
        norms = _batch_norms(network)
        for norm in norms if replicas > 1 else ():  # on one device it would only cost time
            norm.synchronized = True
    for layer in network.layers:
        if replicas > 1 and type(layer) is keras.layers.Dropout and layer.noise_shape is None:
            layer.__class__ = _WholeBatchDropout


def at_least_one(images, labels):
    """Gives a replica without an example one of zeros.

    Returns:
        images, labels, and a scalar: 0.0 if the example was added, else 1.0; `None` if the static shape rules it out.
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
    """Returns a function, traced once, that sets each variable on all replicas to its mean over the replicas.

    A variable that is equal on all replicas keeps its value to the last bit. All workers must call the function.
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


def same_everywhere(strategy, number: int) -> bool:
    """Whether all replicas have the same number. Waits until all workers have called it."""

    @tf.function
    def numbers(number):
        def step(number):
            return sum_over_replicas(tf.stack([number, number**2]))

        return strategy.run(step, args=(number,))

    total, squares = strategy.experimental_local_results(numbers(tf.constant(float(number), tf.float64)))[0].numpy()
    return total == strategy.num_replicas_in_sync * number and squares == strategy.num_replicas_in_sync * number**2


def sum_over_replicas(values):
    """Returns the sum of a tensor, or of each of a list, over the replicas. Call it inside a step."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    options = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=BYTES_PER_PACK)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values, options)


def update_everywhere(update, variables, others, *arguments) -> None:
    """Runs `update(variable, other, *arguments)` for each pair on every device. Call it inside a step."""

    def across(strategy, variables, others, *arguments):
        for variable, other in zip(variables, others, strict=True):
            strategy.extended.update(variable, update, args=(other, *arguments), group=False)

    tf.distribute.get_replica_context().merge_call(across, args=(variables, others, *arguments))


def _batch_norms(network) -> list:
    if any(isinstance(layer, RecomputedConvolutions) for layer in network.layers):
        raise ValueError(
            "synchronized_batch_norm does not work in a network that recomputes its batch norm; set "
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
