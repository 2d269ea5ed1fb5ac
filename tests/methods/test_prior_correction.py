"""Ways to correct a prior against each other and against the best classifier, on classes whose best one is known."""

from collections.abc import Callable
from functools import cache
from itertools import product
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from longtail.methods.base import Sampling, Setup
from longtail.methods.catalogue import params_class
from longtail.rules.head_adjusted import adjustment

Floats = npt.NDArray[np.float64]
# Two features, each the number of successes in two trials. As with normal classes of equal covariance, the log of what
# a class gives a point is linear in it. The samples have every point as often as the class says, so there is no noise.
SUCCESS = ((1, 1), (3, 1), (2, 3))  # of four, for each class and feature
SIZES = np.array([16, 4, 1]) * 4**4
POINTS = np.array(list(product(range(3), repeat=2)))
CHANCES = [[[comb(2, x) * (p / 4) ** x * (1 - p / 4) ** (2 - x) for x in range(3)] for p in of] for of in SUCCESS]
LIKELIHOOD = np.array([np.outer(*of).ravel() for of in CHANCES])  # (3, 9): of each class at each point
LABELS = np.repeat(np.arange(3), SIZES)
SAMPLES = np.concatenate(
    [np.repeat(np.arange(9), np.rint(n * of).astype(int)) for n, of in zip(SIZES, LIKELIHOOD, strict=True)]
)
# Mini-batches that hold every sample of a class as often as any other of it: then one step has the whole gradient.
WHOLE = {"natural": len(LABELS), "class_even": 3 * SIZES[0], "over": 3 * SIZES[0], "square_root": 4 * len(LABELS)}
ALMOST_1 = 1 - 1e-9
# Not focal, LDAM and smoothed labels: what they end at is another function of the probabilities.
WAYS: list[tuple[str, dict[str, Any]]] = [
    ("softmax", {}),
    ("softmax", {"cost": 1}),
    ("softmax", {"cost": 0.4}),
    ("softmax", {"sampling": "class_even"}),
    ("softmax", {"sampling": "over"}),
    ("softmax", {"sampling": "square_root"}),
    ("crt", {"sampling": "class_even"}),
    *(("balanced_softmax", {"strength": strength}) for strength in (0.3, 1.0, 1.7)),
    *(("class_balanced", {"beta": beta}) for beta in (0.0, 0.999, ALMOST_1)),
    ("class_balanced", {"beta": ALMOST_1, "normalise": "weights"}),
]


def bayes(target: npt.ArrayLike) -> Floats:
    """The logits (9, 3) of the best classifier at the points, where classes come as the target has them."""
    return centred(np.log(LIKELIHOOD).T + np.log(target))


def centred(logits: Floats) -> Floats:
    """Without what is the same for all classes, which changes no probability."""
    return logits - logits.mean(1, keepdims=True)


@cache
def trained(kind: str, sampling: str = "natural", cost: float = 0, **own: Any) -> tuple[Floats, Floats]:
    """The logits (9, 3) of a linear classifier trained to the end, and the prior (3,) that it says is left."""
    how = Sampling.model_validate({"batch": WHOLE[sampling], "sampling": sampling, "cost": cost})
    method = params_class(kind)(**own).build(Setup({"t": LABELS}, how, 0))
    step = method.select(0)["t"]
    codes, weights = (torch.from_numpy(step.targets[name]) for name in ("codes", "weights"))
    inputs = torch.from_numpy(np.insert(POINTS, 2, 1, axis=1)).double()  # the last is for the bias
    drawn = inputs[SAMPLES[step.positions]]
    layer = minimum(lambda layer: (method.losses("t", drawn @ layer, codes) * weights).sum())
    return centred((inputs @ layer).numpy()), method.trained_prior({"t": 3}, 1)["t"]


def minimum(loss: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """The (3, 3) at which a convex loss is least."""
    found = torch.zeros((3, 3), dtype=torch.float64, requires_grad=True)
    options = {"max_iter": 300, "tolerance_grad": 1e-10, "tolerance_change": 1e-14}
    optimiser = torch.optim.LBFGS([found], line_search_fn="strong_wolfe", **options)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss(found)
        value.backward()
        return value

    optimiser.step(closure)
    return found.detach()


def same(one: Floats, other: Floats) -> bool:
    """Whether logits are equal at the points: being linear they then are everywhere, and so are the boundaries."""
    return bool(np.allclose(one, other, atol=1e-5))


def corrected(kind: str, target: npt.ArrayLike | None = None, **how: Any) -> Floats:
    """Trained, and then turned from the prior that is left to the target, by default the even one."""
    logits, prior = trained(kind, **how)
    return centred(logits + adjustment(prior, None if target is None else np.asarray(target), 1.0))


def test_cross_entropy_ends_at_the_best_classifier_of_the_prior_that_it_was_trained_on() -> None:
    """That is what makes the toy one whose solution is known."""
    assert same(trained("softmax")[0], bayes(SIZES / SIZES.sum()))
    assert same(trained("softmax", sampling="class_even")[0], bayes([1 / 3] * 3))
    assert (bayes(SIZES / SIZES.sum()).argmax(1) != bayes([1 / 3] * 3).argmax(1)).any(), "the prior moves the boundary"


def test_adding_the_log_prior_in_training_is_subtracting_it_afterwards() -> None:
    during, afterwards = trained("balanced_softmax")[0], corrected("softmax")
    assert same(during, afterwards)
    assert same(during, bayes([1 / 3] * 3))


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.5, 2.0])
def test_what_a_strength_leaves_the_rest_of_it_corrects(strength: float) -> None:
    logits, left = trained("balanced_softmax", strength=strength)
    by_the_rest = centred(logits + adjustment(SIZES, None, 1 - strength))
    assert same(by_the_rest, bayes([1 / 3] * 3))
    assert same(by_the_rest, centred(logits + adjustment(left, None, 1.0)))
    assert same(by_the_rest, corrected("softmax"))


@pytest.mark.parametrize("normalise", ["samples", "weights"])
def test_weights_by_inverse_frequency_are_class_even_sampling(normalise: str) -> None:
    weighed = trained("class_balanced", beta=ALMOST_1, normalise=normalise)[0]
    assert same(weighed, trained("softmax", sampling="class_even")[0])


@pytest.mark.parametrize("target", [None, (0.2, 0.3, 0.5), (0.97, 0.02, 0.01), SIZES / SIZES.sum()])
@pytest.mark.parametrize(("kind", "how"), WAYS)
def test_every_way_of_training_corrected_by_what_it_leaves_is_the_best_for_the_target(
    kind: str, how: dict[str, Any], target: Any
) -> None:
    """So class-even and even → target is natural and natural → target, and nothing is corrected twice or not at all."""
    assert same(corrected(kind, target, **how), bayes([1 / 3] * 3 if target is None else target))
