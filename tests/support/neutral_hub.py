"""KerasHub's own test of vision backbones, run on one small network of every family.

    python tests/support/neutral_hub.py [resnet vgg ...] [--write]

It needs `pip install keras-hub grain`; the wheel of keras-hub has `run_vision_backbone_test`: serialisation, eager and
compiled prediction, names, three reduced precisions with every layer's policy, and the sizes of the feature pyramid.
The test is written for subclasses of KerasHub's `FeaturePyramidBackbone`, so a shim makes one of each network: our
builder without its top, `kerasnets.features` as the pyramid, and a config of two values. The test's quantisation is
left out: it replaces dense layers only. Its `channels_first` part needs a GPU, and kerasnets has no such form.

Prints a line for each family. `--write` puts the table into docs/benchmarks.md. The exit code is 1 when one failed.
"""

import argparse
import os
import sys
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras_hub.src.models.feature_pyramid_backbone import FeaturePyramidBackbone
from keras_hub.src.tests.test_case import TestCase
from nets import build_twin, representatives, twin

from kerasnets.graph.features import features
from kerasnets.registry import get_variant

ROOT = Path(__file__).parents[2]


def backbone_of(name: str) -> type:
    """Returns KerasHub's kind of class for the small twin of a variant."""

    class Shim(FeaturePyramidBackbone):
        def __init__(self, variant=name, size=32, dtype=None, **options):
            former, policy = keras.config.dtype_policy(), keras.dtype_policies.get(dtype or "float32")
            keras.config.set_dtype_policy(policy)
            try:
                model = network(variant, size)
            finally:
                keras.config.set_dtype_policy(former)
            super().__init__(inputs=model.input, outputs=model.output, dtype=dtype, **options)
            self.variant, self.size, self.pyramid_outputs = variant, size, pyramid(model)

        def get_config(self):
            return {**super().get_config(), "variant": self.variant, "size": self.size}

    family = get_variant(name).family.replace("_", "").title()
    Shim.__name__ = Shim.__qualname__ = f"{family}Backbone"
    return keras.saving.register_keras_serializable("neutral")(Shim)


def network(name: str, size: int) -> keras.Model:
    """Returns the small twin of a variant without its top."""
    channels = get_variant(name).input_shape[2]
    return build_twin(name, include_top=False, input_shape=(size, size, channels))


def pyramid(model: keras.Model) -> dict:
    """Returns the feature maps as KerasHub names them: `P2` is four times smaller than the input."""
    return {f"P{int(np.log2(stride))}": tensor for stride, tensor in features(model).output.items()}


def check(name: str) -> str:
    """Returns what failed, in a line; "" when the test passed."""
    size = twin(name)[1]["input_shape"][0]
    model = network(name, size)
    levels = pyramid(model)
    try:
        TestCase("run_vision_backbone_test").run_vision_backbone_test(
            cls=backbone_of(name),
            init_kwargs={"variant": name, "size": size},
            input_data=keras.ops.ones((2, *model.input_shape[1:])),
            expected_output_shape=(2, *model.output_shape[1:]),
            expected_pyramid_output_keys=list(levels),
            expected_pyramid_image_sizes=[tuple(level.shape[1:3]) for level in levels.values()],
            run_quantization_check=False,
        )
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"[:160]
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", help="of kerasnets; all by default")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    options = parser.parse_args()
    keras.utils.disable_interactive_logging()
    lines, failed = ["| family | variant, small | result |", "| --- | --- | --- |"], 0
    for name in representatives("family"):
        family = get_variant(name).family
        if not options.families or family in options.families:
            wrong = check(name)
            failed += bool(wrong)
            lines.append(f"| {family} | `{name}` | {wrong or 'passed'} |")
            print(lines[-1], flush=True)
    lines.append(f"| all | KerasHub {version('keras-hub')} | {len(lines) - 2 - failed} of {len(lines) - 2} |")
    print(lines[-1])
    if options.write:
        sys.path.insert(0, str(ROOT / "docs"))
        from make_tables import write_table

        write_table(ROOT / "docs" / "benchmarks.md", "neutral-hub", "\n".join(lines))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
