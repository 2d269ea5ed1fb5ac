"""What a training begins with: which samples the γ of a kernel pooling is measured of."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from longtail.methods.base import Ints
from longtail.network.pooling.kernel import Kernel
from longtail.training.beginning import MEASURED, measure_gamma


def measured(training: Ints) -> Ints:
    """The samples that γ is measured of; the vectors of each hold its number, so γ says if all of them count."""
    asked: list[Ints] = []

    def plain(samples: Ints) -> Any:
        asked.append(samples)
        return np.repeat(samples, 6).reshape(-1, 3, 2).astype(np.float32)

    pooling = Kernel(2, 2, 4, 0, gamma=None, learned=False)
    network: Any = SimpleNamespace(pooling=pooling, backbone=nn.Identity())
    inputs: Any = SimpleNamespace(plain=plain)
    measure_gamma(network, inputs, training)
    found = np.concatenate(asked)
    assert float(pooling.gamma) == pytest.approx(1 / (2 * found.mean() ** 2), rel=1e-4)
    return found


@given(st.one_of(st.integers(1, 4 * MEASURED), st.integers(1, 10**6)))
def test_gamma_is_measured_of_samples_from_all_over_the_training(length: int) -> None:
    """Rows often lie in the order of classes or of sources, so the first ones are others than the last."""
    training = 7 + 3 * np.arange(length)
    places = (measured(training) - 7) // 3
    assert len(places) == min(MEASURED, length)
    assert (places[0], places[-1]) == (0, length - 1)
    steps = np.diff(places)
    assert (steps > 0).all()
    assert len(steps) == 0 or steps.max() - steps.min() <= 1


@pytest.mark.parametrize("length", [MEASURED - 1, MEASURED, MEASURED + 1, 2 * MEASURED - 1, 2 * MEASURED])
def test_gamma_is_measured_of_the_last_samples_too(length: int) -> None:
    assert measured(1 + np.arange(length))[-1] == length
