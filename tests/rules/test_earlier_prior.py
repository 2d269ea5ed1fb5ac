"""The adjusted head of trainings whose sampling changes: by the prior that the head has, not by what was meant."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F

from longtail.methods.base import Sampling, Setup
from longtail.methods.softmax import Softmax
from longtail.rules.base import Evidence
from longtail.rules.head_adjusted import HeadAdjusted
from longtail.rules.search import Search, mean_class_accuracy
from longtail.training.loop import learning_rate
from longtail.training.optimisation import Optimisation

STEPS = 900
DEFERRED = {"batch": 64, "sampling": "class_even", "cost": 0, "deferred": 0.8}
NATURAL = {"batch": 64, "sampling": "natural", "cost": 0}
MEANS = 1.2 * np.array([[0, 0], [1.5, 0], [0, 1.5], [1.5, 1.5]])
SIZES = [1800, 390, 84, 18]


def drawn(sizes: list[int], rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    codes = np.repeat(np.arange(4), sizes)
    return rng.normal(size=(len(codes), 2)) + MEANS[codes], codes


def head_trained(sampling: Sampling, schedule: str) -> tuple[Softmax, torch.nn.Linear]:
    """A linear classifier of four classes of points, trained on the mini-batches of a method."""
    rng = np.random.default_rng(0)
    points, codes = drawn(SIZES, rng)
    one = Softmax(Setup({"label": codes}, sampling, 0))
    one.plan(STEPS)
    how = Optimisation(iterations=STEPS, learning_rate=0.05, schedule=schedule, warm_up=25)
    torch.manual_seed(0)
    layer = torch.nn.Linear(2, 4)
    optimiser = torch.optim.SGD(layer.parameters(), 0.05, momentum=0.9)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = learning_rate(how, STEPS, step)
        targets = (selected := one.select(step)["label"]).targets
        logits = layer(torch.from_numpy(points[selected.positions]).float())
        losses = F.cross_entropy(logits, torch.from_numpy(targets["codes"]), reduction="none")
        optimiser.zero_grad()
        (losses * torch.from_numpy(targets["weights"])).sum().backward()
        optimiser.step()
    return one, layer


@pytest.mark.parametrize(("schedule", "gain"), [("step", 0.05), ("cosine", 0.01), ("constant", -0.02)])
def test_a_head_that_the_deferred_part_does_not_reach_is_corrected_as_what_it_is(schedule: str, gain: float) -> None:
    """The last fifth of a training has a thousandth of its learning rate by steps, by a constant one a fifth."""
    rng = np.random.default_rng(1)
    points, truth = drawn([1500] * 4, rng)
    validation = np.where(np.arange(6000) % 2, truth, -1)
    accuracy = {}
    for name, how in (("deferred", DEFERRED), ("natural", NATURAL)):
        one, layer = head_trained(Sampling.model_validate(how), schedule)
        logits = layer(torch.from_numpy(points).float()).detach().numpy()
        end, beginning = one.trained_prior({"label": 4}, STEPS), one.earlier_prior({"label": 4}, STEPS)
        evidence = Evidence(
            points, logits, np.full(6000, -1), validation, 4, 10, Search(), 0, end["label"],
            earlier=beginning["label"] if beginning else None,
        )  # fmt: skip
        rule = HeadAdjusted.fit(evidence, {})
        said = rule.predict(points, logits)[0]
        accuracy[name] = mean_class_accuracy(truth[validation < 0], said[validation < 0])
        plain = mean_class_accuracy(truth[validation < 0], logits.argmax(1)[validation < 0])
        if name == "deferred":
            assert rule.earlier == (schedule != "constant")
            assert accuracy[name] > plain + gain
    assert accuracy["deferred"] > accuracy["natural"] - 0.03
