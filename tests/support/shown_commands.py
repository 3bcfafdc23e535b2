"""The commands and Python blocks that README, docs, recipe headers and `--help` show, and a project to run them in."""

import json
import re
import shlex
import shutil
import sys
import textwrap
from pathlib import Path

import numpy as np
import typer
from data_files import photo, write_folder, write_litert_js
from PIL import Image

from kerasnets.cli.app import application
from kerasnets.recipe.shipped import recipe_names

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
# Placeholder -> what the tests put in its place: files of `make_project`.
PLACEHOLDERS = {
    "DIR": "photos",
    "$WEIGHTS": "efficientnet_lite0.weights.h5",
    "imagenet": "efficientnet_lite0.weights.h5",
    "photo.jpg": "photo.png",
    "NAME": "resnet50",
    "recipes/NAME.yaml": "recipes/lenet5_digits.yaml",
    "RUN": "runs/lenet5_digits",
    "recipe.yaml": "recipes/lenet5_digits.yaml",
    "/runs/recipe.yaml": "recipes/lenet5_digits.yaml",
    "/runs/job": "runs/job",
    "runs/alexnet?": "runs/alexnet9 runs/alexnet9",
    "runs/photos": "runs/lenet5_digits",
    "runs/photos_qat": "runs/lenet5_qat",
    "runs/photos/model.keras": "runs/lenet5_digits/model.keras",
}


def shown_files(page: str) -> list[str]:
    """Returns the YAML files that a page of the documentation shows."""
    return re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"), re.S)


def commands_in(text: str) -> list[str]:
    """Returns the `kerasnets ...` and `make ...` commands of a text that is code."""
    text = re.sub(r"\\\n *", "", text)
    pieces = re.split(r" {2,}|\n|;|&&|\||(?:^|\s)#\s", text)
    found = []
    for piece in pieces:
        piece = re.sub(r"^(exec|srun) ", "", piece.strip())
        piece = piece.rstrip("'") if piece.count("'") % 2 else piece  # the end of a script between quotes
        if re.match(r"(kerasnets|make) [a-z]", piece):
            found.append(" ".join(piece.split()))
    return found


def blocks_of(page: Path) -> list[str]:
    """Returns the code blocks of a Markdown page, fenced ones and indented ones."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.M | re.S)
    return fenced + [block.strip("\n") for block in re.findall(r"(?:^(?: {4}.*)?\n)+", rest, re.M) if block.strip()]


def python_blocks() -> dict[str, str]:
    """Returns the Python blocks of all pages, by page and number, without the shell lines in them."""
    found = {}
    for page in PAGES:
        for number, block in enumerate(blocks_of(page)):
            lines = textwrap.dedent(block).splitlines()
            code = "\n".join(line for line in lines if not line.startswith("kerasnets "))
            if re.search(r"^(\w+ = )?kerasnets\.|^import kerasnets", code, re.M):
                found[f"{page.stem}-{number}"] = code
    return found


def page_commands(*, once: bool = True) -> list[str]:
    """Returns the commands of README and docs, in blocks and between backticks, if they have arguments.

    Args:
        once: whether to leave out repetitions.
    """
    found = []
    for page in PAGES:
        inline = re.findall(r"(?<!`)`((?:kerasnets|make)\s[^`]+)`", page.read_text(encoding="utf-8"))
        for text in [*blocks_of(page), *(" ".join(span.split()) for span in inline)]:
            found += commands_in(text)
    return [
        command
        for command in (dict.fromkeys(found) if once else found)
        if len(command.split()) > 2 or command.startswith("make")
    ]


def help_commands() -> list[str]:
    """Returns the example that each command's `--help` ends with."""

    def epilogs(command):
        yield command.epilog or ""
        for inner in getattr(command, "commands", {}).values():
            yield from epilogs(inner)

    found = [
        text.removeprefix("Example: ") for text in epilogs(typer.main.get_command(application())) if "Example: " in text
    ]
    return list(dict.fromkeys(found))


