"""`make neutral`: runs the tests of keras.applications on our builders.

    python tests/support/neutral.py [--file applications_test.py] [--only ResNet50 VGG16] [--write]

The test file of Keras is fetched at a fixed commit, its SHA-256 is checked, and it is not kept. Our builders take the
places of those of the same networks, so the file tests them without a change. `test_application_base`, which downloads
the weights of every network, and the cases with `channels_first`, which kerasnets does not have, are left out.

Prints a line for each builder: passed of how many. `--write` puts the table into docs/benchmarks.md. The exit code is
1 when a test failed.
"""

import argparse
import hashlib
import importlib
import os
import sys
import tempfile
import urllib.request
from importlib.metadata import version
from pathlib import Path

from nets import read_json

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).parents[2]
COMMIT, SHA256 = (
    "15d8b3bad11bf4fa157fb030146bd99b06d45fc4",
    "8f7833c905dddec3f35623fed40339b383b58953334125bb037eba6fac817bdb",
)
URL = f"https://raw.githubusercontent.com/keras-team/keras/{COMMIT}/keras/src/applications/applications_test.py"
# Where Keras defines the networks whose file has another name than the network.
MODULES = {"MobileNet": "mobilenet", "MobileNetV2": "mobilenet_v2", "VGG16": "vgg16", "VGG19": "vgg19"}
MODULES |= {"InceptionV3": "inception_v3", "InceptionResNetV2": "inception_resnet_v2", "Xception": "xception"}
PREFIXES = {"EfficientNet": "efficientnet", "MobileNetV3": "mobilenet_v3", "DenseNet": "densenet", "NASNet": "nasnet"}


def pairs() -> dict[str, str]:
    """Returns the name of a builder in keras.applications -> our variant that computes the same."""
    rows = read_json("parity_rows.json")
    return {peers["keras.applications"]: name for name, peers in rows.items() if "keras.applications" in peers}


def module_of(builder: str) -> str:
    """Returns the file of keras.applications that defines a builder."""
    if builder in MODULES:
        return MODULES[builder]
    for prefix, module in PREFIXES.items():
        if builder.startswith(prefix):
            return module
    return "resnet_v2" if builder.endswith("V2") else "resnet"


def replace_builders() -> dict:
    """Puts our builders into the places of those of keras.applications, and returns name -> our builder."""
    from kerasnets.build import builder
    from kerasnets.registry import get_variant

    builders = {theirs: builder(get_variant(ours)) for theirs, ours in pairs().items()}
    for name, made in builders.items():
        made.__name__ = name  # the tests are named by it
        module = importlib.import_module(f"keras.src.applications.{module_of(name)}")
        getattr(module, name)  # an AttributeError, where Keras has no such network
        setattr(module, name, made)
    return builders


def fetch(folder: Path, file: str | None) -> Path:
    """Returns a copy of the test file in `folder`.

    Raises:
        SystemExit: it cannot be fetched, or is another one.
    """
    try:
        content = Path(file).read_bytes() if file else urllib.request.urlopen(URL, timeout=30).read()
    except OSError as error:
        sys.exit(f"{file or URL} could not be read: {error}; --file names a copy on this machine.")
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        sys.exit(f"{file or URL} is not the file of commit {COMMIT}: its SHA-256 is {found}.")
    path = folder / "applications_test.py"
    path.write_bytes(content)
    return path


class Outcomes:
    """A pytest plugin that counts the outcomes of each builder."""

    def __init__(self):
        self.counts, self.failures = {}, []

    def pytest_runtest_logreport(self, report):
        if report.when != "call" and not (report.when == "setup" and report.failed):
            return
        builder = report.nodeid.removesuffix("_channels_last").rpartition("_")[2]
        passed, ran = self.counts.get(builder, (0, 0))
        self.counts[builder] = passed + report.passed, ran + 1
        if report.failed:
            self.failures.append(report.nodeid.rpartition("::")[2])


def run(path: Path, builders: list[str]) -> Outcomes:
    """Runs the tests of `builders` in this process."""
    import pytest

    found = Outcomes()
    wanted = " or ".join(f"{builder}_channels_last" for builder in builders)
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(path.parent), "-c", os.devnull]
    pytest.main([str(path), *options, "-k", f"({wanted}) and not application_base"], [found])
    return found


def table(found: Outcomes) -> str:
    """Returns the outcomes in Markdown."""
    ours, total = pairs(), [sum(numbers) for numbers in zip(*found.counts.values(), strict=True)]
    lines = ["| builder | variant | passed |", "| --- | --- | ---: |"]
    for builder, (passed, ran) in sorted(found.counts.items()):
        lines.append(f"| `{builder}` | `{ours[builder]}` | {passed} of {ran} |")
    versions = f"Keras {version('keras')}, TensorFlow {version('tensorflow')}"
    return "\n".join([*lines, f"| all | {versions} | {total[0]} of {total[1]} |"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", help="a copy of the test file, instead of a download")
    parser.add_argument("--only", nargs="+", default=sorted(pairs()), help="names of builders")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = fetch(Path(folder), options.file)
        ours = replace_builders()
        found = run(path, options.only)
    tested = {app.__name__: app for app, *_ in sys.modules["applications_test"].MODEL_LIST}
    assert all(tested[name] is made for name, made in ours.items()), "the tests ran on other builders"
    print(table(found))
    if options.write:
        sys.path.insert(0, str(ROOT / "docs"))
        from make_tables import write_table

        write_table(ROOT / "docs" / "benchmarks.md", "neutral", table(found))
    return bool(found.failures) or not found.counts


if __name__ == "__main__":
    sys.exit(main())
