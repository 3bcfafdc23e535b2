"""Breaks the package in small ways, one at a time, and reports which of them no test notices (`make mutations`).

    python mutations.py             # all
    python mutations.py padding aux # those with one of these words in their names

Each mutation replaces a text that stands exactly once in a file or a folder, in a copy of the project. The tests that
should notice it are run before and after: they have to pass without the mutation and to fail with it. The program ends
with 1 when a mutation survives, when its text is not found, and when its tests fail without it.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Mutation(NamedTuple):
    """`where` is a file or a folder below `kerasnets/`; `tests` are pytest's arguments, with paths below `tests/`."""

    name: str
    where: str
    text: str
    replacement: str
    tests: str


GOLDENS = "architectures/test_goldens.py"
MUTATIONS = [
    Mutation(*columns)
    for columns in (
        # Networks
        ("stride in the other convolution", "blocks/residual.py", 'if stride_on == "1x1"', 'if stride_on == "3x3"',
         f"{GOLDENS} -k torchvision__resnet50"),
        ("padding of the stem", "blocks", 'max_pool(x, 3, 2, padding=1, name="maxpool")',
         'max_pool(x, 3, 2, padding="same", name="maxpool")', f"{GOLDENS} -k torchvision__resnet18"),
        ("epsilon of inception", "blocks", "epsilon=1e-3", "epsilon=1e-2", f"{GOLDENS} -k torchvision__googlenet"),
        ("rows of GoogLeNet swapped", "architectures",
         '"4b": (160, 112, 224, 24, 64, 64),\n    "4c": (128, 128, 256, 24, 64, 64)',
         '"4b": (128, 128, 256, 24, 64, 64),\n    "4c": (160, 112, 224, 24, 64, 64)',
         f"{GOLDENS} -k torchvision__googlenet"),
        ("stage of MobileNetV2", "architectures", "(6, 96, 3, 1),", "(6, 96, 3, 2),",
         f"{GOLDENS} -k torchvision__mobilenet_v2"),
        ("place of an auxiliary head", "architectures", '"aux1": "inception4a"', '"aux1": "inception4b"',
         "architectures/test_inception.py"),
        ("gate of squeeze-and-excitation", "blocks", 'name, activation="relu", gate="sigmoid"',
         'name, activation="relu", gate="tanh"', f"{GOLDENS} -k timm__seresnet50"),
        ("zeros of a shortcut", "layers", 'missing // 2 if self.zeros == "both" else 0', "0",
         "architectures/test_builders.py -k option_a"),
        ("drop rate of every block", "blocks", "stochastic_depth * count / total", "stochastic_depth",
         "layers/test_stochastic_branch.py -k every_block_has_its_rate"),
        ("scale of stochastic depth", "layers", 'if self.scale == "test" else inputs',
         'if self.scale == "none" else inputs',
         "layers/test_residual.py -k stochastic_depth_on_average"),
        ("momentum of batch normalisation", "layers", "moving * self.momentum + batch * (1.0 - self.momentum)",
         "moving * (1.0 - self.momentum) + batch * self.momentum", "layers/test_batch_norm.py -k step_by_step"),
        ("alpha of local response normalisation", "layers", "self.alpha / self.size if self.divide_alpha",
         "self.alpha if self.divide_alpha", "layers/test_classic.py -k forward"),
        ("variance of the folded normalisation", "graph", "np.sqrt(variance + layer.epsilon)", "np.sqrt(variance)",
         "graph/test_fold_freeze.py -k folding"),
        # Weights
        ("axes of a convolution", "weights", ".transpose(2, 3, 1, 0)", ".transpose(3, 2, 1, 0)",
         f"{GOLDENS} -k torchvision__resnet18"),
        ("order of flattened inputs", "weights", ".transpose(0, 2, 3, 1)", ".transpose(0, 3, 2, 1)",
         f"{GOLDENS} -k torchvision__alexnet"),
        ("hash of a file", "weights", ".startswith(digits)", ".startswith('')", "weights/test_download.py -k hash"),
        ("background class", "weights", "[..., 1:]", "[..., :-1]", "weights/test_mapping.py -k background"),
        # Images
        ("channel order", "layers", 'if channel_order == "bgr"', 'if channel_order == "rgb"',
         "data/test_decode.py -k normalise"),
        ("mean and deviation", "layers", "cls(preprocessing.mean, preprocessing.std,",
         "cls(preprocessing.std, preprocessing.mean,", "architectures/test_builders.py -k preprocessing"),
        ("crop fraction", "data/images/per_image.py", "round(size / preprocessing.crop_fraction)", "size",
         "data/test_decode.py -k evaluation"),
        ("flip at any odds", "data", "stateless_uniform([2], seed) < 0.5", "stateless_uniform([2], seed) < 1.5",
         "data/test_augmentation.py -k flips"),
        ("directions of PCA lighting", "data", "matvec(tf.constant(_DIRECTIONS),",
         "matvec(tf.transpose(tf.constant(_DIRECTIONS)),", "data/test_augmentation.py -k pca_lighting"),
        ("one seed for all images", "data", "transform(image, fold_in(base, number))", "transform(image, base)",
         "data/test_sampling.py data/test_pipeline.py"),
        ("one order for all epochs", "data", "order(_seed(seed, 0, epoch)", "order(_seed(seed, 0, 0)",
         "data/test_pipeline.py -k 'same_seed or every_epoch'"),
        ("mixup left out", "training/trainer.py", "        if draws:", "        if False:",
         "training/test_augmented.py -k each"),
        ("labels that do not mix", "data", "return images, _blend(labels, tf.gather(labels, beside), weight)",
         "return images, labels", "data/test_mixing.py -k labels"),
        ("neighbours across devices", "data", "tf.bitwise.bitwise_xor(tf.range(count), 1)", "tf.range(count) + 1",
         "data/test_mixing.py -k part"),
        ("order of decoded classes", "data", "argsort(-predictions", "argsort(predictions",
         "data/test_imagenet_labels.py"),
        # Training
        ("weight of auxiliary losses", "training", "weight * losses[name]", "losses[name]", "training/test_aux.py"),
        ("label smoothing", "training", "if label_smoothing:", "if not label_smoothing:",
         "training/test_numbers.py -k cross_entropy"),
        ("weight decay of biases", "training/optimizers.py", "len(variable.shape) > 1", "len(variable.shape) > 0",
         "training/test_optimizers.py"),
        ("warm-up begins a step late", "training", "(step + 1.0) / warm", "step / warm",
         "training/test_numbers.py -k warm"),
        ("cosine counts the warm-up", "training", "(step - warm) / max(self.steps - warm, 1.0)", "step / self.steps",
         "training/test_numbers.py -k 'schedules or warm'"),
        ("norm of gradients is not clipped", "training", '"global_clipnorm": options.clip_norm',
         '"global_clipnorm": None', "training/test_optimizers.py"),
        ("micro-batches are not summed", "training", "s if g is None else s + g", "s if g is None else g",
         "training/test_numbers.py -k micro_batches_are_one"),
        ("top-5 counts the first", "training", "is_correct(main, labels, k,", "is_correct(main, labels, 1,",
         "training/test_numbers.py"),
        ("averages are not evaluated", "training", "weight.assign(tf.cast(average, weight.dtype))", "pass",
         "training/test_batches.py -k averages"),
        ("averages are not kept", "training", "return self.averages or [", "return [",
         "training/test_numbers.py -k averages"),
        ("seed of the batches", "training", '"seed": job.recipe.seed', '"seed": 0', "training/test_batches.py -k seed"),
        ("a resumed run begins the epoch again", "training", "start_step=job.state.step", "start_step=0",
         "training/test_stopping.py -k sigterm_writes"),
        ("the best epoch is the worst", "training", "value > best if", "value < best if",
         "training/test_loop.py -k best"),
        ("mean over the replicas", "distribution", "all_reduce(tf.distribute.ReduceOp.SUM, values, options)",
         "all_reduce(tf.distribute.ReduceOp.MEAN, values, options)",
         "distribution/test_distributed_steps.py -k two_devices_train"),
        # Evaluation and export
        ("top-5 of an evaluation", "evaluation", "(verdicts.above < 5)", "(verdicts.above < 1)",
         "training/test_loop.py -k equals_numpy"),
        ("mirror images upside down", "data/images/crops.py", ", [2])", ", [1])",
         "data/test_multi_crop.py -k papers"),
        ("calibration on one image", "exporters", "count: int = 200", "count: int = 1",
         "exporters/test_export.py exporters/test_images.py -k calibration"),
        ("a file that disagrees is exported", "exporters",
         'not report["top1_agreement_interval"][1] >= agreement', "False", "exporters/test_export.py -k bounds"),
        # Compression and experiments
        ("pruned weights come back", "compression", 'values * tf.cast(state["mask"], values.dtype)', "values",
         "compression/test_constraints.py"),
        ("kernels are not rounded", "layers", "tf.round(kernel / step) * step - kernel", "0.0 * kernel",
         "compression/test_quantization.py"),
        ("a false claim is undecided", "experiments", "return FAILS if found.high < 0",
         "return UNDECIDED if found.high < 0",
         "experiments/test_statement.py"),
    )
]  # fmt: skip


