"""SilkNet's similarity losses: a step with them against the plain one on the same network, and their memory."""

from collections.abc import Callable
from itertools import count

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import Spread, alternate, peak_memory, ratio
from benchmarks.table import Aim, Table, main
from longtail.data.dataset import Task
from longtail.methods import silknet
from longtail.methods.base import Sampling, Setup
from longtail.methods.semantic import semantic_similarity_loss
from longtail.methods.similarity import pairwise_distances
from longtail.network.network import Network, NetworkParams

GOAL = 1.5
BATCH, LARGE_BATCH = 180, 2048
SAMPLES, TASKS = 3_000, 5
MEMORY = 0.5  # GiB
WHY = (
    "self-similarity (Eq. 8) has a second view of every image, which doubles the network's work; the losses themselves "
    "cost what stands beside the plain step of as many images"
)
# By name: the weights of semantic, colour and self-similarity.
VARIANTS = {
    "plain": (0.0, 0.0, 0.0),
    "semantic": (1.0, 0.0, 0.0),
    "semantic and colour": (0.5, 0.5, 0.0),
    "all three, two views an image": (0.5, 0.5, 0.5),
}
PLAIN, ALL = "plain", "all three, two views an image"
AS_MANY = "plain, as many images as two views are"
# By name: the backbone, and the shape of its images; None: stored features.
NETWORKS = {
    "stored features of 1,280": ("timm/tf_efficientnet_lite0", None),
    "ResNet-18 at 64×64, all of it trained": ("resnet18", (64, 64, 3)),
}


def run(full: bool) -> Table:
    """Some minutes; there is no larger size."""
    table = Table(
        "Similarity losses of SilkNet",
        f"{TASKS} tasks of 7 classes, half of the labels missing; the joint layer of 1,024 and a layer of 128 a task. "
        f"A step: {BATCH} images, forward, loss, backward, Adam. Memory: semantic similarity and its gradient on "
        f"{LARGE_BATCH:,} images, which have {LARGE_BATCH**3 / 1e9:.1f} thousand million triplets.",
        ["what", "figure", "to plain"],
        settings={"torch threads": str(torch.get_num_threads())},
    )
    _memory(table)  # first: what the networks leave allocated would be used again, and not be seen
    for title, (backbone, shape) in NETWORKS.items():
        _steps(table, title, backbone, shape)
    return table


def _steps(table: Table, title: str, backbone: str, shape: tuple[int, int, int] | None) -> None:
    sides = {name: _step(backbone, shape, weights, BATCH) for name, weights in VARIANTS.items()}
    sides[AS_MANY] = _step(backbone, shape, VARIANTS[PLAIN], 2 * BATCH)
    times = alternate(sides, pairs=9 if shape else 25)
    for name, took in times.items():
        text = Spread.of([1000 * value for value in took]).text("{:.0f}")
        table.add(f"{title}: {name}", f"{text} ms", "1" if name == PLAIN else ratio(took, times[PLAIN]).text())
    for below, what in ((PLAIN, "the plain step"), (AS_MANY, "the plain step of as many images")):
        found = ratio(times[ALL], times[below])
        aim = f"all three similarity losses to {what}, batch {BATCH}, {title}"
        table.aims.append(Aim(aim, f"≤ {GOAL} times", found.text(), found.median <= GOAL, WHY))


def _step(
    backbone: str, shape: tuple[int, int, int] | None, weights: tuple[float, float, float], batch: int
) -> Callable[[], None]:
    random = np.random.default_rng(0)
    labels = {
        f"task-{n}": np.where(random.random(SAMPLES) < 0.5, random.integers(0, 7, SAMPLES), -1) for n in range(TASKS)
    }
    colours = random.integers(0, 9000, (SAMPLES, 25)).astype(np.uint16)
    setup = Setup(labels, Sampling(batch=batch, sampling="natural", cost=False), 0, colours=colours)
    semantic, colour, self_similarity = weights
    how = {"semantic": semantic, "colour": colour, "self_similarity": self_similarity}
    method = silknet.Params.model_validate({"clustering": float(any(weights)), **how}).build(setup)
    tasks = [Task(name=name, classes=list("abcdefg")) for name in labels]
    params = NetworkParams(
        backbone=backbone, embedding=1024, shared_embedding=True, relu="classifier", task_layers=[128], dropout=0.3
    )
    torch.manual_seed(0)
    network = Network(params, tasks, shape or (224, 224, 3)).train()
    if shape is None:
        network.backbone.requires_grad_(requires_grad=False)
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 0.0001, fused=True)
    number = count()

    def step() -> None:
        drawn = method.batch(next(number))
        images = _images(method.views * len(drawn.samples), shape, network.features)
        optimiser.zero_grad()
        method.loss(network, images, drawn)["loss"].backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


def _images(many: int, shape: tuple[int, int, int] | None, features: int) -> Tensor:
    if shape is None:
        return torch.rand((many, features))
    height, width, channels = shape
    return torch.rand((many, channels, height, width)).contiguous(memory_format=torch.channels_last)


def _memory(table: Table) -> None:
    points = torch.nn.functional.normalize(torch.rand((LARGE_BATCH, 64)), dim=1)
    distances = pairwise_distances(points).requires_grad_()
    codes = torch.randint(-1, 7, (TASKS, LARGE_BATCH))

    def work() -> None:
        semantic_similarity_loss(distances, codes, torch.full((TASKS,), -1)).backward()  # type: ignore[no-untyped-call]

    most = peak_memory(work) / 1024
    what = f"memory of semantic similarity, {LARGE_BATCH:,} images"
    table.add(what, f"{most:.2f} GiB", "–")
    table.aims.append(Aim(what, f"≤ {MEMORY} GiB", f"{most:.2f} GiB", most <= MEMORY))


if __name__ == "__main__":
    main(run)
