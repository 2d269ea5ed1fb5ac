"""How well a test subset can measure: the 95 % interval of a share of so many images, and how many an interval takes.

Source: Wilson, Probable inference, 1927; a score interval, which holds for few images, and for none or all of them.
"""

import math

Z = 1.959963984540054  # of a normal distribution, 2.5 % lie above


def interval(right: int, images: int) -> tuple[float, float]:
    """The 95 % interval, in [0, 1], of an accuracy of which `right` of so many images, at least one, are right."""
    share, square = right / images, Z * Z / images
    middle = (share + square / 2) / (1 + square)
    half = Z * math.sqrt(share * (1 - share) / images + square / images / 4) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def margin(images: int) -> float:
    """Half the widest interval of so many images, that of an accuracy of one half; 0.5, no knowledge, of none."""
    return Z / 2 / math.sqrt(images + Z * Z)


def needed(margin: float) -> int:
    """The fewest images whose interval is within ± `margin`, in (0, 0.5], whatever the accuracy."""
    return max(1, math.ceil(Z * Z * (1 / (4 * margin * margin) - 1) - 1e-9))
