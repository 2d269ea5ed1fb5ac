"""The parameters of the optimisation, and the learning rate over the steps."""

import math

import pytest
from pydantic import ValidationError

from longtail.training import Optimisation, learning_rate


def rates(**changes: object) -> list[float]:
    how = Optimisation.model_validate({"iterations": 100, "learning_rate": 0.1, **changes})
    return [learning_rate(how, step) for step in range(100)]


def test_a_constant_rate_is_constant() -> None:
    assert set(rates(schedule="constant")) == {0.1}


def test_the_cosine_falls_from_the_rate_to_nearly_0() -> None:
    falling = rates(schedule="cosine")
    assert falling[0] == 0.1
    assert falling[50] == pytest.approx(0.05)
    assert falling[99] == pytest.approx(0.05 * (1 + math.cos(math.pi * 0.99)))
    assert falling == sorted(falling, reverse=True)


def test_warm_up_rises_linearly() -> None:
    assert rates(schedule="constant", warm_up=4)[:6] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1])


@pytest.mark.parametrize(
    "wrong",
    [{"iterations": 0}, {"learning_rate": 0}, {"optimiser": "lbfgs"}, {"checkpoint_every": 30}, {"momentum": 1}],
)
def test_what_cannot_be_trained_with_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        rates(**wrong)
