"""Sobel's and Canny's edge maps by scikit-image: what a detector that learns nothing has."""

import numpy as np
import numpy.typing as npt
from skimage.color import rgb2gray
from skimage.feature import canny
from skimage.filters import gaussian, sobel

from longtail.data.jpeg import Pixels

SOBEL_SIGMA, CANNY_SIGMA = 2.0, 3.0  # pixels
STEEP = 0.25  # of the range of grey
LOW = 0.4  # of the upper threshold: the lower one of hysteresis
STEPS = 33  # upper thresholds, at quantiles of the photograph's gradients
Map = npt.NDArray[np.float32]


def sobel_map(pixels: Pixels) -> Map:
    """The magnitude of the gradient of a smoothed photograph, uint8 H×W×C, as a share of STEEP: H×W in 0 to 1."""
    magnitude = sobel(gaussian(_grey(pixels), SOBEL_SIGMA))  # type: ignore[no-untyped-call]
    return np.asarray(np.minimum(magnitude / STEEP, 1), np.float32)


def canny_map(pixels: Pixels) -> Map:
    """The largest upper threshold at which a pixel of a photograph, uint8 H×W×C, is an edge, as a quantile of its
    gradients, from 0.5 on; brought to 0 to 1. Thin: without non-maximum suppression of its own.
    """
    grey, found = _grey(pixels), np.zeros(pixels.shape[:2], np.float32)
    if np.ptp(grey) == 0:  # of one grey: the quantiles would be those of rounding
        return found
    for step in range(STEPS):
        high = 0.5 + 0.5 * step / STEPS
        edges = canny(grey, CANNY_SIGMA, low_threshold=LOW * high, high_threshold=high, use_quantiles=True)  # type: ignore[no-untyped-call]
        found[edges] = (step + 1.5) / (STEPS + 1)  # between two of as many thresholds
    return found


def _grey(pixels: Pixels) -> npt.NDArray[np.float64]:
    """H×W in 0 to 1."""
    grey: npt.NDArray[np.float64] = rgb2gray(pixels) if pixels.shape[2] == 3 else pixels[..., 0] / 255
    return grey
