"""What `distribution_check.py` trains on one device and on many."""

import dataclasses

SIZES = (12, 12, 12, 12, 12)
SGD = {"name": "sgd", "learning_rate": 0.05}


@dataclasses.dataclass(frozen=True)
class Case:
    """What is trained. `alone` overrides fields on the one device that the others are compared with."""

    layer: str = ""
    optimizer: dict = dataclasses.field(default_factory=lambda: SGD)
    loss: dict = dataclasses.field(default_factory=dict)
    ema: dict | None = None
    policy: str = "float32"
    scale: float | None = None
    accumulation: int = 1
    mixing: dict | None = None
    sizes: tuple = SIZES
    evaluate: bool = False
    steps_per_execution: int = 1
    jit: bool = False
    compress: bool = False
    alone: dict = dataclasses.field(default_factory=dict)


CASES = {
    "plain SGD": Case(),
    "evaluation of 29 examples in batches of 12": Case(evaluate=True),
    "clipping by norm after the all-reduce": Case(optimizer={**SGD, "clip_norm": 0.1}),
    "gradient accumulation: 2 micro-batches are one batch": Case(
        optimizer={**SGD, "clip_norm": 0.1}, accumulation=2, alone={"accumulation": 1}
    ),
    "mixup and cutmix": Case(
        mixing={"mixup": 1.0, "cutmix": 1.0},
        accumulation=2,
        steps_per_execution=2,
        alone={"accumulation": 1, "steps_per_execution": 1},
    ),
    "two steps a call": Case(steps_per_execution=2, alone={"steps_per_execution": 1}),
    "two steps a call, evaluation, uneven last batch": Case(
        sizes=(12, 12, 12, 12, 7), steps_per_execution=2, evaluate=True
    ),
    "uneven last batch": Case(sizes=(12, 12, 12, 12, 7)),
    "a last batch that leaves a replica empty": Case(sizes=(12, 12, 12, 12, 1)),
    "uneven last batch, synchronised batch norm": Case("batch norm", sizes=(12, 12, 12, 12, 7)),
    "empty replica, synchronised batch norm": Case("batch norm", sizes=(12, 12, 12, 12, 1)),
    "pruned and shared weights, moving averages": Case(ema={"momentum": 0.9}, compress=True),
    "moving averages": Case("batch norm", ema={"momentum": 0.9}),
    "float16 with loss scaling that overflows": Case(
        optimizer={**SGD, "learning_rate": 5e-3}, policy="mixed_float16", scale=2.0**18
    ),
    "weight decay in the gradient (SGD)": Case(optimizer={**SGD, "weight_decay": 0.1}),
    "decoupled weight decay (AdamW)": Case(optimizer={"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.1}),
    "RMSprop": Case(optimizer={"name": "rmsprop", "learning_rate": 1e-3}),
    "RMSprop from an accumulator of 1, weight decay clipped too": Case(
        optimizer={
            "name": "rmsprop",
            "learning_rate": 1e-2,
            "initial_accumulator": 1.0,
            "weight_decay": 0.1,
            "clip_norm": 0.1,
            "clip_weight_decay": True,
        }
    ),
    "LAMB with binary cross-entropy": Case(
        optimizer={"name": "lamb", "learning_rate": 1e-2, "weight_decay": 0.1}, loss={"name": "binary_cross_entropy"}
    ),
    "two outputs with weights": Case("two outputs", loss={"weights": {"aux1": 0.3}, "label_smoothing": 0.1}),
    "synchronised batch norm": Case("batch norm"),
    "each replica's moving means become one": Case("batch norm of each replica", ema={"momentum": 0.9}),
    "dropout": Case("dropout"),
    "drop path": Case("drop path"),
    "scheduled drop path": Case("scheduled drop path"),
    "quantisation-aware, uneven last batch": Case("quantised", sizes=(12, 12, 12, 12, 7)),
    "quantisation-aware, a replica empty": Case("quantised", sizes=(12, 12, 12, 12, 1)),
    # XLA draws other random numbers and rounds float16 elsewhere, so there the one device is compiled too.
    "compiled by XLA, dropout, a replica empty": Case("dropout", sizes=(12, 12, 12, 12, 1), jit=True),
    "compiled by XLA, float16 with loss scaling": Case(
        optimizer={**SGD, "learning_rate": 5e-3}, policy="mixed_float16", scale=2.0**18, jit=True
    ),
    "compiled by XLA, micro-batches": Case(accumulation=2, jit=True, alone={"accumulation": 1, "jit": False}),
    "compiled by XLA, batch norm, averages": Case(
        "batch norm of each replica", ema={"momentum": 0.9}, jit=True, alone={"jit": False}
    ),
}