def find(mutation: Mutation, root: Path) -> Path:
    """Returns the file that holds the text of a mutation.

    Raises:
        ValueError: it does not stand exactly once below `mutation.where`.
    """
    place = root / "kerasnets" / mutation.where
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    found = [file for file in files for _ in range(file.read_text(encoding="utf-8").count(mutation.text))]
    if len(found) != 1:
        raise ValueError(f"{mutation.text!r} stands {len(found)} times in kerasnets/{mutation.where}, not once")
    return found[0]


def pass_tests(tests: str, root: Path) -> bool:
    """Whether all tests pass; `tests` are pytest's arguments.

    Raises:
        ValueError: they could not be run, or there is none.
    """
    arguments = [f"tests/{word}" if word.endswith(".py") else word for word in shlex.split(tests)]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"PYTHONPATH": os.fspath(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise ValueError(f"pytest {tests} ended with {done.returncode}: {(done.stdout + done.stderr)[-1000:]}")
    return done.returncode == 0


def try_mutation(mutation: Mutation, root: Path, passed: dict[str, bool]) -> str:
    """Returns what is wrong with a mutation or its tests, `""` for nothing.

    passed: whether tests pass without a mutation, for those that were run already.
    """
    try:
        file = find(mutation, root)
        if mutation.tests not in passed:
            passed[mutation.tests] = pass_tests(mutation.tests, root)
        if not passed[mutation.tests]:
            return f"its tests fail without it: {mutation.tests}"
        source = file.read_text(encoding="utf-8")
        file.write_text(source.replace(mutation.text, mutation.replacement), encoding="utf-8")
        try:
            return f"no test notices it: {mutation.tests}" if pass_tests(mutation.tests, root) else ""
        finally:
            file.write_text(source, encoding="utf-8")
    except ValueError as error:
        return str(error)


def main(*wanted: str) -> None:
    chosen = [m for m in MUTATIONS if not wanted or any(word in m.name for word in wanted)]
    passed, wrong = {}, []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "copy"
        ignored = shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__", "build", "dist")
        shutil.copytree(ROOT, root, ignore=ignored)
        for mutation in chosen:
            complaint = try_mutation(mutation, root, passed)
            print(f"{mutation.name}: {complaint or 'noticed'}", flush=True)
            wrong += [mutation.name] * bool(complaint)
    print(f"{len(chosen) - len(wrong)} of {len(chosen)} mutations are noticed")
    sys.exit(int(bool(wrong)))


if __name__ == "__main__":
    main(*sys.argv[1:])
