"""What a training gives its network: images, warped anew whenever they are drawn, or stored features of a backbone."""

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from longtail.data.dataset import DatasetInfo, PackedDataset
from longtail.data.feature_set import FeatureSet, has_features
from longtail.data.policies import apply_policy
from longtail.data.splits import Split
from longtail.data.transforms import POLICY, VIEW, Augmentation, augment, to_float

Ints = npt.NDArray[np.int64]


class Inputs(Protocol):
    """Either of the two. Samples are positions in the split; `drawn` has a column a sample (`transforms.draw`)."""

    info: DatasetInfo

    def plain(self, samples: Ints) -> npt.NDArray[np.generic]:
        """What an Embedder takes: uint8 n×H×W×C, or float32 n×F."""

    def load(self, samples: Ints, views: int, drawn: Tensor) -> Tensor:
        """What is done before the device has it: (views·n)×…, the samples once and again."""

    def finish(self, loaded: Tensor, drawn: Tensor) -> Tensor:
        """What is left for the device: what the network takes."""


class Images:
    """Images of a packed data set; `rows`: the row in it of each sample of the split."""

    def __init__(self, dataset: PackedDataset, rows: Ints, augmentation: Augmentation) -> None:
        self.dataset, self.rows, self.augmentation = dataset, rows, augmentation
        self.info = dataset.info

    def plain(self, samples: Ints) -> npt.NDArray[np.uint8]:
        """uint8 n×H×W×C."""
        return self.dataset.images(self.rows[samples])

    def load(self, samples: Ints, views: int, drawn: Tensor) -> Tensor:
        """uint8 (views·n)×H×W×C, varied by the policy; read once."""
        images = torch.from_numpy(self.plain(samples))
        images = torch.cat([images] * views) if views > 1 else images
        return apply_policy(images, self.augmentation.policy, drawn[POLICY]) if self.augmentation.policy else images

    def finish(self, loaded: Tensor, drawn: Tensor) -> Tensor:
        """float (views·n)×C×H×W, warped."""
        return augment(to_float(loaded), self.augmentation, drawn)


class Features:
    """Stored features of the split's samples."""

    def __init__(self, features: FeatureSet) -> None:
        self.features, self.info = features, features.info.dataset

    def plain(self, samples: Ints) -> npt.NDArray[np.float32]:
        """float32 n×F."""
        return self.features.plain(samples)

    def load(self, samples: Ints, views: int, drawn: Tensor) -> Tensor:
        """float32 (views·n)×F, each of a stored view that is drawn."""
        return torch.from_numpy(self.features.any_view(np.tile(samples, views), drawn[VIEW].numpy()))

    def finish(self, loaded: Tensor, drawn: Tensor) -> Tensor:
        """As they are."""
        return loaded


def open_inputs(path: Path, split: Split, augmentation: Augmentation) -> Images | Features:
    """The images or features in an artifact. Raises DataError if it holds neither."""
    if has_features(path):
        return Features(FeatureSet.open(path, split))
    return Images(PackedDataset.open(path), split.samples["row"].to_numpy(), augmentation)
