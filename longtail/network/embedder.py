"""From images to embeddings, whatever makes them: the trained network, its backbone alone, or hand-crafted features."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from longtail.artifacts.rows import RowsFile
from longtail.artifacts.weights import read_weights, write_weights
from longtail.data.dataset import DatasetInfo, Task
from longtail.data.transforms import to_float
from longtail.errors import DataError
from longtail.methods.catalogue import params_class
from longtail.network.device import device
from longtail.network.inference import Inference
from longtail.network.network import Network, NetworkParams, is_images, on_sphere
from longtail.network.prior_features import histograms_of_gradients, pixels
from longtail.network.snapshot import HAND_CRAFTED, NETWORK, Blueprint, Features, read_blueprint
from longtail.progress import Advance

Floats = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
# Images N×H×W×C, or what the backbone has made of them before: float32 N×F, or maps N×P×C.
Inputs = npt.NDArray[Any]
BLOCK = 512
# At 224×224 a CPU takes half the time for 8 images at a time: what is between the layers then stays in its cache. On a
# GPU their number bounds the memory, 4 GiB of a layer with 40 numbers a pixel.
BLOCK_PIXELS = {"cpu": BLOCK * 28 * 28, "cuda": BLOCK * 224 * 224}
LARGEST = 2**33  # bytes of a task's embeddings, all of which the steps after a training hold in memory


class Embedder:
    """Calls the features that `blueprint` names; `network` is None for hand-crafted ones."""

    def __init__(self, blueprint: Blueprint, network: Network | None) -> None:
        self.blueprint = blueprint
        self.network = network.eval() if network else None
        self.tasks: list[Task] = blueprint.tasks
        self.image_shape = blueprint.image_shape
        self.inference = Inference.model_validate(blueprint.inference)

    def to(self, device: torch.device) -> Self:
        """The same, its network on a device."""
        if self.network:
            self.network.to(device)
        return self

    def __call__(self, images: Inputs) -> dict[str, Floats]:
        """uint8 N×H×W×C, or features, to float32 N×d on the unit sphere, for each task."""
        return self._in_blocks(images, self._embed)

    def logits(self, images: Inputs) -> dict[str, Floats]:
        """uint8 N×H×W×C to the classifier's float32 N×K, for each task."""
        return self._in_blocks(images, lambda block: self.embed_and_classify(block)[1])

    def all_embedded_and_classified(self, images: Inputs) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """The embeddings and the logits of any number of images, each of which the network sees once."""
        parts = [self.embed_and_classify(block) for block in _blocks(images)]
        embeddings, logits = (self._joined(of_blocks) for of_blocks in zip(*parts, strict=True))
        return embeddings, logits

    def embed_and_classify(self, images: Inputs) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """The embeddings and the logits of as many images as the network takes at once, in one pass."""
        assert self.network is not None
        with torch.inference_mode():
            both = self.inference.embed_and_classify(self.network, self._tensor(images))
        embeddings, logits = ({task: values.float().cpu().numpy() for task, values in one.items()} for one in both)
        return embeddings, logits

    def _in_blocks(self, images: Inputs, function: Callable[[Inputs], dict[str, Floats]]) -> dict[str, Floats]:
        return self._joined([function(block) for block in _blocks(images)])

    def _joined(self, parts: Sequence[dict[str, Floats]]) -> dict[str, Floats]:
        return {task.name: np.concatenate([part[task.name] for part in parts]) for task in self.tasks}

    def _embed(self, images: Inputs) -> dict[str, Floats]:
        if self.blueprint.features in HAND_CRAFTED:
            crafted = pixels(images) if self.blueprint.features == "pixels" else histograms_of_gradients(images)
            return {task.name: crafted for task in self.tasks}
        assert self.network is not None
        with torch.inference_mode():
            if self.blueprint.features == "network":
                found = self.inference.embed(self.network, self._tensor(images))
                return {name: value.float().cpu().numpy() for name, value in found.items()}
            features = on_sphere(self.network.pooled(self._tensor(images))).cpu().numpy()
            return {task.name: features for task in self.tasks}

    def _tensor(self, images: Inputs) -> Tensor:
        assert self.network is not None
        tensor = torch.from_numpy(images).to(next(self.network.parameters()).device)
        return to_float(tensor) if is_images(tensor) else tensor


def _blocks(images: Inputs) -> Iterator[Inputs]:
    """As many images at a time as a network takes; of no images one block, which has none."""
    size = block_size(images.shape[1:])
    for start in range(0, max(1, len(images)), size):
        yield np.ascontiguousarray(images[start : start + size])  # torch reads no array backwards


