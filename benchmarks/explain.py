"""Judges every method of `kerasnets.explain` on photos, beside a random map.

    python benchmarks/explain.py [--net NAME --weights FILE --photos FOLDER] [--count 12] [--grids 12]
    python benchmarks/explain.py --step resnet50

Prints for each method: of the 2x2 grid pointing game the share of hits with its 95 % interval (chance 25 %) and the
share of photos that a box from the map finds (intersection over union of 0.5); the areas of deletion and insertion with
their 95 % intervals over the photos; the rank correlation with the maps of a network whose classifier and all of whose
weights are random; the seconds for a photo; and the scores in which the method does not beat the random map: the 95 %
interval of the difference, photo by photo, holds zero or lies on the wrong side.

Only photos are used of which the network is surest; deletion and insertion change 3,584 pixels in a step. By default
these are EfficientNet-Lite0 with random weights and crops of scikit-learn's two sample images, which says nothing.

--step measures the time of Grad-CAM for one image as a multiple of a training step of one image, both in this run.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

from input_pipeline import write_photos

# Heavy methods with fewer passes than their defaults; the table says so.
OPTIONS = {
    "rise": {"masks": 200},
    "score_cam": {"maps_used": 32},
    "smooth_grad": {"samples": 10},
    "integrated_gradients": {"steps": 16},
}
COLUMNS = (
    "method", "pointing (%)", "boxes (%)", "deletion", "insertion", "classifier random", "all random", "seconds",
    "no better than random",
)  # fmt: skip
SCORES = {"pointing": 1, "boxes": 1, "deletion": -1, "insertion": 1}  # and whether larger is better


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="efficientnet_lite0")
    parser.add_argument("--weights")
    parser.add_argument("--photos")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--grids", type=int, default=12)
    parser.add_argument("--methods", default="")
    parser.add_argument(
        "--step", metavar="NET", help="measure Grad-CAM against a training step of this network instead"
    )
    options = parser.parse_args()
    if options.step:
        against_a_step(options.step)
        return

    import kerasnets
    from kerasnets.explain import METHODS

    model = kerasnets.create_model(options.net, weights=options.weights)
    photos = surest(model, options.photos, max(options.count, 4 * options.grids))
    print(f"{options.net}: {options.count} photos, {options.grids} grids; {OPTIONS}")
    print(f"| {' | '.join(COLUMNS)} |")
    print(f"| --- | {' | '.join(['---:'] * (len(COLUMNS) - 2))} | --- |")
    found = {}
    for name in ["random", *(options.methods.split(",") if options.methods else METHODS)]:
        try:
            scores, rest = judged(name, model, photos, options)
        except ValueError as error:
            print(f"{name} was not run: {error}")
            continue
        found[name] = scores
        worse = "" if name == "random" else ", ".join(not_better(scores, found["random"]))
        print(f"| {name} | {' | '.join([*cells(scores), *rest, worse])} |", flush=True)
    for name, scores in found.items():
        hits = scores["pointing"].mean() if "pointing" in scores else float("nan")  # photos of fewer than four classes
        print(f"ratio explain_pointing_{name}_per_chance {hits / 0.25:.2f}")


def surest(model, photos: str | None, count: int):
    """Returns the images of which a network is surest, by the distance of its two largest logits, and their classes."""
    import numpy as np

    import kerasnets
    from kerasnets.data.images.files import load_files
    from kerasnets.data.images.suffixes import image_files
    from kerasnets.explain.network import all_logits

    with tempfile.TemporaryDirectory() as folder:
        if not photos:
            write_photos(Path(folder), 8)
        files = list(image_files([photos or folder]))
        pixels = [each for each in load_files(files, model.preprocessing) if not isinstance(each, Exception)]
    parts = [np.stack(pixels[start : start + 32]) for start in range(0, len(pixels), 32)]
    images = np.concatenate([kerasnets.preprocess_input(part, model) for part in parts])
    logits = all_logits(model, images)
    best = np.argsort(-np.ptp(np.sort(logits, axis=1)[:, -2:], axis=1), kind="stable")[:count]
    return images[best], logits.argmax(axis=1)[best]


def judged(name: str, model, photos, options) -> tuple[dict, list[str]]:
    """Returns a method's scores, one for each photo, and the cells of what is one number for all photos."""
    from kerasnets import explain

    (images, target), count, seeds = photos, options.count, itertools.count()

    def method(model, images, target):
        if name == "random":
            return explain.random_maps(len(images), images.shape[1:3], next(seeds))
        return getattr(explain, name)(model, images, target, **OPTIONS.get(name, {}))

    start = time.perf_counter()
    maps = method(model, images[:count], target[:count].tolist())
    seconds = (time.perf_counter() - start) / count
    scores = {}
    if len(set(target.tolist())) >= 4:
        grid = explain.grid_pointing_game(method, model, images, target.tolist(), grids=options.grids)
        scores = {"pointing": grid["hits"].astype(float), "boxes": (grid["overlaps"] >= 0.5).astype(float)}
    for score in (explain.deletion, explain.insertion):
        scores[score.__name__] = score(model, images[:count], maps, target[:count].tolist(), pixels=3584)
    changed = explain.randomisation(method, model, images[:2], target[:2].tolist(), steps=2)
    return scores, [*(f"{value:.2f}" for value in changed.values()), f"{seconds:.2f}"]


def cells(scores: dict) -> list[str]:
    from kerasnets import explain

    shown = []
    for name in SCORES:
        if name not in scores:
            shown.append("")
            continue
        mean, low, high = explain.interval(scores[name])
        if name == "boxes":
            shown.append(f"{100 * mean:.0f}")
        elif name == "pointing":
            shown.append(f"{100 * mean:.0f} ({100 * low:.0f}, {100 * high:.0f})")
        else:
            shown.append(f"{mean:.3f} ({low:.3f}, {high:.3f})")
    return shown


def not_better(scores: dict, control: dict) -> list[str]:
    """Returns the scores in which a method does not beat the random map on the same photos."""
    import numpy as np

    from kerasnets import explain

    gains = {name: sign * (scores[name] - control[name]) for name, sign in SCORES.items() if name in scores}
    return [name for name, gain in gains.items() if not np.ptp(gain) or explain.interval(gain)[1] <= 0]


def against_a_step(net: str, rounds: int = 15):
    """Prints the median times of a training step and of Grad-CAM for one image, in turns, and their ratio."""
    import numpy as np

    import kerasnets
    from kerasnets import explain

    model = kerasnets.create_model(net)
    image = np.random.default_rng(0).normal(size=(1, *model.input_shape[1:])).astype("float32")
    model.compile("sgd", "sparse_categorical_crossentropy")
    sides = {
        "step": lambda: model.train_on_batch(image, np.zeros(1)),
        "grad_cam": lambda: explain.grad_cam(model, image),
    }
    times = {name: [] for name in sides}
    for number in range(rounds + 2):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            if number >= 2:
                times[name].append(time.perf_counter() - start)
    for name, own in times.items():
        low, middle, high = 1e3 * np.percentile(own, (25, 50, 75))
        print(f"{net}, {name}: median {middle:.0f} ms, quartiles {low:.0f} to {high:.0f} ms, {rounds} runs")
    ratio = np.median(times["step"]) / np.median(times["grad_cam"])
    print(f"Grad-CAM takes {1 / ratio:.2f} times a training step")
    print(f"ratio explain_step_per_grad_cam {ratio:.2f}")


if __name__ == "__main__":
    main()
