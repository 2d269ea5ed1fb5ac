"""DeepContour's positive-sharing loss against its sums in double precision, and where a task has no background."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from longtail.errors import DataError
from longtail.methods.base import Sampling, Setup
from longtail.methods.catalogue import params_class
from longtail.methods.mixup import Mixup
from longtail.methods.positive_sharing import background_share, binary_losses, shared_weights
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
@pytest.mark.parametrize(("scheme", "cost"), [("natural", False), ("natural", True), ("class_even", True)])
def test_a_method_adds_it_by_weights_of_its_own(background: int, scheme: Any, cost: bool) -> None:
    """No class weight and no scheme is in them: of what is drawn the background weighs as much as all others."""
    codes = np.array([0, 1, 2, 2])
    setup = Setup({"edge": codes}, Sampling(batch=4, sampling=scheme, cost=cost), 0, backgrounds={"edge": background})
    logits = torch.randn((4, 3), generator=torch.Generator().manual_seed(0))
    labels, weights = torch.from_numpy(codes), torch.tensor([0.1, 0.2, 0.3, 0.4])
    plain = F.cross_entropy(logits, labels, reduction="none") * weights
    share = 1 / 3 if scheme == "class_even" else float((codes == background).mean())
    sides = torch.tensor([0.5 / share if code == background else 0.5 / (1 - share) for code in codes]) / 4
    binary = binary_losses(logits, labels, background) * sides
    found = Params(positive_sharing=0.5).build(setup).weighted_losses("edge", logits, labels, weights)
    assert torch.allclose(found, plain + 0.5 * binary)
    assert torch.equal(Params().build(setup).weighted_losses("edge", logits, labels, weights), plain)


@pytest.mark.parametrize("scheme", ["natural", "square_root", "class_even", 0.3])
def test_over_many_mini_batches_both_sides_weigh_alike(scheme: Any) -> None:
    """Of 30 classes and a background with half of the samples, as edges have them; most class-even mini-batches are
    without it.
    """
    codes = np.r_[np.zeros(300, np.int64), 1 + np.arange(300) % 30]
    setup = Setup({"edge": codes}, Sampling(batch=8, sampling=scheme), 0, backgrounds={"edge": 0})
    method = Params(positive_sharing=1.0).build(setup)
    share = background_share(np.bincount(codes), 0, scheme)
    both = np.zeros(2)
    for step in range(2000):
        drawn = codes[method.sampler.positions(step)["edge"]]
        weights = shared_weights(drawn, 0, share, cost=0.0, sharing=1e9)  # of the two sides alone
        both += weights[drawn == 0].sum(), weights[drawn != 0].sum()
    assert both / 2000 == pytest.approx([0.5, 0.5], abs=0.05)


@pytest.mark.parametrize("changing", [{"deferred": 0.5}, {"sampling": "progressive"}])
def test_a_sampling_that_changes_is_refused(changing: dict[str, Any]) -> None:
    """The background's share of the draws would be another at every step, and its weight a hundredfold."""
    setup = Setup({"edge": np.array([0, 1, 2, 2])}, Sampling(batch=4, **changing), 0, backgrounds={"edge": 0})
    with pytest.raises(DataError, match="needs a sampling that stays"):
        Params(positive_sharing=1.0).build(setup)
    Params().build(setup)


def several(count: int, **sampling: Any) -> Setup:
    """Tasks that label the same samples, each with a background class."""
    names = [f"edge-{number}" for number in range(count)]
    labels = {name: np.random.default_rng(number).integers(0, 3, 40) for number, name in enumerate(names)}
    return Setup(labels, Sampling(batch=4, **sampling), 0, backgrounds=dict.fromkeys(names, 0))


@pytest.mark.parametrize("scheme", ["class_even", "square_root", "over", 0.3])
@pytest.mark.parametrize(("count", "together"), [(2, True), (9, None)])
def test_tasks_that_take_turns_to_draw_are_refused_unless_they_draw_naturally(
    count: int, together: bool | None, scheme: Any
) -> None:
    """What is drawn for another task has the background as often as chance has it."""
    with pytest.raises(DataError, match="needs tasks that draw for themselves"):
        Params(positive_sharing=1.0).build(several(count, together=together, sampling=scheme))
    Params(positive_sharing=1.0).build(several(count, together=together, sampling="natural"))
    Params(positive_sharing=1.0).build(several(count, together=False, sampling=scheme))
    Params(positive_sharing=1.0).build(several(1, together=together, sampling=scheme))
    Params().build(several(count, together=together, sampling=scheme))


def test_tasks_that_take_turns_and_draw_naturally_have_both_sides_alike() -> None:
    setup = several(3, together=True, sampling="natural")
    method = Params(positive_sharing=1.0).build(setup)
    both = np.zeros(2)
    for step in range(600):
        for task, drawn in method.sampler.positions(step).items():
            codes = setup.labels[task][drawn]
            share = background_share(np.bincount(setup.labels[task]), 0, "natural")
            weights = shared_weights(codes, 0, share, cost=0.0, sharing=1e9)
            both += weights[codes == 0].sum() / 1800, weights[codes != 0].sum() / 1800
    assert both == pytest.approx([0.5, 0.5], abs=0.02)


