"""DeepContour's positive-sharing loss against its sums in double precision, and where a task has no background."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from longtail.errors import DataError
from longtail.methods.base import Sampling, Setup
from longtail.methods.softmax import Params, binary_losses

LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=6)


def slow(logits: list[float], code: int, background: int) -> float:
    """−log p₀ of the background class, −log Σ p of all others together."""
    shares = [math.exp(z - max(logits)) for z in logits]
    wanted = [p for k, p in enumerate(shares) if (k == background) == (code == background)]
    return math.log(math.fsum(shares)) - math.log(math.fsum(wanted))


@given(LOGITS, st.integers(0, 5), st.integers(0, 5))
def test_it_tells_the_background_from_all_others_together(logits: list[float], code: int, background: int) -> None:
    code, background = code % len(logits), background % len(logits)
    found = binary_losses(torch.tensor([logits]), torch.tensor([code]), background)
    assert float(found) == pytest.approx(slow(logits, code, background), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("background", [0, 2])
def test_a_method_adds_it_to_the_cross_entropy_of_every_sample(background: int) -> None:
    codes = np.array([0, 1, 2, 2])
    setup = Setup({"edge": codes}, Sampling(batch=4), 0, backgrounds={"edge": background})
    logits = torch.randn((4, 3), generator=torch.Generator().manual_seed(0))
    plain = F.cross_entropy(logits, torch.from_numpy(codes), reduction="none")
    binary = binary_losses(logits, torch.from_numpy(codes), background)
    found = Params(positive_sharing=0.5).build(setup).losses("edge", logits, torch.from_numpy(codes))
    assert torch.allclose(found, plain + 0.5 * binary)
    assert torch.equal(Params().build(setup).losses("edge", logits, torch.from_numpy(codes)), plain)


def test_what_is_certain_or_hopeless_has_a_finite_gradient() -> None:
    logits = torch.tensor([[200.0, 0, 0], [-200.0, 0, 0]], requires_grad=True)
    losses = binary_losses(logits, torch.tensor([1, 0]), 0)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(losses).all()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_task_without_a_background_class_is_told() -> None:
    with pytest.raises(DataError, match="needs a background class, and the task 'edge' has none"):
        Params(positive_sharing=1.0).build(Setup({"edge": np.array([0, 1])}, Sampling(batch=2), 0))
