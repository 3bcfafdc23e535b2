"""A small experiment of two arms that trains in seconds."""

import pytest
import yaml

SMALL = {
    "chapter": "LeNet-5",
    "claim": "A larger rate learns faster.",
    "paper": {"source": "An, Author and Other 1998, A Paper", "place": "section 1"},
    "differs": "Everything.",
    "recipe": {
        "model": {"name": "lenet5_modern"},
        "data": {"source": {"kind": "digits"}},
        "batch_size": 16,
        "epochs": 2,
        "steps_per_epoch": 6,
        "optimizer": {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 1e-2},
        "evaluation": {"keep": "last", "max_batches": 4, "every_epochs": 100},
        "checkpoint": {"every_steps": 1},
    },
    "arms": {"slow": {"optimizer.learning_rate": 1e-5}, "fast": {"optimizer.learning_rate": 5e-3}},
    "seeds": 2,
    "measure": "training_loss",
    "also": ["held_out_error", "parameters"],
    "expect": ["fast < slow"],
    "chart": {"kind": "curves", "of": "training_loss"},
}


@pytest.fixture
def small(tmp_path):
    """Returns a function that writes the small experiment with changed keys and returns its path."""

    def write(name="small", **changes):
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(SMALL | changes, sort_keys=False), encoding="utf-8")
        return path

    return write