@pytest.mark.parametrize("negatives", ["single", "by_class"])
def test_images_that_people_rejected_are_of_neither_side_and_refused(negatives: Any) -> None:
    setup = Setup({"edge": np.array([0, 1, 2, 2])}, Sampling(batch=4, negatives=negatives), 0, backgrounds={"edge": 0})
    with pytest.raises(DataError, match="images that people rejected are neither"):
        Params(positive_sharing=1.0).build(setup)
    Params().build(setup)


PRIORS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"sampling": "natural", "cost": 0}, {}),
    ({"sampling": "natural", "cost": 0}, {"label_smoothing": 0.2}),
    ({"sampling": "class_even", "cost": 0}, {}),
    ({"sampling": "class_even", "cost": 1}, {}),
    ({"sampling": "over", "cost": 0}, {}),
]


@pytest.mark.parametrize("background", [0, 2])
@pytest.mark.parametrize("sharing", [0.3, 1.0, 4.0])
@pytest.mark.parametrize(("sampling", "own"), PRIORS)
def test_the_prior_is_that_at_which_logits_of_all_samples_alike_end(
    background: int, sharing: float, sampling: dict[str, Any], own: dict[str, Any]
) -> None:
    """One vector of logits for every sample, trained to the end on a mini-batch that draws all exactly."""
    codes = np.repeat([0, 1, 2], [24, 6, 2])
    batch = 32 if sampling["sampling"] == "natural" else 72
    setup = Setup({"edge": codes}, Sampling(batch=batch, **sampling), 0, backgrounds={"edge": background})
    method = Params(positive_sharing=sharing, **own).build(setup)
    targets = method.select(0)["edge"].targets
    drawn, weights = torch.from_numpy(targets["codes"]), torch.from_numpy(targets["weights"])
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=300, line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = method.weighted_losses("edge", logits.expand(len(drawn), 3), drawn, weights).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)
    learnt = torch.softmax(logits.detach(), 0).tolist()
    assert method.trained_prior({"edge": 3}, 10)["edge"].tolist() == pytest.approx(learnt, abs=1e-4)


@pytest.mark.parametrize("present", [[0], [1, 2]])
def test_where_one_side_has_no_sample_its_prior_stays_0(present: list[int]) -> None:
    codes = np.array(present * 8)
    setup = Setup({"edge": codes}, Sampling(batch=8, sampling="natural", cost=0), 0, backgrounds={"edge": 0})
    prior = Params(positive_sharing=1.0).build(setup).trained_prior({"edge": 3}, 10)["edge"]
    assert prior.tolist() == pytest.approx(np.bincount(codes, minlength=3) / len(codes))


def test_mixtures_have_no_side() -> None:
    assert "not of mixtures" in str(Params(positive_sharing=1.0, mixup=Mixup()).in_vain())


def test_what_is_certain_or_hopeless_has_a_finite_gradient() -> None:
    logits = torch.tensor([[200.0, 0, 0], [-200.0, 0, 0]], requires_grad=True)
    losses = binary_losses(logits, torch.tensor([1, 0]), 0)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(losses).all()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_under_autocast_it_is_as_exact() -> None:
    codes = torch.arange(40) % 3
    logits = torch.linspace(-8, 8, 120).reshape(40, 3).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = binary_losses(logits, codes, 1)
    assert found.dtype == torch.float32
    assert torch.allclose(found, binary_losses(logits.float(), codes, 1))


def test_a_task_without_a_background_class_is_told() -> None:
    with pytest.raises(DataError, match="needs a background class, and the task 'edge' has none"):
        Params(positive_sharing=1.0).build(Setup({"edge": np.array([0, 1])}, Sampling(batch=2), 0))


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=20),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.floats(0.1, 5),
    st.one_of(st.sampled_from([0.0, 1.0]), st.floats(1e-6, 1 - 1e-6)),
)
def test_anchors_weigh_as_classes_and_as_background_against_all_others(
    codes: list[int], cost: float, sharing: float, share: float
) -> None:
    background, n = 2, len(codes)
    of_class = [codes.count(code) ** -cost for code in codes]
    own, others = (0.5 / share, 0.5 / (1 - share)) if 0 < share < 1 else (1.0, 1.0)
    expected = [
        (one / sum(of_class) + sharing * (own if code == background else others) / n) / (1 + sharing)
        for one, code in zip(of_class, codes, strict=True)
    ]
    found = shared_weights(np.array(codes), background, share, cost=cost, sharing=sharing)
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
    assert weights.tolist() == pytest.approx(shared_weights(codes, 0, 1 / 3, cost=1.0, sharing=1.0).tolist())
    assert weights[:4].sum() == pytest.approx((1 / 3 + 4 * 1.5 / 8) / 2)  # class-even draws have a third of it
