"""Every benchmark runs in a tiny form and prints its ratios."""

import ast
import subprocess
import sys
from pathlib import Path

import fresh
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
HELPERS = ("sides.py", "steps.py")
SCRIPTS = sorted(path for path in BENCHMARKS.glob("*.py") if path.name not in HELPERS)
STEP = ["--nets", "mobilenet_v2", "--size", "64", "--batch", "2", "--turns", "1", "--steps", "2"]
INFERENCE = ["--nets", "mobilenet_v2", "--size", "64", "--batches", "1", "--turns", "1", "--steps", "1"]
# Script, and a word where it has two forms -> the arguments of its tiny form, and what that prints.
TINY = {
    "training_step float32": ([*STEP, "--precisions", "float32"], "ratio training_step_mobilenet_v2_float32_keras "),
    "training_step bfloat16": ([*STEP, "--precisions", "bfloat16"], "ratio training_step_mobilenet_v2_bfloat16_keras "),
    "batch_norm": (["--batch", "1", "--steps", "1"], "ratio batch_norm_resnet50 "),
    "training_kernels": (["--batch", "1", "--turns", "1"], "ratio training_kernels_silu_float32 "),
    "densenet_memory": (["--batch", "1"], "ratio densenet_recompute_memory "),
    "grouped_convolution": (
        ["--batch", "1", "--size", "32", "--steps", "1"],
        "ratio grouped_convolution_vs_keras ",
    ),
    "input_pipeline": (["--rounds", "1", "--batches", "1", "--images", "64"], "ratio input_pipeline_ours_keras "),
    "inference float32": (
        [*INFERENCE, "--precisions", "float32"],
        "ratio inference_mobilenet_v2_float32_b1_keras ",
    ),
    "inference bfloat16": (
        [*INFERENCE, "--precisions", "bfloat16"],
        "ratio inference_mobilenet_v2_bfloat16_b1_keras ",
    ),
    "bfloat16_agreement": ([], "ratio bfloat16_agreement_efficientnet_lite0 "),
    "explain": (
        ["--net", "lenet5_modern", "--count", "2", "--grids", "1"],
        "ratio explain_pointing_grad_cam_per_chance ",
    ),
    "build": (["--nets", "mobilenet_v2"], "ratio build_1_networks "),
    "predict": (["--images", "20", "--rounds", "1"], "ratio predict_per_60_images_a_second "),
    "tflite": (["--nets", "mobilenet_v2", "--turns", "1", "--runs", "1"], "ratio tflite_mobilenet_v2_size "),
    "predict_forms": (["--nets", "lenet5_modern", "--batch", "2"], "ratio predict_forms_lenet5_modern "),
    "start_up": (["--runs", "1"], "ratio start_up_list_goal "),
    "load_weights": (["--model", "resnet18", "--runs", "1"], "ratio load_weights_vs_keras "),
    "stochastic_depth": (
        ["--batch", "2", "--steps", "2", "--turns", "1", "--blocks", "1"],
        "ratio stochastic_depth_step_time ",
    ),
    # JAX and PyTorch come with none of our extras: without them each side says that it failed.
    "gpu": (["--nets", "resnet18", "--batch", "1", "--size", "32", "--minutes", "3"], "resnet18 "),
    "finetune": (["--size", "64", "--epochs", "1", "--ours-epochs", "1"], "ours: "),
    "replicas": (["--size", "32", "--batch", "4", "--steps", "1", "--turns", "1"], "ratio replicas_two_over_one_"),
    "cifar_epoch": (["--steps", "2", "--turns", "1", "--workers", "0"], "ours: "),
    "large_folder": (["--classes", "3", "--per-class", "100"], "ratio large_folder_scan_over_index "),
    "loop_overhead": (["--steps", "2", "--turns", "1"], "ratio loop_overhead_lenet5_modern "),
}


def run(*arguments, **settings) -> subprocess.CompletedProcess:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=BENCHMARKS.parent, capture_output=True, text=True, **settings)


@pytest.mark.slow
def test_keras_s_side_counts_in_bfloat16():
    """Keras's metrics refuse predictions in bfloat16 ("InTopKV2"), which keras.applications gives with that policy."""
    done = run(BENCHMARKS / "training_step.py", "--side", "keras", input="mobilenet_v2 bfloat16 2 32 wall 2\n")
    assert done.stdout.startswith("answer ["), done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_benchmark_in_a_tiny_form(name):
    arguments, printed = TINY[name]
    done = run(BENCHMARKS / f"{name.split()[0]}.py", *arguments)
    assert done.returncode == 0 and printed in done.stdout, done.stdout + done.stderr[-3000:]


def test_every_benchmark_has_a_tiny_form():
    """All but `degradation`, which trains four networks and cannot be made short, and those that need data or a run."""
    others = {"degradation", "clients", "compression", "quantization", "quantization_page"}
    assert {name.split()[0] for name in TINY} | others == {path.stem for path in SCRIPTS}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_no_process_imports_torchvision_after_tensorflow(path):
    """With PyPI's torch for CUDA that ends in a segmentation fault, so torchvision has a side of its own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = [alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in imports if isinstance(node, ast.ImportFrom)]
    with_tensorflow = [m for m in modules if m.split(".")[0] in ("tensorflow", "keras", "kerasnets")]
    if "torchvision" in path.read_text(encoding="utf-8"):
        assert not with_tensorflow and "sides" in modules
        assert ".find_spec(" not in path.read_text(encoding="utf-8")


PRECISION = """
import sys
sys.path.insert(0, "benchmarks")
import keras, tensorflow as tf, training_step

def in_which(model, data, callbacks=(), clock=None):
    def steps(count):
        options = tf.config.optimizer.get_experimental_options()
        return keras.config.dtype_policy().name, options.get("auto_mixed_precision_onednn_bfloat16", False)
    return steps

training_step.fit_steps = in_which
for form in ("float32", "bfloat16"):
    take = training_step.ours("lenet5_modern", form, 2, 32)
    print(form, *take(1), keras.config.dtype_policy().name)
"""


def test_our_side_trains_in_the_precision_that_is_printed():
    done = fresh.run("-c", PRECISION, cwd=BENCHMARKS.parent)
    assert done.stdout.splitlines() == [
        "float32 float32 False float32",
        "bfloat16 mixed_bfloat16 False float32",
    ], done.stderr[-3000:]
