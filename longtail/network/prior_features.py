"""Hand-crafted prior features for the first clustering (LMLE, section 3.2, step 1)."""

import numpy as np
import numpy.typing as npt
from skimage.feature import hog

Floats = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]


def pixels(images: Images) -> Floats:
    """N×H×W×C to the centred, L2-normalised pixels, N×(H·W·C)."""
    return _normalise(images.reshape(len(images), int(np.prod(images.shape[1:]))).astype(np.float32))


def histograms_of_gradients(images: Images) -> Floats:
    """N×H×W×C to L2-normalised histograms of oriented gradients (Dalal and Triggs 2005), 9 bins in 7 cells a side."""
    cell = (max(2, images.shape[1] // 7), max(2, images.shape[2] // 7))
    some = images if len(images) else np.zeros((1, *images.shape[1:]), np.uint8)  # how long the features are
    features = [hog(image, pixels_per_cell=cell, cells_per_block=(2, 2), channel_axis=-1) for image in some]
    return _normalise(np.asarray(features, np.float32)[: len(images)])


def _normalise(features: Floats) -> Floats:
    centred = features - features.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    normalised: Floats = centred / np.maximum(norms, 1e-12)
    return normalised
