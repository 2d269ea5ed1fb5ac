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
from longtail.data.transforms import POLICY, VIEW, Augmentation, augment, resized, shape_of_side, to_float

Ints = npt.NDArray[np.int64]
Counts = npt.NDArray[np.uint16]


class Inputs(Protocol):
    """Either of the two. Samples are positions in the split; `drawn` has a column an image (`transforms.draw`), and the
    first `plain` images stay as they are.
    """

    info: DatasetInfo

    @property
    def colours(self) -> Counts | None:
        """(n, G²), the colour histogram (`data.colours`) of each sample of the split; None: the data set has none."""

    def plain(self, samples: Ints) -> npt.NDArray[np.generic]:
        """What an Embedder takes: uint8 n×H×W×C, or float32 n×F, or n×P×F of maps."""

    def load(self, samples: Ints, views: int, drawn: Tensor, *, plain: int = 0) -> Tensor:
        """What is done before the device has it: (views·n)×…, the samples once and again."""

    def finish(self, loaded: Tensor, drawn: Tensor, *, plain: int = 0) -> Tensor:
        """What is left for the device: what the network takes."""

    def seen(self, loaded: Tensor) -> Tensor:
        """What the network takes of what is not varied, of the size that it is trained on."""

    def without_views(self) -> str | None:
        """Why two views of an image would be the same, and what to give; None: they differ."""


class Images:
    """Images of a packed data set; `rows`: the row in it of each sample of the split."""

    def __init__(self, dataset: PackedDataset, rows: Ints, augmentation: Augmentation) -> None:
        """Raises DataError if such images cannot be varied so."""
        self.dataset, self.rows, self.augmentation = dataset, rows, augmentation
        self.info = dataset.info
        augmentation.check(self.info.image_shape)

    @property
    def colours(self) -> Counts | None:
        """(n, G²); None without."""
        return None if self.dataset.colours is None else self.dataset.colours[self.rows]

    def plain(self, samples: Ints) -> npt.NDArray[np.uint8]:
        """uint8 n×H×W×C."""
        return self.dataset.images(self.rows[samples])

    def load(self, samples: Ints, views: int, drawn: Tensor, *, plain: int = 0) -> Tensor:
        """uint8 (views·n)×H×W×C, varied by the policy; read once."""
        images = torch.from_numpy(self.plain(samples))
        images = torch.cat([images] * views) if views > 1 else images
        policy = self.augmentation.policy
        if policy is None or plain == len(images):
            return images
        return _joined(images[:plain], apply_policy(images[plain:], policy, drawn[POLICY, plain:]))

    def finish(self, loaded: Tensor, drawn: Tensor, *, plain: int = 0) -> Tensor:
        """float (views·n)×C×H×W, augmented."""
        images = self.seen(loaded)
        if plain == len(images):
            return images
        return _joined(images[:plain], augment(images[plain:], self.augmentation, drawn[:, plain:]))

    def seen(self, loaded: Tensor) -> Tensor:
        """float n×C×H×W."""
        height, width, _ = shape_of_side(self.info.image_shape, self.augmentation.side)
        return resized(to_float(loaded), (height, width))

    def without_views(self) -> str | None:
        """None: something is varied."""
        varies = self.augmentation.varies or self.augmentation.policy
        return None if varies else "nothing is varied: give `optimisation.augmentation`"


class Features:
    """Stored features of the split's samples."""

    def __init__(self, features: FeatureSet) -> None:
        self.features, self.info = features, features.info.dataset

    @property
    def colours(self) -> Counts | None:
        """(n, G²); None without."""
        return self.features.colours

    def plain(self, samples: Ints) -> npt.NDArray[np.float32]:
        """float32 n×F, or n×P×F."""
        return self.features.plain(samples)

    def load(self, samples: Ints, views: int, drawn: Tensor, *, plain: int = 0) -> Tensor:
        """float32 (views·n)×F, each of a stored view that is drawn; with `plain`, after these of an augmented one."""
        every, chances = np.tile(samples, views), drawn[VIEW].numpy()
        first = torch.from_numpy(self.plain(every[:plain]))
        if plain == len(every):
            return first
        return _joined(first, torch.from_numpy(self.features.any_view(every[plain:], chances[plain:], plain=not plain)))

    def finish(self, loaded: Tensor, drawn: Tensor, *, plain: int = 0) -> Tensor:
        """As they are."""
        return loaded

    def seen(self, loaded: Tensor) -> Tensor:
        """As they are."""
        return loaded

    def without_views(self) -> str | None:
        """None: some are stored."""
        missing = (
            f"the features in {self.features.path} have none: give those features `views` and `augmentation`, and make "
            "them again"
        )
        return None if self.features.info.views else missing


def _joined(plain: Tensor, varied: Tensor) -> Tensor:
    return torch.cat([plain, varied]) if len(plain) else varied


def open_inputs(path: Path, split: Split, augmentation: Augmentation) -> Images | Features:
    """The images or features in an artifact. Raises DataError if it holds neither."""
    if has_features(path):
        return Features(FeatureSet.open(path, split))
    return Images(PackedDataset.open(path), split.samples["row"].to_numpy(), augmentation)
