"""Compares the answers of `kerasnets.optimize` in bfloat16 with those in float32, on photos.

    python benchmarks/bfloat16_agreement.py [--net NAME --weights FILE --photos FOLDER]

Prints the share of photos with the same top-1 class and the largest difference of a probability. By default these are
EfficientNet-Lite0 with random weights and crops of scikit-learn's two sample images, which says little. It needs no
hardware for bfloat16; without, it is slow.
"""

import argparse
import tempfile
from pathlib import Path

from input_pipeline import write_photos


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="efficientnet_lite0")
    parser.add_argument("--weights")
    parser.add_argument("--photos")
    options = parser.parse_args()
    import numpy as np

    import kerasnets
    from kerasnets.data.images.files import load_files
    from kerasnets.data.images.suffixes import image_files

    model = kerasnets.create_model(options.net, weights=options.weights)
    forms = [kerasnets.optimize(model, precision) for precision in ("float32", "bfloat16")]
    with tempfile.TemporaryDirectory() as folder:
        if not options.photos:
            write_photos(Path(folder), 16)
        files = list(image_files([options.photos or folder]))
        pixels = [each for each in load_files(files, model.preprocessing) if not isinstance(each, Exception)]
    same, largest = 0, 0.0
    for start in range(0, len(pixels), 16):
        images = kerasnets.preprocess_input(np.stack(pixels[start : start + 16]), model)
        plain, short = (np.asarray(form(images)) for form in forms)
        same += int((plain.argmax(-1) == short.argmax(-1)).sum())
        largest = max(largest, float(np.abs(plain - short).max()))
    print(f"{options.net}: same top-1 class on {same} of {len(pixels)} photos, largest difference {largest:.3f}")
    print(f"ratio bfloat16_agreement_{options.net} {same / len(pixels):.3f}")


if __name__ == "__main__":
    main()
