"""The embedded default: digits over photographs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from longtail.sources.digits import Digits

SHAPE = (28, 28, 1)


@pytest.fixture
def digits(load: Callable[..., Any]) -> Any:
    return load(Digits(kind="digits", copies=2), SHAPE)


def test_every_digit_is_there_as_often_as_there_are_copies(digits: Any) -> None:
    assert digits.pixels.shape == (2 * 1797, *SHAPE)
    assert digits.samples["digit"].tolist() == [str(d) for d in np.repeat(load_digits().target, 2)]


def test_the_copies_of_a_digit_are_one_group(digits: Any) -> None:
    assert digits.samples.groupby("group").size().eq(2).all()
    assert digits.samples["id"].is_unique


def test_the_copies_of_a_digit_differ(digits: Any) -> None:
    assert (digits.pixels[::2] != digits.pixels[1::2]).any(axis=(1, 2, 3)).all()


def test_the_digit_is_not_clipped(load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtail.sources.digits.Photographs", lambda *_: None)
    pixels = load(Digits(kind="digits", copies=1), SHAPE).pixels[..., 0]
    rim = np.ones((28, 28), bool)
    rim[1:-1, 1:-1] = False
    assert (pixels[:, rim].max(axis=1) > 128).mean() < 0.03


def test_the_seed_decides_the_pixels_and_the_workers_do_not(load: Callable[..., Any]) -> None:
    source = Digits(kind="digits", copies=2)
    one, two, other = load(source, SHAPE, workers=1), load(source, SHAPE, workers=3), load(source, SHAPE, seed=1)
    assert (one.pixels == two.pixels).all()
    assert (one.pixels != other.pixels).any()


def test_any_image_shape_can_be_asked(load: Callable[..., Any]) -> None:
    assert load(Digits(kind="digits", copies=1), (32, 32, 3)).pixels.shape == (1797, 32, 32, 3)
