"""Balanced softmax, class-balanced losses and LDAM against their equations, and what public code gets wrong of them."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from longtail.methods.balanced_softmax import adjusted_cross_entropy
from longtail.methods.base import Sampling, Setup
from longtail.methods.catalogue import CATALOGUE, params_class
from longtail.methods.class_balanced import class_weights, effective_number, one_against_all
from longtail.methods.ldam import Cosines, margins
from longtail.network.decay import parameter_groups
from longtail.stages.fit import Params as Fit

# Nothing, one sample, a billion, and what lies between: at least one class has a sample.
COUNTS = st.lists(st.sampled_from([0, 1, 10**9]) | st.integers(0, 10**9), min_size=1, max_size=6).filter(any)
BETAS = st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, 5e-324, 1e-17, 0.9, 1 - 1e-9, 1 - 2**-53])
LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=3, max_size=3)


@given(LOGITS, st.integers(0, 2), st.lists(st.integers(1, 10**6), min_size=3, max_size=3))
def test_balanced_softmax_weighs_each_class_by_its_samples(logits: list[float], code: int, counts: list[int]) -> None:
    weighed = [n * math.exp(z - max(logits)) for n, z in zip(counts, logits, strict=True)]
    expected = -math.log(weighed[code] / math.fsum(weighed)) if weighed[code] else math.inf
    found = adjusted_cross_entropy(torch.tensor([logits]), torch.tensor([code]), torch.tensor(counts), 1.0)
    assert float(found) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_a_class_without_a_sample_has_no_part_and_no_gradient() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    loss = adjusted_cross_entropy(logits, torch.tensor([0]), torch.tensor([5, 0, 5]), 1.0)
    expected = F.cross_entropy(torch.tensor([[1.0, 3.0]]), torch.tensor([0]))
    assert float(loss) == pytest.approx(float(expected))
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 1] == 0


@given(st.integers(0, 10**9), st.integers(1, 9))
def test_the_effective_number_is_exact_for_many_samples_and_beta_near_1(count: int, nines: int) -> None:
    beta = 1 - 10.0**-nines
    exact = Fraction(1) - Fraction(beta)
    # Σ_{j<n} β^j by its closed form, in 60 digits where floating point would lose them.
    expected = -math.expm1(count * math.log1p(-float(exact))) / float(exact)
    found = effective_number(np.array([count]), beta)[0]
    assert found == pytest.approx(expected, rel=1e-9)
    assert 0 <= found <= count * (1 + 1e-9)


def test_effective_numbers_of_small_counts_are_sums() -> None:
    for beta in (0.0, 0.5, 0.9, 0.999):
        sums = [sum(beta**j for j in range(n)) for n in range(6)]
        assert effective_number(np.arange(6), beta) == pytest.approx(sums)


@given(COUNTS, BETAS)
def test_weights_sum_to_the_classes_and_the_rarer_weighs_no_less(counts: list[int], beta: float) -> None:
    numbers, weights = effective_number(np.array(counts), beta), class_weights(np.array(counts), beta)
    there = np.array(counts) > 0
    assert (numbers[there] >= 1 - 1e-9).all()
    assert (numbers <= np.array(counts) * (1 + 1e-9)).all()
    assert weights.sum() == pytest.approx(there.sum())
    assert not weights[~there].any()
    order = np.argsort(np.array(counts)[there], kind="stable")
    assert (np.diff(weights[there][order]) <= 1e-9).all()


def test_without_beta_all_weigh_alike_and_with_beta_near_1_by_inverse_frequency() -> None:
    assert class_weights(np.array([90, 9, 1]), 0.0) == pytest.approx([1, 1, 1])
    inverse = 1 / np.array([90, 9, 1])
    assert class_weights(np.array([90, 9, 1]), 1 - 1e-9) == pytest.approx(3 * inverse / inverse.sum(), rel=1e-5)


@pytest.mark.parametrize(("normalise", "expected"), [("weights", 0.8705), ("samples", 54.4052)])
def test_a_weighted_sum_is_divided_by_the_samples_or_by_the_weights(normalise: str, expected: float) -> None:
    """Two samples of weights 25 and 100: which division is meant changes the loss sixty-fold."""
    setup = Setup({"t": np.array([0, 1, 2])}, Sampling(batch=2, sampling="natural", cost=False), 0)
    method = params_class("class_balanced")(normalise=normalise).build(setup)
    method._weights["t"] = np.array([25.0, 25.0, 100.0])
    targets = method.select_for("t", np.array([1, 2]), 0).targets
    logits = torch.tensor([[2.3, 2.1, 4.5], [4.2, 3.2, 5.1]])
    losses = method.losses("t", logits, torch.from_numpy(targets["codes"]))
    assert float((losses * torch.from_numpy(targets["weights"])).sum()) == pytest.approx(expected, abs=1e-3)


@given(LOGITS, st.integers(0, 2), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_one_against_all_is_the_papers_equation(logits: list[float], code: int, gamma: float) -> None:
    expected = 0.0
    for place, z in enumerate(logits):
        signed = z if place == code else -z
        log_p = -math.log1p(math.exp(-signed)) if signed > -30 else signed
        wrong = 1 / (1 + math.exp(signed))
        expected -= wrong**gamma * log_p
    found = one_against_all(torch.tensor([logits]), torch.tensor([code]), gamma)
    assert float(found) == pytest.approx(expected, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("size", [89.0, 200.0, 1e4])
def test_the_modulator_of_a_hopeless_sample_is_1_and_its_gradient_finite(size: float) -> None:
    logits = torch.tensor([[-size, -size]], requires_grad=True)
    loss = one_against_all(logits, torch.tensor([0]), 2.0)
    assert float(loss) == pytest.approx(size, rel=1e-6)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", ["sigmoid", "focal"])
def test_classes_begin_with_their_even_share_and_the_bias_does_not_decay(loss: str) -> None:
    head = params_class("class_balanced")(loss=loss).head(8, 10)
    assert torch.sigmoid(head.bias).tolist() == pytest.approx([0.1] * 10)
    decayed, spared = parameter_groups(head, 0.01)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.01, 0.0)
    assert spared["params"] == [head.bias]
    assert len(parameter_groups(params_class("class_balanced")(loss="softmax").head(8, 10), 0.01)) == 1


def test_margins_grow_with_the_fourth_root_of_rarity() -> None:
    found = margins(np.array([10_000, 16, 0, 1]), 0.5)
    assert found == pytest.approx([0.05, 0.25, 0, 0.5])
    assert margins(np.array([7, 7]), 0.5) == pytest.approx([0.5, 0.5])


@given(COUNTS, st.floats(1e-3, 10))
def test_margins_are_those_of_the_equation_for_any_counts(counts: list[int], largest: float) -> None:
    rarest = min(n for n in counts if n)
    expected = [largest * (rarest / n) ** 0.25 if n else 0.0 for n in counts]
    assert margins(np.array(counts), largest) == pytest.approx(expected, rel=1e-6)


def test_under_autocast_the_cosines_of_ldam_are_as_exact() -> None:
    """Near 1 a cosine in bfloat16 is 0.004 from the next, which the scale makes 0.12."""
    torch.manual_seed(0)
    head = Cosines(64, 10, 30.0)
    embeddings = head.weight[0].detach() + 0.02 * torch.randn(200, 64)
    with torch.autocast("cpu", torch.bfloat16):
        found = head(embeddings)
    assert torch.allclose(found, head(embeddings), atol=1e-5)


def test_ldam_lowers_the_cosine_of_the_right_class_by_its_margin() -> None:
    setup = Setup({"t": np.repeat([0, 1], [16, 1])}, Sampling(batch=4), 0)
    method = params_class("ldam")(max_margin=0.5, scale=30).build(setup)
    head = Cosines(3, 2, 30.0)
    embeddings = torch.tensor([[1.0, 2.0, 0.5], [0.1, 0.0, 3.0]])
    logits = head(embeddings)
    cosines = F.cosine_similarity(embeddings[:, None], head.weight[None], dim=2)
    assert torch.allclose(logits, 30 * cosines, atol=1e-4)
    lowered = 30 * cosines - 30 * torch.tensor([[0.25, 0.0], [0.0, 0.5]])
    expected = F.cross_entropy(lowered, torch.tensor([0, 1]), reduction="none")
    assert torch.allclose(method.losses("t", logits, torch.tensor([0, 1])), expected, atol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind, entry in CATALOGUE.items() if entry.corrects_prior])
@pytest.mark.parametrize(
    "twice", [{"sampling": "class_even", "cost": False}, {"sampling": "natural", "cost": True}, {}]
)
def test_what_would_correct_twice_is_refused(kind: str, twice: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="once more: set `sampling: natural` and `cost: false`"):
        Fit.model_validate({"method": {"kind": kind}, **twice})
    Fit.model_validate({"method": {"kind": kind}, "sampling": "natural", "cost": False})


def test_what_is_left_to_correct_follows_from_the_loss() -> None:
    labels = {"t": np.repeat([0, 1, 2], [90, 9, 1])}
    setup = Setup(labels, Sampling(batch=4, sampling="natural", cost=False), 0)

    def left(kind: str, **values: Any) -> list[float]:
        prior: list[float] = params_class(kind)(**values).build(setup).trained_prior({"t": 3}, 10)["t"].tolist()
        return prior

    assert left("balanced_softmax") == pytest.approx([1 / 3] * 3)
    assert left("balanced_softmax", strength=0.5) == pytest.approx(np.sqrt([90, 9, 1]) / np.sqrt([90, 9, 1]).sum())
    assert left("class_balanced", beta=0.0) == pytest.approx([0.9, 0.09, 0.01])
    assert left("class_balanced", beta=1 - 1e-9) == pytest.approx([1 / 3] * 3, rel=1e-5)
    assert left("ldam") == pytest.approx([0.9, 0.09, 0.01])
