"""95 % intervals of shares that were counted on a number of images."""

import math

# The 97.5 % quantile of the normal distribution.
_Z = 1.959964


def share_interval(successes: int, count: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share (Wilson 1927, "Probable Inference, the Law of Succession")."""
    from scipy.stats import binomtest

    if count == 0:
        return 0.0, 1.0
    found = binomtest(successes, count).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def drop_interval(lost: int, gained: int, count: int) -> tuple[float, float]:
    """Returns the 95 % interval of a drop in accuracy, when both networks judged the same images.

    Agresti and Min 2005, "Simple Improved Confidence Intervals for Comparing Matched Proportions": half an image is
    added to each of the four cells of the table.

    Args:
        lost: images that only the first network classifies correctly.
        gained: images that only the second network classifies correctly.
        count: all images.
    """
    lost, gained, count = lost + 0.5, gained + 0.5, count + 2
    drop = (lost - gained) / count
    half = _Z * math.sqrt(lost + gained - (lost - gained) ** 2 / count) / count
    return max(-1.0, drop - half), min(1.0, drop + half)
