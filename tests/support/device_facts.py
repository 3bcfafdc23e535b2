"""What two devices do, read from graphs and tensors: prints JSON. The devices are logical CPUs of this process."""

import json

import keras
import numpy as np
import tensorflow as tf
from distribution_cases import CASES, Case
from distribution_check import dataset, examples, make_devices, make_trainer

from kerasnets.build import create_model
from kerasnets.data.sources import open_source
from kerasnets.distribution import replicas, strategy
from kerasnets.distribution.strategy import copied_ahead, local_strategy
from kerasnets.evaluation import evaluate
from kerasnets.recipe.data_options import DataOptions, SourceOptions
from kerasnets.registry import Preprocessing

# The gradient of the first layer needs it, that of the last layer does not.
BACKWARD = "ReluGrad"


def step_graph(trainer):
    """Returns the graph of one step on all devices."""
    devices = trainer.distribute_strategy
    batch = next(iter(devices.experimental_distribute_dataset(dataset(examples((12,))))))
    run = tf.function(lambda batch: devices.run(trainer.train_step, args=(batch,)), autograph=False)
    return run.get_concrete_function(batch).graph


def before(operation) -> set:
    """Returns the operations that one depends on."""
    seen, open_ = set(), [operation]
    while open_:
        found = open_.pop()
        if found not in seen:
            seen.add(found)
            open_ += [tensor.op for tensor in found.inputs]
    return seen


def packs(size: int) -> dict:
    """Returns facts about the sums of gradients in packs of `size` bytes, and the weights after three steps."""
    replicas.BYTES_PER_PACK = size
    devices = local_strategy(["CPU:0", "CPU:1"])
    trainer = make_trainer(Case(), devices)
    sums = [op for op in step_graph(trainer).get_operations() if op.type == "CollectiveReduceV2"]
    on_first = [op for op in sums if op.device.endswith("CPU:0") and op.inputs[0].shape.num_elements() != 1]
    needs_all = [any(each.type == BACKWARD for each in before(op)) for op in on_first]
    trainer = make_trainer(Case(), devices)
    trainer.fit(dataset(examples((12,) * 3)), verbose=0, shuffle=False)
    weights = np.concatenate([w.numpy().ravel() for w in trainer.network.weights])
    return {"packs": len(on_first), "wait_for_the_first_layer": sum(needs_all), "weights": weights.tolist()}


def compiled() -> list[str]:
    """Returns the devices of the calls that XLA compiles in a step."""
    trainer = make_trainer(CASES["compiled by XLA, dropout, a replica empty"], local_strategy(["CPU:0", "CPU:1"]))
    trainer.make_train_function()
    calls = [op for op in step_graph(trainer).get_operations() if "_XlaMustCompile" in op.node_def.attr]
    return [op.device[-5:] for op in calls if op.node_def.attr["_XlaMustCompile"].b]


def places() -> dict:
    """Returns where tensors lie when `CPU:1` plays the part of a GPU: the default device of every operation."""
    with tf.device("CPU:1"):
        source = open_source(SourceOptions(kind="digits"), "train")
    fetch = tf.function(source.fetch, autograph=False).get_concrete_function(tf.constant(0, tf.int64))
    batches = tf.data.Dataset.from_tensor_slices((np.arange(6, dtype="uint8"), np.arange(6))).batch(2)
    copied = list(copied_ahead(batches, "CPU:1"))
    strategy.visible_devices = lambda: ["/device:GPU:0"]
    strategy.copied_ahead = lambda _, device: device
    return {
        "data": sorted({tensor.device[-5:] for tensor in fetch.captured_inputs}),
        "copied": sorted({tensor.device[-5:] for batch in copied for tensor in batch}),
        "values": [batch[0].numpy().tolist() for batch in copied],
        "one GPU": strategy.distribute(tf.distribute.get_strategy(), batches, divided=True),
    }


def evaluated() -> dict:
    """Returns scores on one device and on two, and where the weights of a network lie that is evaluated on two."""
    source, options = open_source(SourceOptions(kind="digits"), "test"), DataOptions(source={"kind": "digits"})
    keras.utils.set_random_seed(0)
    model = create_model("lenet5_modern", input_shape=(32, 32, 1))
    pixels = Preprocessing(32, 1.0, "bilinear", (127.5,), (127.5,))
    scores = []
    for devices in (["CPU:0"], ["CPU:0", "CPU:1"]):
        evaluate.local_strategy = lambda devices=devices: local_strategy(devices)
        scores.append(evaluate.score(model, source, pixels, options, batch_size=50))
    copy = evaluate.on_devices(model, local_strategy(["CPU:0", "CPU:1"]))
    places = {value.device[-5:] for weight in copy.weights for value in weight.value.values}
    return {"scores": scores, "weights": sorted(places)}


def main() -> None:
    make_devices(2)
    default = replicas.BYTES_PER_PACK
    facts = {"small packs": packs(64), "default packs": packs(default), "default": default}
    print(json.dumps(facts | {"compiled": compiled(), "evaluated": evaluated(), "places": places()}))


if __name__ == "__main__":
    main()