def recipe_commands(path: Path) -> list[str]:
    """Returns the commands in a recipe's header, in order."""
    header = [line[1:] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    block = "\n".join(header)
    command = re.search(r"^ Command(.*?)^ [A-Z]", block, re.M | re.S)[1]
    inline = [" ".join(span.split()) for span in re.findall(r"`(kerasnets\s[^`]+)`", block.replace("\n", " "))]
    found = commands_in(re.sub(r"\s\((.*?)\)|after (?=kerasnets)", "", command)) + [
        c for i in inline for c in commands_in(i)
    ]
    return [c.split(",")[0] if ", " in c else c for c in dict.fromkeys(found)]


def arguments_of(command: str, **others: str) -> list[str]:
    """Returns the words of a command with each placeholder replaced. `others` take precedence over `PLACEHOLDERS`."""
    words, given = [], PLACEHOLDERS | public((command.split() + [""])[2]) | others
    for word in shlex.split(command)[1:]:
        word = re.sub(r"\$(SLURM_\w+|i)\b", "9", word)
        key, equals, value = word.rpartition("=")
        word = (key + equals + given[value]).split(" ") if value in given else [word]
        words += word if word != ["..."] else []
    return words


def public(network: str) -> dict[str, str]:
    """Returns the files that stand for a model's public weights, and for the images that it is evaluated on."""
    classes = 10 if "cifar" in network else 1000
    return {"FILE.safetensors": f"{network}.weights.h5", "FOLDER": f"classes_{classes}"}


def cheap(words: list[str]) -> list[str]:
    """Returns a command's words with more of them that make it cheap. The recipe's own keys stay."""
    name = " ".join(words[:2]) if words[0] in ("benchmark", "experiment") else words[0]
    extra = {
        "train": ["--smoke"],
        "launch": ["--smoke"],
        "export": ["--examples", "8"],
        "experiment run": ["--smoke"],
        "sweep": ["--smoke", "--trials", "2"],
        "finetune": [
            *["--weights", "efficientnet_lite0.weights.h5", "--overwrite"],
            *["--set", "epochs=1", "--set", "data.size=32"],
        ],
        "profile": ["--steps", "1", "--batch-size", "1"],
        "benchmark data": ["--images", "8", "--set", "batch_size=8"],  # There are fewer photos than 256.
    }.get(name, [])
    if name == "experiment run" and "--output" not in words:
        extra += ["--output", f"runs/experiments/{Path(words[2]).stem}"]
    if name == "experiment run" and "--resume" not in words:
        extra += ["--resume"]
    if name in ("train", "launch") and "--resume" not in words:
        extra = [*extra, "--overwrite"]
    recipe = Path(next((word for word in words if word.endswith(".yaml") or word in recipe_names()), "")).stem
    if name == "train" and not {"--output", "--run-dir"} & set(words):
        extra += ["--output", f"runs/{recipe}{'_resumed' * ('--resume' in words)}"]
    if name == "train" and recipe.endswith("_imagenet"):
        extra += ["--set", f"data.size={size_of(recipe)}", "--set", "model.start=null"]
    if name == "train" and recipe.endswith("_photos"):
        extra += ["--set", f"model.arguments.weights={network_of(recipe)}.weights.h5"]
    return words + extra


def network_of(recipe: str) -> str:
    from kerasnets.recipe.read import load_recipe

    return load_recipe(Path(recipe).stem).model.name


def size_of(recipe: str) -> int:
    """Returns the smallest size that the network of an ImageNet recipe takes, 64 with auxiliary heads."""
    from kerasnets.architectures import catalogue  # noqa: F401  (registers every variant)
    from kerasnets.registry import get_variant

    row = get_variant(network_of(recipe))
    return max(row.min_size, 64 if row.aux else 32)


def make_project(folder: Path) -> None:
    """Writes the files that the commands name: recipes, small photos in class folders, digits, weights."""
    (folder / "recipes").symlink_to(ROOT / "recipes")
    write_folder(folder / "photos", per_class=70)  # more than a smoke batch of 16 micro-batches
    for split in ("val", "test"):
        write_folder(folder / "photos", split=split)
    for name in ("imagenet", "cifar10"):
        (folder / name).symlink_to("photos")
    for count in (10, 1000):
        for number in range(count):
            path = folder / f"classes_{count}" / "test" / f"{number:04}" / "photo.png"
            path.parent.mkdir(parents=True)
            Image.new("RGB", (32, 32), (number % 256, 0, 0)).save(path)
    for identifier in ("n01440764", "n02102040"):
        shutil.copytree(folder / "classes_10" / "test" / "0000", folder / "imagenette" / "val" / identifier)
    write_litert_js(folder / "node_modules" / "@litertjs")
    (folder / "folder").mkdir()
    for name in ("photo.png", "folder/photo.png", "coffee.png", "camera.png", "chelsea.png", "rocket.jpg"):
        Image.fromarray(photo(0)).save(folder / name)
    for name, text in zip(("batch_size", "space"), shown_files("experiments"), strict=True):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    x, y = np.arange(40 * 784, dtype=np.int64).reshape(40, 28, 28) % 255, np.arange(40) % 10
    x = x.astype("uint8")
    np.savez(folder / "mnist.npz", x_train=x, y_train=y, x_test=x, y_test=y)


def main(devices: int, commands: list[list[str]]) -> None:
    """Runs commands in the current folder on `devices` logical CPUs; ends with the first exit code that is not 0."""
    import tensorflow as tf

    from kerasnets.cli.app import run

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    for words in commands:
        if code := run(words):
            sys.exit(f"code {code}: kerasnets {shlex.join(words)}")


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
