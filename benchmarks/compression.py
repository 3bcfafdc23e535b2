"""Sizes and accuracies of compressed networks, beside the published ones.

    python benchmarks/compression.py squeezenet --net FILE.net --weights FILE.safetensors --photos FOLDER [--write]
    python benchmarks/compression.py runs RUN RUN RUN --bits 5 --row lenet5_caffe [--write]
    python benchmarks/compression.py narrowed --weights FILE.pth --photos FOLDER [--seeds 3] [--write]

`squeezenet` reads the published file of Deep Compression, codes it again without loss, and shares the float weights
anew with 6 and with 5 bits. Every second photo, without its label, calibrates; the others are judged. FOLDER holds one
folder of photos for each WordNet id. `runs` compresses runs of one recipe with several seeds and judges the decoded
files on the test images. Sizes are those of the files: codebooks, indices, biases and headers included.

`narrowed` fine-tunes EfficientNet-Lite0, removes channels until half of the multiply-adds are left, and trains on. The
same narrow network is trained from scratch beside it. Every fifth photo of a class is held out. The latency is that of
the TFLite files with one thread.

`--write` keeps the rows in docs/compression.json, and puts the tables into docs/compression.md and the chart beside it.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
# Key, network and data, published figure; a result stands beside it once it was measured.
ROWS = (
    ("squeezenet_float", "SqueezeNet v1.0, ImageNet photos, float32", "4,998,352 bytes as .safetensors"),
    ("squeezenet_published", "the same, published file", "675,763 bytes"),
    ("squeezenet_recoded", "the same, coded without loss", "559,656 bytes (`xz -9e`)"),
    ("squeezenet_6", "the same, 6 bits", "0.47 MB (file not published)"),
    ("squeezenet_5", "the same, 5 bits", "none"),
    ("lenet5_caffe", "LeNet-5 of Caffe, MNIST", "39 and 46 times, 0.74 % error"),
    ("lenet_300_100", "LeNet-300-100, MNIST", "40 times, 1.58 % and 48 times, 1.8 % error"),
    ("lenet5", "LeNet-5, MNIST", "none"),
    ("resnet20_cifar", "ResNet-20, CIFAR-10 (JPEG)", "none"),
)
# The same for networks with fewer channels.
NARROW_ROWS = (
    ("narrowed_before", "EfficientNet-Lite0, fine-tuned"),
    ("narrowed", "half of the multiply-adds, trained on"),
    ("narrowed_scratch", "the same network, from scratch"),
)
BEGIN = "<!-- results: begin, written by `python benchmarks/compression.py --write` -->\n"
END = "<!-- results: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    squeezenet = commands.add_parser("squeezenet")
    squeezenet.add_argument("--net", required=True)
    squeezenet.add_argument("--weights", required=True)
    squeezenet.add_argument("--photos", required=True)
    squeezenet.add_argument("--rows", help="keys of ROWS, with commas; by default all of SqueezeNet")
    runs = commands.add_parser("runs")
    runs.add_argument("runs", nargs="+")
    runs.add_argument("--bits", type=int, default=5)
    runs.add_argument("--row", required=True)
    narrow = commands.add_parser("narrowed")
    narrow.add_argument("--weights", required=True)
    narrow.add_argument("--photos", required=True)
    narrow.add_argument("--seeds", type=int, default=3)
    for command in (squeezenet, runs, narrow):
        command.add_argument("--write", action="store_true")
    options = parser.parse_args()
    measure = {"squeezenet": of_squeezenet, "runs": of_runs, "narrowed": of_narrowed}[options.command]
    for key, row in measure(options):
        print(key, json.dumps(row), flush=True)
        if options.write:
            write(key, row)


def write(key: str, row: dict) -> None:
    """Keeps a row in docs/compression.json, and puts the table into docs/compression.md."""
    path, page = DOCS / "compression.json", DOCS / "compression.md"
    known = (json.loads(path.read_text()) if path.exists() else {}) | {key: row}
    path.write_text(json.dumps(known, indent=1) + "\n")
    text = page.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    page.write_text(before + BEGIN + table(known) + "\n" + narrow_table(known) + END + after, encoding="utf-8")
    draw(known)


def table(results: dict) -> str:
    """Returns the rows in Markdown; those without a result say so."""
    lines = [
        "| network and data | published | bytes | times smaller | top-1 | seeds |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for key, name, published in ROWS:
        row = results.get(key)
        cells = ["not run", "", "", ""]
        if row:
            cells = [
                f"{row['bytes']:,.0f}",
                f"{row['ratio']:.1f}",
                f"{100 * row['top1']:.2f} %",
                str(row.get("seeds", "")),
            ]
        lines.append(f"| {name} | {published} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def narrow_table(results: dict) -> str:
    """Returns the rows of the networks with fewer channels in Markdown."""
    lines = [
        "| network, photos | multiply-adds | bytes of the TFLite file | latency | top-1, mean | seeds |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for key, name in NARROW_ROWS:
        row = results.get(key)
        cells = ["not run", "", "", "", ""]
        if row:
            cells = [f"{row['multiply_adds'] / 1e6:.0f} million", f"{row['bytes']:,}", f"{row['latency_ms']:.1f} ms"]
            cells += [f"{100 * row['top1']:.1f} % of {row['photos']}", str(row["seeds"])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(results: dict) -> None:
    """Draws the accuracy of SqueezeNet against the size of its file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for key, name, _ in ROWS:
        if key.startswith("squeezenet") and key in results:
            point = results[key]["bytes"] / 1000, 100 * results[key]["top1"]
            axes.plot(*point, "o", color="#1f5aa6")
            axes.annotate(name.rpartition(", ")[2], point, (6, -6), textcoords="offset points", va="top", rotation=-30)
    axes.set(xlabel="size of the file, kB", ylabel="top-1, %", title="SqueezeNet v1.0", ylim=(50, 60))
    axes.set_xscale("log")
    axes.set_xticks([200, 300, 500, 1000, 2000, 5000, 8000], ["200", "300", "500", "1,000", "2,000", "5,000", "8,000"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    figure.savefig(DOCS / "_static" / "compression.png", dpi=110)


def of_squeezenet(options):
    """Yields the keys and rows of SqueezeNet."""
    import numpy as np

    import kerasnets
    from kerasnets.data.class_names import imagenet_ids
    from kerasnets.data.images.per_image import load_image

    model = kerasnets.create_model("squeezenet1_0")
    files = sorted(file for file in Path(options.photos).rglob("*.*") if file.parent.name in imagenet_ids(1000))
    labels = np.array([imagenet_ids(1000).index(file.parent.name) for file in files])
    images = np.stack([np.asarray(load_image(file, model.preprocessing)).astype("uint8") for file in files])
    judged = (images[1::2], labels[1::2])
    print(f"{len(files)} photos: {len(images[0::2])} calibrate, {len(judged[0])} are judged")
    wanted = options.rows.split(",") if options.rows else [key for key, *_ in ROWS if key.startswith("squeezenet")]
    row, answers = judge(options.weights, judged)
    if "squeezenet_float" in wanted:
        yield "squeezenet_float", row
    if "squeezenet_published" in wanted:
        yield "squeezenet_published", judge(options.net, judged, answers)[0]
    for key, source, settings in (
        ("squeezenet_recoded", options.net, {"bits": None}),
        ("squeezenet_6", options.weights, {"bits": 6, "calibrate": images[0::2]}),
        ("squeezenet_5", options.weights, {"bits": 5, "calibrate": images[0::2]}),
    ):
        if key in wanted:
            with tempfile.TemporaryDirectory() as folder:
                path, start = Path(folder) / f"{key}.knc", time.process_time()
                kerasnets.compress("squeezenet1_0", path, weights=source, **settings)
                written = time.process_time() - start
                yield key, judge(path, judged, answers)[0] | {"seconds_of_compress": round(written, 1)}


def judge(source, images, answers=None) -> tuple[dict, object]:
    """Returns size, reading time, accuracy and agreement of SqueezeNet with the weights in a file, and its answers."""
    import numpy as np

    import kerasnets
    from kerasnets.exporters.open_network import probabilities
    from kerasnets.weights.files import open_checkpoint

    start = time.process_time()
    with open_checkpoint(source) as checkpoint:
        count = sum(checkpoint[name].size for name in checkpoint)
    read = time.process_time() - start
    model = kerasnets.create_model("squeezenet1_0", weights=str(source))
    found = probabilities(model, images[0], model.preprocessing).argmax(-1)
    size = Path(source).stat().st_size
    row = {"bytes": size, "ratio": 4 * count / size, "top1": float(np.mean(found == images[1])), "photos": len(found)}
    row |= {"seconds_read": round(read, 2), "agreement": None if answers is None else float(np.mean(found == answers))}
    return row, found if answers is None else answers


def of_runs(options):
    """Yields the key and row of runs that differ in their seeds: the means, and the values of each."""
    import numpy as np

    import kerasnets
    from kerasnets.data.sources import open_source
    from kerasnets.evaluation.evaluate import score
    from kerasnets.runs.folder import open_run

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, place in enumerate(options.runs):
            run, path = open_run(place), Path(folder) / f"{number}.knc"
            report = kerasnets.compress(place, path, bits=options.bits)
            kerasnets.load_weights(run.model, path)  # what is judged is the decoded file
            source = open_source(run.recipe.data.source, run.recipe.data.evaluation_split)
            result = score(run.model, source, run.preprocessing, run.recipe.data, batch_size=250)
            rows.append(
                {"bytes": report["bytes"], "ratio": report["ratio"], "top1": result["top1"], "kept": report["kept"]}
            )
            print(json.dumps(rows[-1]), flush=True)
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    yield options.row, means | {"seeds": len(rows), "each": rows}


def of_narrowed(options):
    """Yields the rows of the fine-tuned network, of the narrowed one, and of the same narrow one from scratch."""
    import keras
    import numpy as np

    import kerasnets
    from kerasnets.compression.structured import narrowed

    found = {key: [] for key, _ in NARROW_ROWS}
    train, held_out = photos_of(options.photos)
    for seed in range(options.seeds):
        keras.utils.set_random_seed(seed)
        model = kerasnets.create_model("efficientnet_lite0", classes=len(set(train[1])), weights=options.weights)
        judged = {"narrowed_before": fitted(model, train, epochs=10)}
        limit = kerasnets.complexity(model).multiply_adds / 2
        small = next(
            candidate
            for share in np.arange(0.2, 0.8, 0.025)
            if kerasnets.complexity(candidate := narrowed(model, share)).multiply_adds <= limit
        )
        scratch = type(small).from_config(small.get_config())
        scratch.preprocessing = small.preprocessing
        judged |= {"narrowed": fitted(small, train, epochs=20), "narrowed_scratch": fitted(scratch, train, epochs=30)}
        for key, network in judged.items():
            found[key].append(measured(network, held_out))
            print(seed, key, json.dumps(found[key][-1]), flush=True)
    for key, rows in found.items():
        means = {name: float(np.mean([row[name] for row in rows])) for name in ("latency_ms", "top1")}
        yield key, rows[0] | means | {"seeds": len(rows), "each": rows}


def photos_of(folder: str):
    """Returns photos and labels for training, and those that are held out."""
    import numpy as np

    import kerasnets
    from kerasnets.data.images.per_image import load_image

    preprocessing = kerasnets.model_info("efficientnet_lite0").preprocessing
    parts = ([], []), ([], [])
    for label, place in enumerate(sorted(path for path in Path(folder).iterdir() if path.is_dir())):
        for number, file in enumerate(sorted(place.iterdir())):
            images, labels = parts[number % 5 == 0]
            images.append(np.asarray(load_image(file, preprocessing)).astype("uint8"))
            labels.append(label)
    return [(np.stack(images), np.array(labels)) for images, labels in parts]


def fitted(model, photos, epochs: int):
    """Trains a model and returns it."""
    import keras

    from kerasnets.data.images.per_image import normalise

    steps = epochs * -(-len(photos[1]) // 32)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # a few hundred steps are too few for averages over a hundred
    optimizer = keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(1e-3, steps), weight_decay=0.05)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.fit(normalise(photos[0], model.preprocessing), photos[1], batch_size=32, epochs=epochs, verbose=0)
    return model


def measured(model, held_out) -> dict:
    """Returns multiply-adds, accuracy, and the bytes and the latency of the TFLite file."""
    import numpy as np

    import kerasnets
    from kerasnets.exporters.latency import measure_latency
    from kerasnets.exporters.open_network import probabilities

    found = probabilities(model, held_out[0], model.preprocessing).argmax(-1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.tflite"
        kerasnets.export(model, "tflite", held_out[0][:8], path)
        latency, size = measure_latency(path)[0]["median_ms"], path.stat().st_size
    row = {"multiply_adds": kerasnets.complexity(model).multiply_adds, "latency_ms": latency, "bytes": size}
    return row | {"top1": float(np.mean(found == held_out[1])), "photos": len(found)}


if __name__ == "__main__":
    main()
