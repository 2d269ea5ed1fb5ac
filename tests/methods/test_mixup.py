"""Mixup and Remix: mixtures of images, and what share of the label each class has."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import beta
from tiny import DIGIT, KIDS, SHAPE

from longtail.methods.base import Sampling, Setup
from longtail.methods.catalogue import CATALOGUE, params_class
from longtail.methods.classifier import ClassifierParams
from longtail.methods.mixup import Mixed, Mixup, label_weights, mix
from longtail.methods.softmax import Params, Softmax
from longtail.network.network import Network, NetworkParams
from longtail.training.params import TrainingParams

NO_IMAGES = torch.empty(0)


def remix(share: float, own: int, other: int, kappa: float, tau: float) -> float:
    """Eq. 8 of Remix for one pair."""
    if own / other >= kappa and share < tau:
        return 0.0
    if own / other <= 1 / kappa and 1 - share < tau:
        return 1.0
    return share


@given(
    st.floats(0, 1),
    st.lists(st.integers(1, 10**6), min_size=2, max_size=5),
    st.floats(1, 20),
    st.floats(0, 1),
)
def test_remix_labels_a_pair_as_its_equation_says(share: float, counts: list[int], kappa: float, tau: float) -> None:
    pairs = torch.cartesian_prod(*[torch.arange(len(counts))] * 2)
    mixed = Mixed(NO_IMAGES, NO_IMAGES, share, Mixup(kappa=kappa, tau=tau))
    found = mixed.label_shares(pairs[:, 0], pairs[:, 1], torch.tensor(counts))
    for (i, j), of_own in zip(pairs.tolist(), found.tolist(), strict=True):
        ratio = counts[i] / counts[j]
        if min(abs(ratio / kappa - 1), abs(ratio * kappa - 1)) > 1e-6:  # else it hangs on the last bit of a quotient
            assert of_own == pytest.approx(remix(share, counts[i], counts[j], kappa, tau))


@pytest.mark.parametrize("alpha", [0.01, 0.05, 1.0, 1000.0])
def test_shares_are_drawn_from_beta_at_both_ends_of_what_alpha_may_be(alpha: float) -> None:
    """torch's own sampler has 1/2 where both of its gammas underflow, which is likely below 0.01."""
    torch.manual_seed(0)
    shares = np.array([mix(torch.zeros(1, 1, 1, 1), Mixup(alpha=alpha)).share for _ in range(4000)])
    for low, high in ((0.25, 0.75), (0.45, 0.55)):
        within = beta.cdf(high, alpha, alpha) - beta.cdf(low, alpha, alpha)
        assert ((shares > low) & (shares < high)).mean() == pytest.approx(within, abs=0.01)


@pytest.mark.parametrize("alpha", [0.001, float("inf")])
def test_an_alpha_that_torch_cannot_draw_is_refused(alpha: float) -> None:
    with pytest.raises(ValidationError):
        Mixup(alpha=alpha)


def test_mixup_labels_by_the_share_and_a_partner_without_a_label_changes_nothing() -> None:
    codes, partners, counts = torch.tensor([0, 1, 0]), torch.tensor([1, 0, -1]), torch.tensor([100, 1])
    assert Mixed(NO_IMAGES, NO_IMAGES, 0.3, Mixup()).label_shares(codes, partners, counts).tolist() == pytest.approx(
        [0.3] * 3
    )
    assert Mixed(NO_IMAGES, NO_IMAGES, 0.3, Mixup(kappa=3)).label_shares(
        codes, partners, counts
    ).tolist() == pytest.approx([0, 0.3, 0.3])


@pytest.mark.parametrize("alpha", [0.1, 1.0, 8.0])
def test_every_image_is_mixed_once_as_own_and_once_as_partner(alpha: float) -> None:
    torch.manual_seed(0)
    images = torch.eye(9).reshape(9, 1, 3, 3)
    mixed = mix(images, Mixup(alpha=alpha))
    assert sorted(mixed.partners.tolist()) == list(range(9))
    expected = mixed.share * images + (1 - mixed.share) * images[mixed.partners]
    assert torch.equal(mixed.images, expected)


def network() -> Network:
    torch.manual_seed(0)
    return Network(NetworkParams(embedding=8), [DIGIT, KIDS], SHAPE).eval()


def softmax(labels: dict[str, Any], how: Mixup, **sampling: Any) -> Softmax:
    return Params(mixup=how).build(Setup(labels, Sampling(batch=40, **sampling), 0))


