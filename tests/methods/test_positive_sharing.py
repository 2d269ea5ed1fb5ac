"""DeepContour's positive-sharing loss against its sums in double precision, and where a task has no background."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from longtail.errors import DataError
from longtail.methods.base import Sampling, Setup
from longtail.methods.catalogue import params_class
from longtail.methods.positive_sharing import binary_losses, shared_weights
from longtail.methods.softmax import Params
from longtail.quintuplets.table import QuintupletTable, save_tables

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


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.1, 5))
def test_anchors_weigh_as_classes_and_as_background_against_all_others(
    codes: list[int], cost: float, sharing: float
) -> None:
    background, n = 2, len(codes)
    of_class = [codes.count(code) ** -cost for code in codes]
    of_two = [1 / sum((other == background) == (code == background) for other in codes) for code in codes]
    expected = [
        (one / sum(of_class) + sharing * two / sum(of_two)) / (1 + sharing)
        for one, two in zip(of_class, of_two, strict=True)
    ]
    found = shared_weights(np.array(codes), background, cost=cost, sharing=sharing)
    assert found.shape == (n,)
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["lmle", "triplet", "joint"])
def test_hinges_take_the_weights_of_their_anchors(kind: str, tmp_path: Path) -> None:
    codes = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    table = QuintupletTable(np.arange(8)[:, None].repeat(5, axis=1), np.zeros(8, bool), codes)
    save_tables(tmp_path, {"edge": table})
    setup = Setup({"edge": codes}, Sampling(batch=8), 0, table=tmp_path, backgrounds={"edge": 0})
    method = params_class(kind).model_validate({"kind": kind, "positive_sharing": 1.0}).build(setup)
    weights = method.select_for("edge", np.arange(8), 0).targets["weights"]
    assert weights.tolist() == pytest.approx(shared_weights(codes, 0, cost=1.0, sharing=1.0).tolist())
    assert weights[:4].sum() == pytest.approx((1 / 3 + 1 / 2) / 2)
