"""The parameters of the optimisation, the learning rate over the steps, and what is logged of them."""

import math
import re

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from longtail.errors import DataError
from longtail.methods.base import Sampling, Setup
from longtail.methods.softmax import Softmax
from longtail.training import meter as meters
from longtail.training.loop import Stretch, learning_rate
from longtail.training.meter import Meter, announcement
from longtail.training.optimisation import Optimisation


def rates(**changes: object) -> list[float]:
    how = Optimisation.model_validate({"iterations": 100, "learning_rate": 0.1, **changes})
    return [learning_rate(how, 100, step) for step in range(100)]


def test_a_constant_rate_is_constant() -> None:
    assert set(rates(schedule="constant")) == {0.1}


def test_steps_fall_after_their_shares_of_the_training_whatever_its_length() -> None:
    stepped = rates(schedule="step")  # as published: after epochs 160 and 180 of 200
    assert stepped[:80] == [0.1] * 80
    assert stepped[80:90] == pytest.approx([0.001] * 10)
    assert stepped[90:] == pytest.approx([0.00001] * 10)
    assert rates(schedule="step", milestones=[0.5], decay=0.1)[49:51] == pytest.approx([0.1, 0.01])


def test_the_cosine_falls_from_the_rate_to_nearly_0() -> None:
    falling = rates(schedule="cosine")
    assert falling[0] == 0.1
    assert falling[50] == pytest.approx(0.05)
    assert falling[99] == pytest.approx(0.05 * (1 + math.cos(math.pi * 0.99)))
    assert falling == sorted(falling, reverse=True)


def test_warm_up_rises_linearly() -> None:
    assert rates(schedule="constant", warm_up=4)[:6] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1])


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_stretches_of_a_schedule_are_the_whole_one_behind_each_other(schedule: str) -> None:
    whole = Optimisation.model_validate({"iterations": 100, "schedule": schedule, "warm_up": 30})
    part = whole.model_copy(update={"iterations": 25})
    stretches = [learning_rate(part, 25, step, Stretch(number, 4)) for number in range(4) for step in range(25)]
    assert stretches == [learning_rate(whole, 100, step) for step in range(100)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"iterations": 0},
        {"learning_rate": 0},
        {"optimiser": "lbfgs"},
        {"checkpoint_every": 30},
        {"momentum": 1},
        {"image_passes": 5},
        {"iterations": None},
    ],
)
def test_what_cannot_be_trained_with_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        rates(**wrong)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, dict[str, float]]]:
    """What is logged, with its step."""
    found: list[tuple[int, dict[str, float]]] = []
    monkeypatch.setattr(meters.tracking, "log_metrics", lambda values, step: found.append((step, values)))
    return found


def meter(clock: list[float], monkeypatch: pytest.MonkeyPatch, **changes: object) -> Meter:
    """A meter for steps of which four are logged together, and its clock."""
    monkeypatch.setattr(meters.time, "perf_counter", lambda: clock[0])
    how = Optimisation.model_validate({"iterations": 10, "log_every": 4, "checkpoint_every": 4, **changes})
    return Meter(how.log_every, 10, 0, [], shown=False)


def test_speed_and_loading_are_those_since_the_last_log(
    logged: list[tuple[int, dict[str, float]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    timed = meter(clock, monkeypatch)
    for step in range(1, 11):
        with timed.waiting():
            clock[0] += 1.0
        clock[0] += 3.0 if step <= 4 else 1.0
        timed.add(step, {"loss": torch.tensor(float(step)), "hinge": torch.tensor(0.5)}, images=40)
    speeds = [(step, values) for step, values in logged if "training/loader_share" in values]
    assert speeds == [
        (4, {"training/images_per_second": 10.0, "training/loader_share": 0.25}),
        (8, {"training/images_per_second": 20.0, "training/loader_share": 0.5}),
        (10, {"training/images_per_second": 20.0, "training/loader_share": 0.5}),
    ]
    assert timed.history == [
        {"iteration": 4.0, "loss": 2.5, "hinge": 0.5},
        {"iteration": 8.0, "loss": 6.5, "hinge": 0.5},
        {"iteration": 10.0, "loss": 9.5, "hinge": 0.5},
    ]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("first", [1, 6, 8])
@pytest.mark.parametrize(("names", "named"), [(["loss"], "loss"), (["hinge"], "hinge"), (["hinge", "loss"], "loss")])
def test_a_scalar_that_is_not_finite_is_named_with_its_iteration_and_never_logged(
    logged: list[tuple[int, dict[str, float]]],
    monkeypatch: pytest.MonkeyPatch,
    wrong: float,
    first: int,
    names: list[str],
    named: str,
) -> None:
    timed = meter([0.0], monkeypatch)
    monkeypatch.setattr(meters.time, "perf_counter", iter(range(1, 100)).__next__)

    def run() -> None:
        for step in range(1, 11):
            values = {"hinge": 0.5, "loss": 1.0} | (dict.fromkeys(names, wrong) if step == first else {})
            timed.add(step, {name: torch.tensor(value) for name, value in values.items()}, 40)

    with pytest.raises(DataError, match=f"^the {named} is not finite at iteration {first}: lower the learning rate"):
        run()
    assert [line["iteration"] for line in timed.history] == ([4.0] if first > 4 else [])
    assert {step for step, _ in logged} == ({4} if first > 4 else set())


def method(tasks: int, together: bool | None) -> Softmax:
    rng = np.random.default_rng(0)
    labels = {f"task-{number}": rng.integers(0, 2, 400) for number in range(tasks)}
    return Softmax(Setup(labels, Sampling(batch=16, together=together), 0))


def test_a_training_says_how_much_a_step_is_before_it_begins() -> None:
    one, three = method(1, None), method(3, None)
    assert announcement(one, one.batch(0), 0, 600) == "training: 600 steps, of about 16 images"
    said = announcement(three, three.batch(200), 200, 6000)
    assert re.fullmatch(
        r"training: 6,000 steps, from step 200 on, of about 4\d images: 3 tasks draw for themselves \(.*\)", said
    )


@pytest.mark.parametrize(
    ("tasks", "asked", "shares"), [(8, None, False), (9, None, True), (9, False, False), (2, True, True)]
)
def test_many_tasks_share_what_is_drawn_unless_they_are_told(tasks: int, asked: bool | None, shares: bool) -> None:
    chosen = method(tasks, asked)
    assert chosen.sampler.together == shares
    assert chosen.batch(0).whole == 16 if shares else chosen.batch(0).whole > 16