def build_network(blueprint: Blueprint) -> Network:
    """A fresh network; torch's seed decides its weights."""
    params = NetworkParams.model_validate(blueprint.model_dump(include=set(NetworkParams.model_fields)))
    method = blueprint.method and params_class(blueprint.method["kind"]).model_validate(blueprint.method)
    head = method.head if method else nn.Linear
    shape = Inference.model_validate(blueprint.inference).shape(blueprint.image_shape)
    return Network(params, blueprint.tasks, shape, head=head)


def load_embedder(snapshot: Path) -> Embedder:
    """The embedder of a snapshot directory."""
    blueprint = read_blueprint(snapshot)
    weights = snapshot / "network.safetensors"
    if blueprint.features in HAND_CRAFTED:
        return Embedder(blueprint, None)
    if not weights.is_file():
        raise DataError(f"{weights} is missing: copy all of the model, or run the step that makes it again")
    network = build_network(blueprint)
    network.load_state_dict(read_weights(weights))
    return Embedder(blueprint, network)


def block_size(shape: tuple[int, ...]) -> int:
    """How many images H×W×C, or features F or maps P×C, a network takes at a time where nothing is trained."""
    if len(shape) == 2:  # of one of which bilinear pooling may make a million numbers
        return BLOCK // 8
    if len(shape) < 3:
        return BLOCK
    return max(8, min(BLOCK, BLOCK_PIXELS[device().type] // (shape[0] * shape[1])))


def write_network(snapshot: Path, embedder: Embedder) -> None:
    """Write the network, or how features are crafted, and nothing of any sample."""
    snapshot.mkdir(parents=True)
    (snapshot / NETWORK).write_text(embedder.blueprint.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if embedder.network:
        weights = {name: value.contiguous().cpu() for name, value in embedder.network.state_dict().items()}
        write_weights(weights, snapshot / "network.safetensors")


def write_snapshot(
    snapshot: Path, embedder: Embedder, read: Callable[[Ints], Inputs], samples: int, *, logits: bool
) -> None:
    """Write network, embeddings and, if asked, logits of so many samples; `read` gives those of some positions."""
    write_network(snapshot, embedder)
    size = block_size(read(np.arange(1)).shape[1:])
    with ExitStack() as opened, Advance("embedding", samples) as advance:
        arrays = _Arrays(snapshot, samples, opened)
        for start in range(0, samples, size):
            images = read(np.arange(start, min(start + size, samples)))
            embeddings, scores = embedder.embed_and_classify(images) if logits else (embedder(images), {})
            check_length(max(rows.shape[1] for rows in embeddings.values()), samples)
            arrays.add("embeddings", {task: embeddings[task] for task in embedder.blueprint.embedded})
            arrays.add("logits", scores)
            advance.add(len(images))


class _Arrays:
    """The arrays of a snapshot of so many samples; each begins with its first block, and `opened` closes them.

    Blocks that are kept until the end lie between what the network has freed: a training took 3 GiB for arrays of 0.2.
    """

    def __init__(self, snapshot: Path, samples: int, opened: ExitStack) -> None:
        self.snapshot, self.samples, self.opened = snapshot, samples, opened
        self.files: dict[tuple[str, str], RowsFile] = {}

    def add(self, name: str, block: dict[str, Floats]) -> None:
        """Write the next rows of each task."""
        for task, rows in block.items():
            if not np.isfinite(rows).all():
                raise DataError(f"the network's {name} for task {task!r} are not finite: lower the learning rate")
            if (name, task) not in self.files:
                file = RowsFile(self.snapshot / f"{name}-{task}.npy", (self.samples, rows.shape[1]), np.float32)
                self.files[name, task] = self.opened.enter_context(file)
            self.files[name, task].add(rows)


def check_length(length: int, samples: int) -> None:
    """Raise DataError if the embeddings of so many samples, of so many numbers each, are more than memory holds."""
    size = 4 * length * samples
    if size > LARGEST:
        raise DataError(
            f"the embeddings of {samples:,} samples have {length:,} numbers each and would take {size / 2**30:.0f} "
            "GiB: give `network.embedding` a length, and to `start` `embeddings: false`"
        )


def blueprint_for(
    params: NetworkParams,
    features: Features,
    tasks: list[Task],
    dataset: DatasetInfo,
    method: dict[str, Any] | None = None,
    inference: Inference | None = None,
) -> Blueprint:
    """The blueprint of a network for such images, with those parameters, and with the classifiers of a method."""
    return Blueprint(
        features=features,
        tasks=tasks,
        image_shape=dataset.image_shape,
        preprocessing=dataset.preprocessing,
        method=method,
        inference=inference.model_dump() if inference else {},
        **params.model_dump(),
    )
