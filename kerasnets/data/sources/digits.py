"""scikit-learn's handwritten digits: 1,797 grey images of 8 x 8 pixels in ten classes; nothing is downloaded."""

import numpy as np

from kerasnets.data.labels import DIGITS
from kerasnets.data.sources.arrays import from_arrays, pad
from kerasnets.data.sources.source import Source, check_split
from kerasnets.recipe.data_options import SourceOptions


def open_digits(options: SourceOptions, split: str) -> Source:
    """Opens the digits, 0-16 scaled to 0-255. The test split is always the same fifth of each class."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    check_split(split, ("train", "test"), "digits")
    digits = load_digits()
    images = np.round(digits.images * (255.0 / 16.0)).astype("uint8")[..., np.newaxis]
    train, test = train_test_split(np.arange(len(images)), test_size=0.2, stratify=digits.target, random_state=0)
    chosen = np.sort(train if split == "train" else test)
    return from_arrays("digits", split, pad(images[chosen], options.pad), digits.target[chosen], DIGITS)
