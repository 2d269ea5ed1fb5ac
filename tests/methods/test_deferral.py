"""Deferral is a share of the training, whatever its length: before it all is natural, and then as if it began there."""

from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from tiny import OPTIMISATION, run_stage

from longtail.data.samplers import Drawing, Scheme
from longtail.methods.base import Method, Sampling, Setup
from longtail.methods.catalogue import params_class
from longtail.network.snapshot import current, read_priors

LABELS = {"label": np.random.default_rng(0).permutation(np.repeat([-1, 0, 1, 2], [30, 300, 60, 9]))}
PLAIN = {"sampling": "natural", "cost": 0}
EVERY: tuple[Drawing, ...] = (*get_args(Scheme), 0.3)
# What can be deferred: what is drawn, what samples weigh, and what classes weigh.
DEFERRED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    *(({"kind": "softmax"}, {"sampling": scheme, "cost": 0.5}) for scheme in EVERY),
    *(({"kind": "class_balanced", "loss": loss, "beta": 0.99}, PLAIN) for loss in ("softmax", "focal", "ldam")),
]
LENGTHS = (1, 2, 7, 1000)
SHARES = (0.0, 0.3, 0.5, 0.8, 0.999)


def planned(method: dict[str, Any], steps: int, sampling: dict[str, Any], deferred: float = 0.0) -> Method:
    how = Sampling(batch=16, deferred=deferred, **sampling)
    made: Method = params_class(method["kind"])(**method).build(Setup(LABELS, how, 0))
    made.plan(steps)
    return made


def selected(method: Method, step: int) -> list[list[float]]:
    one = method.select(step)["label"]
    return [one.positions.tolist(), one.targets["codes"].tolist(), one.targets["weights"].tolist()]


@pytest.mark.parametrize(("method", "sampling"), DEFERRED)
def test_it_ends_at_its_share_of_the_steps(method: dict[str, Any], sampling: dict[str, Any]) -> None:
    for steps, share in product(LENGTHS, SHARES):
        begin = round(share * steps)
        late, natural = planned(method, steps, sampling, share), planned({"kind": "softmax"}, steps, PLAIN)
        for step in {0, begin - 1} & set(range(begin)):
            assert selected(late, step) == selected(natural, step)
        if begin < steps:
            at_once = planned(method, steps - begin, sampling)
            for step in {begin, begin + 1, steps - 1} & set(range(begin, steps)):
                assert selected(late, step) == selected(at_once, step - begin)


@pytest.mark.parametrize(("method", "sampling"), DEFERRED)
def test_where_it_rounds_to_the_whole_the_prior_is_that_of_what_was_drawn(
    method: dict[str, Any], sampling: dict[str, Any]
) -> None:
    for steps, share in ((1, 0.8), (2, 0.8), (7, 0.999), (300, 0.999)):
        late = planned(method, steps, sampling, share)
        drawn = np.concatenate([late.select(step)["label"].targets["codes"] for step in range(steps)][-200:])
        assert late.trained_prior({"label": 3}, steps)["label"] == pytest.approx(
            np.bincount(drawn, minlength=3) / len(drawn)
        )


def trained(prepared: Path, model: Path, steps: int, **how: Any) -> npt.NDArray[np.float32]:
    length = {**OPTIMISATION, "iterations": steps, "log_every": 1, "checkpoint_every": 100}
    run_stage(prepared, "fit", paths={"model": str(model)}, batch=6, optimisation=length, **how)
    prior = read_priors(current(model), "digit")[0]
    assert prior is not None
    return prior


@pytest.mark.parametrize(("scheme", "deferred"), [("natural", 0.0), *product(EVERY[1:], (0.0, 0.5, 0.9))])
def test_a_training_of_one_step_runs_by_every_scheme(
    tmp_path: Path, prepared: Path, scheme: Drawing, deferred: float
) -> None:
    prior = trained(prepared, tmp_path / "model", 1, sampling=scheme, cost=0, deferred=deferred)
    assert prior.sum() == pytest.approx(1)


@pytest.mark.parametrize("steps", [1, 2, 7, 330])
def test_ldam_with_deferred_weights_trains_at_any_length(tmp_path: Path, prepared: Path, steps: int) -> None:
    """DRW of the authors' code began at epoch 160 of whatever length, and failed beyond 320."""
    method = {"kind": "class_balanced", "loss": "ldam"}
    prior = trained(prepared, tmp_path / "model", steps, method=method, deferred=0.8, **PLAIN)
    assert np.isfinite(prior).all()