@pytest.mark.parametrize("how", [Mixup(), Mixup(kappa=2, tau=0.9)])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("cost", [0, 1])
def test_the_loss_is_cross_entropy_with_the_mixed_label(how: Mixup, together: bool, cost: float) -> None:
    """Each label has the weight of its own image."""
    rng = np.random.default_rng(0)
    labels = {"digit": rng.choice(3, 80, p=[0.7, 0.2, 0.1]), "kids": rng.integers(-1, 2, 80)}
    method, made = softmax(labels, how, sampling="natural", cost=cost, together=together), network()
    batch = method.batch(3)
    images = torch.randn(len(batch.samples), 1, 28, 28)
    torch.manual_seed(5)
    loss = method.loss(made, images, batch)["loss"]
    torch.manual_seed(5)
    mixed = mix(images, how)
    expected = torch.zeros(())
    for task, logits in made.logits(mixed.images).items():
        rows, codes, weights = batch.rows[task].tolist(), *(batch.targets[task][name] for name in ("codes", "weights"))
        of_images = dict(zip(rows, zip(codes.tolist(), weights.tolist(), strict=True), strict=True))
        counts = np.bincount(labels[task][labels[task] >= 0])
        for row in rows:
            (own, weight), other = of_images[row], of_images.get(int(mixed.partners[row]))
            target = torch.zeros(logits.shape[1])
            share = mixed.share
            if other is not None:
                if how.kappa:
                    share = remix(share, counts[own], counts[other[0]], how.kappa, how.tau)
                target[other[0]] += (1 - share) * other[1]
            target[own] += share * weight
            expected = expected - (target * F.log_softmax(logits[row], 0)).sum()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("how", [Mixup(), Mixup(kappa=2, tau=0.9)])
@pytest.mark.parametrize("kind", [kind for kind in CATALOGUE if issubclass(params_class(kind), ClassifierParams)])
def test_a_partner_without_a_label_is_no_class_0_which_may_never_have_been_trained(kind: str, how: Mixup) -> None:
    """Whatever class stood in for none, its loss would be multiplied by 0: of an infinite one that is no number."""
    labels = {"digit": np.tile([-1, 1, 2, 1], 20), "kids": np.tile([0, -1, 1, 1], 20)}
    params = params_class(kind)(mixup=how)
    method = params.build(Setup(labels, Sampling(batch=40, sampling="natural", cost=0), 0))
    torch.manual_seed(0)
    made = Network(NetworkParams(embedding=8), [DIGIT, KIDS], SHAPE, head=params.head).eval()
    batch = method.batch(0)
    loss = method.loss(made, torch.randn(len(batch.samples), 1, 28, 28), batch)["loss"]
    assert torch.isfinite(loss)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)


# Of the rarest class a mini-batch has several draws of the same image; of the second task most images have no label.
ONE = {"digit": np.repeat([0, 1, 2, -1], [200, 60, 8, 40])}
TWO = {"digit": np.repeat([0, 1, 2, -1], [200, 60, 20, 40]), "kids": np.repeat([0, -1, 1], [100, 200, 20])}


@pytest.mark.parametrize("tasks", [ONE, TWO])
@pytest.mark.parametrize("how", [Mixup(), Mixup(alpha=0.4, kappa=3, tau=0.5), Mixup(kappa=1.5, tau=0.8)])
@pytest.mark.parametrize(
    "sampling",
    [
        {"sampling": "natural", "cost": 0},
        {"sampling": "square_root", "cost": 1},
        {"sampling": "class_even", "cost": 0},
        {"sampling": "natural", "cost": 1, "together": True},
    ],
)
def test_the_prior_is_that_of_the_mixed_labels(tasks: dict[str, Any], how: Mixup, sampling: dict[str, Any]) -> None:
    """A partner is any image of the mini-batch, each as likely, however often it was drawn and by which task."""
    rng = np.random.default_rng(0)
    labels = {task: rng.permutation(codes) for task, codes in tasks.items()}
    method = softmax(labels, how, **sampling)
    found = method.trained_prior(dict.fromkeys(labels, 4), 300)
    total = {task: np.zeros(4) for task in labels}
    torch.manual_seed(0)
    quantiles = (rng.permutation(600) + 0.5) / 600  # of λ: as if it had been drawn far more often
    for step, share in enumerate(beta.ppf(quantiles, how.alpha, how.alpha)):
        batch = method.batch(100 + step % 200)  # the steps that are measured
        mixed = Mixed(NO_IMAGES, torch.randperm(len(batch.samples)), share, how)
        for task, rows in batch.rows.items():
            own, weights = batch.targets[task]["codes"], batch.targets[task]["weights"].numpy()
            images = mixed.partners[rows]
            partners = torch.full((len(batch.samples),), -1).scatter(0, rows, own)[images]
            theirs = torch.zeros(len(batch.samples)).scatter(0, rows, batch.targets[task]["weights"])[images].numpy()
            shares = mixed.label_shares(own, partners, torch.from_numpy(method.class_counts(task, 4))).numpy()
            known = partners.numpy() >= 0
            np.add.at(total[task], own.numpy(), shares * weights)
            np.add.at(total[task], partners.numpy()[known], ((1 - shares) * theirs)[known])
    for task, prior in found.items():
        assert np.allclose(prior, total[task] / total[task].sum(), atol=0.012), task
        assert prior[3] == 0


