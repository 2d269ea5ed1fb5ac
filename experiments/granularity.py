"""Granularity against how hard classes are to learn, merged (Figure 6.7 of the thesis) and in pairs (6.8), and under
noise and lower resolution (6.12): three tables, of the test images of a packed data set.

    python -m experiments.granularity DATASET --split SPLIT --model START

`--model`: a model with a backbone, as the step `start` makes it; features are its.
"""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import typer
from PIL import Image
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.data.transforms import to_float
from longtail.errors import DataError
from longtail.execution import one_sentence
from longtail.granularity.distance import euclidean
from longtail.granularity.granularity import granularity_of
from longtail.network.device import device
from longtail.network.embedder import load_embedder
from longtail.network.snapshot import best

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
BLOCK = 32  # images at a time
NOISE, PEPPER, SIDES = (0.05, 0.1, 0.2), (0.02, 0.1), (112, 56, 28)


def main(
    dataset: Annotated[Path, typer.Argument(help="packed data set")],
    split: Annotated[Path, typer.Option(help="its split")],
    model: Annotated[Path, typer.Option(help="model with a backbone")],
    most: Annotated[int, typer.Option(min=20, help="test images")] = 1000,
    pairs: Annotated[int, typer.Option(min=3, help="pairs of classes, drawn at random")] = 40,
) -> None:
    """Print the three tables."""
    with one_sentence():
        packed, table = PackedDataset.open(dataset), Split.open(split)
        task, network = table.tasks[0], load_embedder(best(model)).network
        if network is None:
            raise DataError(f"{model} has no backbone")
        labels = table.scored_labels(task, "test")
        at = np.random.default_rng(0).permutation(np.flatnonzero(labels >= 0))[:most]
        images, codes = packed.images(table.samples["row"].to_numpy()[at]), labels[at]
        pooled = network.to(device()).eval().pooled

        def features(change: Callable[[Bytes], Bytes]) -> Floats:
            with torch.inference_mode():
                blocks = (torch.from_numpy(change(images[i : i + BLOCK])) for i in range(0, len(images), BLOCK))
                return np.concatenate([pooled(to_float(one).to(device())).float().cpu().numpy() for one in blocks])

        plain = features(lambda some: some)
        print(against_difficulty(plain, codes, task.classes, pairs))
        print(f"\n{merged(plain, codes, task.classes)}")
        print("\n| test images | RankM |\n| --- | --- |")
        for name, change in nuisances().items():
            print(f"| {name} | {_rankm(features(change), codes, task.classes):.3f} |", flush=True)


def against_difficulty(points: Floats, codes: Ints, classes: list[str], count: int) -> str:
    """RankM beside the training error of a linear classifier, of some pairs of classes, and how they correlate."""
    known = [code for code in np.unique(codes) if np.count_nonzero(codes == code) >= 5]
    every = list(combinations(known, 2))
    chosen = [every[i] for i in np.random.default_rng(0).permutation(len(every))[:count]]
    found = []
    for pair in chosen:
        of = np.isin(codes, pair)
        found.append((_rankm(points[of], codes[of], classes), _error(points[of], codes[of])))
    fine, error = np.array(found).T
    lines = ["| pairs of classes | mean RankM | mean training error |", "| --- | --- | --- |"]
    for third in np.array_split(np.argsort(fine), 3):
        lines.append(f"| {len(third)} | {fine[third].mean():.3f} | {100 * error[third].mean():.1f} % |")
    return "\n".join([*lines, f"\nPearson's correlation: {np.corrcoef(fine, error)[0, 1]:.2f}"])


def merged(points: Floats, codes: Ints, classes: list[str]) -> str:
    """RankM beside the training error of a linear classifier, of classes merged to fewer: the nearest by their means,
    on average over the pairs of a group.
    """
    known, codes = np.unique(codes, return_inverse=True)
    means = np.stack([points[codes == code].mean(axis=0) for code in range(len(known))])
    tree = linkage(means, "average")
    lines = ["| classes, merged by the distance of their means | RankM | training error |", "| --- | --- | --- |"]
    for count in sorted({2, *(len(known) // part for part in (4, 2, 1) if len(known) // part > 1)}):
        groups = fcluster(tree, count, "maxclust")[codes] - 1
        names = [f"group {number}" for number in range(count)]
        fine, error = _rankm(points, groups.astype(np.int64), names), _error(points, groups)
        lines.append(f"| {len(np.unique(groups))} | {fine:.3f} | {100 * error:.1f} % |")
    return "\n".join(lines)


def _rankm(points: Floats, codes: Ints, classes: list[str]) -> float:
    found = granularity_of(euclidean(points), codes, classes, exact=False)
    if found is None:
        raise DataError("fewer than two classes have test images, or none has two")
    return found.rankm


def _error(points: Floats, codes: Ints) -> float:
    """The training error of a linear classifier on the first 16 principal directions: in all it would fit anything."""
    directions = PCA(min(16, len(points) - 1), whiten=True, random_state=0)
    model = make_pipeline(StandardScaler(), directions, LogisticRegression(max_iter=1000))
    return 1 - float(model.fit(points, codes).score(points, codes))


def nuisances() -> dict[str, Callable[[Bytes], Bytes]]:
    """By name, what is done to a block of images."""
    rng = np.random.default_rng(0)

    def gaussian(some: Bytes, deviation: float) -> Bytes:
        return np.clip(some + 255 * deviation * rng.normal(size=some.shape), 0, 255).astype(np.uint8)

    def pepper(some: Bytes, share: float) -> Bytes:
        drawn = rng.random(some.shape[:3])[..., None]
        return np.where(drawn < share / 2, 0, np.where(drawn < share, 255, some)).astype(np.uint8)

    def smaller(some: Bytes, side: int) -> Bytes:
        full = some.shape[2], some.shape[1]
        return np.stack([np.asarray(Image.fromarray(one).resize((side, side)).resize(full)) for one in some])

    changes: dict[str, Callable[[Bytes], Bytes]] = {"as they are": lambda some: some}
    for value in NOISE:
        changes[f"Gaussian noise, deviation {value:g}"] = lambda some, value=value: gaussian(some, value)  # type: ignore[misc]
    for value in PEPPER:
        changes[f"salt and pepper, {100 * value:g} %"] = lambda some, value=value: pepper(some, value)  # type: ignore[misc]
    for side in SIDES:
        changes[f"{side}×{side} pixels, enlarged again"] = lambda some, side=side: smaller(some, side)  # type: ignore[misc]
    return changes


if __name__ == "__main__":
    typer.run(main)
