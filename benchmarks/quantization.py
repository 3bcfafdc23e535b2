"""Accuracy of int8 files: after training, plain and improved, and after quantisation-aware training.

    python benchmarks/quantization.py runs RUN... [--epochs 1] [--images 10000]
    python benchmarks/quantization.py photos FOLDER NETWORK=WEIGHTS...
    python benchmarks/quantization.py page

`runs` takes finished runs (benchmarks/quantization.yaml) and trains each further with the recipe key `quantize`. Files
are judged on held-out images of the run. `photos` takes public weights and a folder of photos in folders of WordNet
ids, takes the ranges from one half and judges on the other. Both add to docs/quantization.json; `page` writes
docs/quantization.md from it.

"Plain" is TFLite's converter with a representative data set of 500 images. "Improved" is what `kerasnets export` does
with up to 500. Every file is judged on the same images. The intervals of shares are Wilson's for 95 %.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from quantization_page import RESULTS, write_page

from kerasnets.compression.quantization import is_quantization_aware
from kerasnets.compression.quantization_file import fixed, without_norms
from kerasnets.compression.quantization_post import rounded
from kerasnets.data.images.per_image import normalise
from kerasnets.data.sources import open_source
from kerasnets.exporters.images import sample
from kerasnets.exporters.open_network import LoadedNetwork, classifier, open_network, probabilities
from kerasnets.exporters.tflite import load_tflite, tflite_bytes
from kerasnets.graph.fold import inference_form
from kerasnets.layers.fake_quantize import FakeQuantize
from kerasnets.recipe.data_options import SourceOptions
from kerasnets.runs.folder import open_run
from kerasnets.training.loop import train

CALIBRATION = 500


def file_answers(content: bytes, pixels: np.ndarray) -> tuple[np.ndarray, int]:
    """Returns what a file gives for images, and how many of its scales it has."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.tflite"
        path.write_bytes(content)
        return load_tflite(path, threads=None).run(pixels)


def scales_of(content: bytes) -> np.ndarray:
    """Returns the scales of all activations in a file."""
    from ai_edge_litert.interpreter import Interpreter

    details = Interpreter(model_content=content).get_tensor_details()
    found = [each["quantization_parameters"]["scales"] for each in details]
    return np.array([float(each[0]) for each in found if len(each) == 1])


def ranges_missing(network, content: bytes) -> int:
    """Returns how many trained ranges a file has no scale for, to 1 part in 100,000."""
    scales, missing = scales_of(content), 0
    for layer in network.layers:
        if isinstance(layer, FakeQuantize):
            low, high = layer.range
            missing += bool(np.abs(scales / ((high - low) / 255) - 1).min() > 1e-5)
    return missing


def plain(model, network: LoadedNetwork, calibration: np.ndarray, form: str = "tflite-int8") -> bytes:
    """Returns the file of TFLite's converter."""
    return tflite_bytes(inference_form(model), network.preprocessing, form, calibration)


def improved(model, network: LoadedNetwork, calibration: np.ndarray) -> bytes:
    """Returns the file of `kerasnets export`."""
    found = rounded(inference_form(model), normalise(calibration, network.preprocessing))
    return tflite_bytes(fixed(found), network.preprocessing, "tflite-int8")


def counts(answers: np.ndarray, labels: np.ndarray, expected: np.ndarray | None) -> dict:
    """Returns how many of the images are right, and on how many a file agrees with its network.

    `tied` counts the disagreements in which the file gives two classes the same highest probability.
    """
    five = np.argsort(-answers, axis=-1)[:, :5]
    found = {"images": len(labels), "right": int(np.sum(answers.argmax(-1) == labels))}
    found["right5"] = int(np.sum(five == labels[:, None]))
    if expected is not None:
        same, two = answers.argmax(-1) == expected.argmax(-1), np.sort(answers, axis=-1)[:, -2:]
        found |= {"agree": int(np.sum(same)), "tied": int(np.sum(~same & (two[:, 0] == two[:, 1])))}
    return found