@settings(deadline=None, max_examples=50)
@given(st.data(), st.floats(0.2, 4), st.floats(1, 20), st.floats(0, 1))
def test_the_mean_label_is_that_of_every_pair_and_share(
    data: st.DataObject, alpha: float, kappa: float, tau: float
) -> None:
    counts = data.draw(st.lists(st.sampled_from([1, 10**9]) | st.integers(1, 10**9), min_size=1, max_size=4))
    how = data.draw(st.sampled_from([Mixup(alpha=alpha), Mixup(alpha=alpha, kappa=kappa, tau=tau)]))
    codes = np.array(data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=5)), np.int64)
    partners = np.array([*codes, *data.draw(st.lists(st.just(-1), max_size=3))], np.int64)
    of_classes = np.random.default_rng(0).uniform(0.1, 1, len(counts))
    weights = of_classes[codes]
    expected = np.zeros(len(counts))
    for code, weight in zip(codes, weights, strict=True):
        for partner in partners:
            of_own = own_share(counts, int(code), int(partner), how)
            expected[code] += weight * of_own / len(partners)
            expected[partner] += of_classes[partner] * (1 - of_own) / len(partners) if partner >= 0 else 0.0
    classes, found = label_weights(codes, weights, partners, np.array(counts), how)
    assert sorted(set(codes.tolist())) == classes.tolist()
    assert expected[classes] == pytest.approx(found, abs=5e-3)


def own_share(counts: list[int], own: int, partner: int, how: Mixup) -> float:
    """E[label share of the own class] over λ ~ Beta(α, α), by its quantiles."""
    shares = beta.ppf((np.arange(500) + 0.5) / 500, how.alpha, how.alpha)
    if how.kappa is None or partner < 0:
        return float(np.mean(shares))
    more, less = counts[own] >= how.kappa * counts[partner], counts[partner] >= how.kappa * counts[own]
    if more == less:  # also of equal counts, where κ is 1: on average over the pair and its mirror image
        return 0.5
    swapped = np.where(shares < how.tau, 0.0, shares) if more else np.where(1 - shares < how.tau, 1.0, shares)
    return float(np.mean(swapped))


def test_labels_of_mixtures_with_images_that_have_none() -> None:
    codes, weights, partners = np.array([0, 0, 1]), np.full(3, 1 / 3), np.array([0, 0, 1, -1])
    classes, of_classes = label_weights(codes, weights, partners, np.array([2, 1]), Mixup())
    assert classes.tolist() == [0, 1]
    # Half of the label is the own; the other half goes by the partner, of which a quarter has none.
    assert of_classes.tolist() == pytest.approx([1 / 3 + 0.5 * 0.5, 1 / 6 + 0.5 * 0.25])


@pytest.mark.parametrize(
    ("kind", "own", "sampling"),
    [
        ("softmax", {}, {"cost": 0}),
        ("softmax", {}, {"cost": 1}),
        ("class_balanced", {"beta": 1 - 1e-9}, {"cost": 0}),
    ],
)
def test_mixtures_leave_the_prior_as_it_is_without_them(
    kind: str, own: dict[str, Any], sampling: dict[str, Any]
) -> None:
    """Each label has the weight of its own image, so rare classes count as much as they are to."""
    codes = {"digit": np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3], [700, 200, 80, 20]))}
    plain, mixed = (
        params_class(kind)(mixup=how, **own).build(Setup(codes, Sampling(batch=64, sampling="natural", **sampling), 0))
        for how in (None, Mixup())
    )
    summed = np.zeros(4)
    for step in range(400):
        of_step, weights = mixed.classifier_targets("digit", mixed.select(step))
        np.add.at(summed, of_step, weights)
    assert summed / summed.sum() == pytest.approx(plain.trained_prior({"digit": 4}, 400)["digit"], abs=0.015)
    assert mixed.trained_prior({"digit": 4}, 400)["digit"] == pytest.approx(summed / summed.sum(), abs=0.015)


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ({"kind": "balanced_softmax", "mixup": {"kappa": 3}}, "made up for twice; leave out `kappa`"),
        ({"kind": "softmax", "mixup": {"tau": 0.9}}, "`mixup.tau` is of Remix"),
        ({"kind": "class_balanced", "gamma": 2}, "`gamma` is of `loss: focal`, and the loss is softmax"),
        ({"kind": "class_balanced", "loss": "ldam", "gamma": 2}, "`gamma` is of `loss: focal`, and the loss is ldam"),
        ({"kind": "class_balanced", "loss": "focal", "scale": 5}, "`scale` is of `loss: ldam`"),
        ({"kind": "class_balanced", "max_margin": 0.2}, "`max_margin` is of `loss: ldam`"),
    ],
)
def test_what_would_be_in_vain_is_refused_in_a_training_but_read_of_a_model(method: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TrainingParams(method=method, sampling="natural", cost=0)  # type: ignore[arg-type]
    assert params_class(method["kind"]).model_validate(method).model_dump()["kind"] == method["kind"]


@pytest.mark.parametrize("method", [{"kind": "softmax", "mixup": {"kappa": 3, "tau": 0.9}}, {"kind": "class_balanced"}])
def test_what_goes_together_is_not_refused(method: dict[str, Any]) -> None:
    TrainingParams(method=method, sampling="natural", cost=0)  # type: ignore[arg-type]
