"""Judges every method of `kerasnets.explain` on photos, beside a random map.

    python benchmarks/explain.py [--net NAME --weights FILE --photos FOLDER] [--count 16] [--grids 12]

Prints for each method: the share of hits of the 2x2 grid pointing game (chance 25 %), the areas of deletion and
insertion with their 95 % intervals over the photos, the rank correlation with the maps of a network whose classifier
and all of whose weights are random, and the seconds for a photo. Only photos are used of which the network is surest;
deletion and insertion change 1,792 pixels in a step. By default these are EfficientNet-Lite0 with random weights and
crops of scikit-learn's two sample images, which says nothing.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

from input_pipeline import write_photos

# Heavy methods with fewer passes than their defaults; the table says so.
OPTIONS = {"rise": {"masks": 400}, "score_cam": {"maps_used": 48}, "smooth_grad": {"samples": 15}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="efficientnet_lite0")
    parser.add_argument("--weights")
    parser.add_argument("--photos")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--grids", type=int, default=12)
    parser.add_argument("--methods", default="")
    options = parser.parse_args()

    import kerasnets
    from kerasnets.explain import METHODS

    model = kerasnets.create_model(options.net, weights=options.weights)
    images, target = surest(model, options.photos, max(options.count, 4 * options.grids))
    print(f"{options.net}: {options.count} photos, {options.grids} grids")
    print("| method | pointing | deletion | insertion | classifier random | all random | seconds |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    ratios = []
    for name in ["random", *(options.methods.split(",") if options.methods else METHODS)]:
        try:
            cells, pointing = judged(name, model, (images, target), options)
        except ValueError as error:
            print(f"| {name} | not run: {error} | | | | | |")
            continue
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        ratios.append(f"ratio explain_pointing_{name}_per_chance {pointing / 0.25:.2f}")
    print("\n".join(ratios))


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


def judged(name: str, model, photos, options) -> tuple[list[str], float]:
    """Returns the cells of a method's row, and its share of hits; NaN where the photos have fewer than four classes."""
    import numpy as np

    from kerasnets import explain

    (images, target), count, seeds = photos, options.count, itertools.count()

    def method(model, images, target):
        if name == "random":
            return explain.random_maps(len(images), images.shape[1:3], next(seeds))
        return getattr(explain, name)(model, images, target, **OPTIONS.get(name, {}))

    start = time.perf_counter()
    maps = method(model, images[:count], target[:count].tolist())
    seconds = (time.perf_counter() - start) / count
    hits = np.array([np.nan])
    if len(np.unique(target)) >= 4:
        hits = explain.grid_pointing_game(method, model, images, target.tolist(), grids=options.grids)["hits"]
    cells = [f"{100 * hits.mean():.0f} %"]
    for score in (explain.deletion, explain.insertion):
        areas = score(model, images[:count], maps, target[:count].tolist(), pixels=1792)
        cells.append("{:.3f} ({:.3f}, {:.3f})".format(*explain.interval(areas)))
    changed = explain.randomisation(method, model, images[:4], target[:4].tolist(), steps=2)
    return [*cells, *(f"{value:.2f}" for value in changed.values()), f"{seconds:.2f}"], float(hits.mean())


if __name__ == "__main__":
    main()
