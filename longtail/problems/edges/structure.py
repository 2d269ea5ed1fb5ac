"""Classes of edges by the structure of what was drawn: k-means on DAISY descriptors, as Sketch Tokens has it.

J. Lim, C. L. Zitnick, P. Dollár: Sketch Tokens: A Learned Mid-level Representation for Contour and Object Detection,
CVPR 2013: 150 clusters of binary patches of 35×35 with a contour pixel at the centre. DeepContour (Shen et al., CVPR
2015) takes them over. The numbers of the descriptor are printed nowhere: here it reaches the patch's border.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from longtail.data.photographs import Bools, window
from longtail.errors import DataError
from longtail.problems.edges.processes import mapped
from longtail.progress import Advance
from longtail.rules.clusters import kmeans
from longtail.rules.knn import nearest

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

SIDE = 35  # of the patches that are described, in pixels
RINGS, HISTOGRAMS, ORIENTATIONS = 2, 8, 4
WORTH = 2_000  # patches that take as long to describe as a process to begin


def describe_places(drawn: Sequence[tuple[Bools, Ints]], workers: int) -> Floats:
    """DAISY descriptors, one below another, of what was drawn about each place: of each photograph its boundaries A×H×W
    and places (n, 3), as `sampling.draw_places` gives them. In as many as `workers` processes, where that is faster.
    """
    processes = min(workers, sum(len(places) for _, places in drawn) // WORTH)
    with Advance("shapes of edges", len(drawn)) as advance:
        described = []
        for of_one in mapped(_about_places, drawn, processes):
            described.append(of_one)
            advance.add()
    return np.concatenate(described)


def _about_places(drawn: tuple[Bools, Ints]) -> Floats:
    boundaries, places = drawn
    about = [window(boundaries[annotator], y, x, SIDE) for annotator, y, x in places.tolist()]
    return describe(np.array(about, np.bool_).reshape(-1, SIDE, SIDE))


def describe(patches: Bools) -> Floats:
    """DAISY descriptors (n, (RINGS · HISTOGRAMS + 1) · ORIENTATIONS) of n×SIDE×SIDE boundary patches."""
    try:
        from skimage.feature import daisy
    except ImportError as error:
        raise DataError(
            f"classes of edges need scikit-image: {error}; install longtail with its extra `torch`"
        ) from error

    length = (RINGS * HISTOGRAMS + 1) * ORIENTATIONS
    described = np.empty((len(patches), length), np.float32)
    for row, patch in enumerate(patches.astype(np.float64)):
        described[row] = daisy(  # type: ignore[no-untyped-call]
            patch, radius=SIDE // 2, rings=RINGS, histograms=HISTOGRAMS, orientations=ORIENTATIONS
        ).ravel()
    return described


def classify(descriptors: Floats, subsets: npt.NDArray[np.str_], count: int, seed: int) -> Ints:
    """The class (n,) of each patch, of at most `count`: k-means on the training patches, the nearest centroid for all.

    A class that no patch of some subset would have is given up, and its patches go to the nearest of the others: the
    steps that follow need every class in every subset. Classes are numbered from 0 by falling size in training.
    """
    train = descriptors[subsets == "train"]
    assignment = kmeans(train, min(count, len(train)), iterations=25, seed=seed)
    centroids = np.stack([train[assignment == k].mean(axis=0) for k in range(int(assignment.max()) + 1)])
    while True:
        codes = nearest(centroids, descriptors, 1)[1][:, 0]
        sizes = [np.bincount(codes[subsets == name], minlength=len(centroids)) for name in np.unique(subsets)]
        everywhere = np.min(sizes, axis=0) > 0
        if everywhere.all():
            order = np.argsort(-np.bincount(codes[subsets == "train"], minlength=len(centroids)), kind="stable")
            return np.argsort(order)[codes]
        # One at a time, the rarest first: its patches may give another what that lacks.
        centroids = np.delete(centroids, np.argmin(np.sum(sizes, axis=0) + everywhere * len(codes)), axis=0)
