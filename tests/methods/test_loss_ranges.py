"""Losses of single samples over all that logits and counts can be: finite, in single precision, with true gradients."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.methods.base import Sampling, Setup
from longtail.methods.batch import Batch
from longtail.methods.catalogue import CATALOGUE, params_class
from longtail.methods.classifier import ClassifierMethod, ClassifierParams
from longtail.methods.mixup import Mixup

# Every method whose loss is that of single samples, those that come later too; and what else their parameters can say.
LOSSES: list[dict[str, Any]] = [
    *({"kind": kind} for kind in CATALOGUE if issubclass(params_class(kind), ClassifierParams)),
    {"kind": "softmax", "label_smoothing": 0.1},
    {"kind": "focal", "gamma": 0.5},
    {"kind": "balanced_softmax", "strength": 0.3},
    *({"kind": "class_balanced", "loss": loss, "gamma": 2.0} for loss in ("sigmoid", "focal", "ldam")),
]
# About where exp underflows and overflows in single precision, and up to the largest number of half precision.
SIZES = [0.0, 1e-3, 1.0, 16.0, 87.0, 89.0, 104.0, 1e4, 6e4]
LOGIT = st.builds(lambda size, sign: sign * size, st.sampled_from(SIZES), st.sampled_from([-1.0, 1.0]))
# In the tables one class is missing, and there are billions of another only in what is told of them.
COUNTS = np.array([10**9, 0, 1, 17])
PRESENT = (0, 2, 3)


def method_of(params: dict[str, Any], mixup: Mixup | None = None) -> ClassifierMethod:
    labels = {"t": np.array([0, 2, 3, -1])}
    how = Sampling(batch=3, sampling="natural", cost=0)
    made: ClassifierMethod = params_class(params["kind"])(**params, mixup=mixup).build(Setup(labels, how, 0))
    made._counts = {"t": COUNTS}
    return made


@settings(deadline=None, max_examples=60)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("params", LOSSES, ids=str)
@given(st.lists(st.tuples(st.tuples(*[LOGIT] * 4), st.sampled_from(PRESENT)), min_size=1, max_size=5))
def test_it_is_finite_and_in_single_precision_whatever_the_logits(
    params: dict[str, Any], precision: torch.dtype, samples: list[tuple[tuple[float, ...], int]]
) -> None:
    rows, of = zip(*samples, strict=True)
    logits, codes = torch.tensor(rows).to(precision).requires_grad_(), torch.tensor(of)
    method = method_of(params)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        losses = method.losses("t", logits, codes)
    assert losses.dtype == torch.float32
    assert torch.isfinite(losses).all()
    expected = method.losses("t", logits.detach().double(), codes)
    assert torch.allclose(losses.detach().double(), expected, rtol=1e-5, atol=1e-2)
    losses.sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("params", LOSSES, ids=str)
def test_its_gradient_is_that_of_finite_differences(params: dict[str, Any]) -> None:
    codes = torch.tensor([0, 2, 3, 2, 0])
    logits = 3 * torch.randn((5, 4), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    method = method_of(params)
    assert torch.autograd.gradcheck(lambda x: method.losses("t", x, codes), logits.requires_grad_())


class Flat:
    """A network whose classifier sees the pixels."""

    def __init__(self, weights: torch.Tensor) -> None:
        self.weights = weights

    def logits(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"t": images.flatten(1) @ self.weights}


@pytest.mark.parametrize("mixup", [Mixup(), Mixup(kappa=2, tau=0.9)])
@pytest.mark.parametrize("params", LOSSES, ids=str)
def test_so_is_that_of_mixtures(params: dict[str, Any], mixup: Mixup) -> None:
    """Of six images the last has no label, and two rows are of one image."""
    images, weights = (
        torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        for shape in ((6, 1, 2, 2), (4, 4))
    )
    rows, codes = torch.tensor([0, 1, 2, 2, 3, 4]), torch.tensor([0, 2, 3, 3, 0, 2])
    targets = {"t": {"codes": codes, "weights": torch.full((6,), 1 / 6, dtype=torch.float64)}}
    batch, method = Batch(np.arange(6), 6, np.arange(6), {"t": rows}, targets), method_of(params, mixup)

    def loss(weights: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)  # the same mixture every time
        network: Any = Flat(weights)
        return method.loss(network, images, batch)["loss"]

    assert torch.autograd.gradcheck(loss, weights.requires_grad_())