def measure_run(path: Path, epochs: float, images: int, *, smoke: bool) -> dict:
    """Returns the rows of a finished run: form -> counts."""
    run = open_run(path)
    network = open_network(path)
    model, numbers, data = classifier(network.model), network.preprocessing, network.data
    pixels, labels = sample(open_source(data.source, data.evaluation_split), numbers, images)
    calibration = sample(open_source(data.source, data.train_split), numbers, CALIBRATION)[0]
    expected = probabilities(model, pixels, numbers)
    rows = {"float": counts(expected, labels, None)}
    for name, make in (("plain int8", plain), ("improved int8", improved)):
        rows[name] = counts(file_answers(make(model, network, calibration), pixels), labels, expected)
        print(path.name, name, rows[name], flush=True)
    aware = quantised_run(run, epochs, smoke=smoke)
    trained = classifier(aware.model)
    assert is_quantization_aware(trained)
    content = tflite_bytes(fixed(without_norms(inference_form(trained))), numbers, "tflite-int8")
    of_network = probabilities(trained, pixels, numbers)
    rows["network after QAT"] = counts(of_network, labels, None)
    rows["int8 after QAT"] = counts(file_answers(content, pixels), labels, of_network)
    rows["int8 after QAT"]["ranges_missing"] = ranges_missing(aware.model, content)
    print(path.name, rows["int8 after QAT"], flush=True)
    return {"size": numbers.size, "float_epochs": run.recipe.epochs, "qat_epochs": aware.recipe.epochs, "rows": rows}


def quantised_run(run, epochs: int, *, smoke: bool):
    """Trains a run further with rounding, or opens the run that was."""
    changes = {
        "model": run.recipe.model.model_copy(update={"start": {"weights": str(run.path / "model.keras")}}),
        "epochs": epochs,
        "optimizer": {**run.recipe.optimizer.model_dump(), "learning_rate": run.recipe.optimizer.learning_rate / 20},
        "quantize": {"freeze_batch_norm_from": epochs - 1} if epochs > 1 else {},
    }
    recipe = type(run.recipe).model_validate(
        run.recipe.model_dump() | changes | {"model": changes["model"].model_dump()}
    )
    folder = run.path.with_name(f"{run.path.name}_qat")
    return train(recipe, folder, resume=not smoke, overwrite=smoke, smoke=smoke, progress=False)


def measure_photos(folder: Path, name: str, weights: str) -> dict:
    """Returns the rows of a network with public weights, on photos in folders of WordNet ids."""
    network = open_network(name, weights)
    model, numbers = classifier(network.model), network.preprocessing
    source = open_source(SourceOptions(kind="folder", path=str(folder)), "all")
    pixels, labels = sample(source, numbers, source.size)
    labels = np.array([network.classes.index(source.classes[label]) for label in labels])
    calibration, pixels, labels = pixels[::2], pixels[1::2], labels[1::2]
    expected = probabilities(model, pixels, numbers)
    rows = {"float": counts(expected, labels, None)}
    int16 = plain(model, network, calibration, "tflite-int16x8")
    files = {"plain int8": plain(model, network, calibration), "improved int8": improved(model, network, calibration)}
    for form, content in (files | {"int16x8": int16}).items():
        rows[form] = counts(file_answers(content, pixels), labels, expected)
        print(name, form, rows[form], flush=True)
    return {"size": numbers.size, "rows": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("runs", "photos", "page"))
    parser.add_argument("names", nargs="*")
    parser.add_argument("--epochs", type=int, default=1, help="of the quantisation-aware training")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--smoke", action="store_true", help="two steps of training; nothing is kept")
    options = parser.parse_args()
    if options.what == "page":
        return write_page()
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    if options.what == "runs":
        for path in map(Path, options.names):
            found = measure_run(path, options.epochs, options.images, smoke=options.smoke)
            results.setdefault("cifar10", {})[path.name] = found
    else:
        folder, *networks = options.names
        for name, _, weights in (each.partition("=") for each in networks):
            results.setdefault("photos", {})[name] = measure_photos(Path(folder), name, weights)
    for rows in (found["rows"] for group in results.values() for found in group.values()):
        exact = rows["float"]["right"]
        print(
            *(
                f"ratio quantization_{form.replace(' ', '_')} {row['right'] / max(exact, 1):.4f}"
                for form, row in rows.items()
            ),
            sep="\n",
        )
    if not options.smoke:
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
