"""Rotating, mirroring, resizing and blending digits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from longtail.errors import DataError
from longtail.sources.collection import Pixels
from longtail.sources.rotback import Photographs, Poses, draw_poses, place, render


def digit(side: int = 28) -> Pixels:
    canvas = np.zeros((side, side))
    canvas[8:20, 12:15] = canvas[8:11, 12:20] = 255  # a 7 turned over: neither symmetric nor centred
    return ndimage.gaussian_filter(canvas, 1).astype(np.uint8)


def pose(angle: float = 0.0, mirror: bool = False, scale: float = 1.0) -> Poses:
    return Poses(np.array([angle]), np.array([mirror]), np.array([scale]))


def test_the_identity_changes_nothing() -> None:
    assert (place(digit()[None], pose())[0] == digit()).all()


def test_a_quarter_turn_is_rot90() -> None:
    difference = place(digit()[None], pose(angle=90))[0].astype(int) - np.rot90(digit())
    assert np.abs(difference).max() <= 1


def test_a_mirrored_digit_is_flipped_left_to_right() -> None:
    assert (place(digit()[None], pose(mirror=True))[0] == np.fliplr(digit())).all()


@settings(deadline=None)
@given(st.floats(0, 360), st.booleans())
def test_rotation_keeps_the_ink_of_a_digit_in_the_middle(angle: float, mirror: bool) -> None:
    turned = place(digit()[None], pose(angle, mirror))[0]
    assert turned.sum() == pytest.approx(digit().sum(), rel=0.05)


@settings(deadline=None)
@given(st.floats(0, 360), st.floats(0.8, 1.2))
def test_resizing_changes_the_ink_by_the_square_of_the_scale(angle: float, scale: float) -> None:
    resized = place(digit()[None], pose(angle, scale=scale))[0]
    assert resized.sum() == pytest.approx(digit().sum() * scale**2, rel=0.08)


@pytest.mark.parametrize("angle", [17.0, 200.0])
def test_rotation_agrees_with_scipy(angle: float) -> None:
    expected = ndimage.rotate(digit().astype(float), angle, reshape=False, order=3)
    assert np.abs(place(digit()[None], pose(angle))[0] - expected.clip(0, 255)).mean() < 2


def test_poses_are_drawn_within_their_ranges() -> None:
    poses = draw_poses(np.random.default_rng(0), 5000, rotate=True, mirror=True, scale=(0.9, 1.1))
    assert 0 <= poses.angle.min() < 10
    assert 350 < poses.angle.max() < 360
    assert 0.45 < poses.mirror.mean() < 0.55
    assert 0.9 <= poses.scale.min() < poses.scale.max() <= 1.1


def half_flat() -> Pixels:
    photograph = np.full((40, 200), 100, np.uint8)
    photograph[:, 100:] = np.random.default_rng(0).integers(0, 256, (40, 100))
    return photograph


def test_patches_of_low_variance_are_passed_over() -> None:
    patches = Photographs([half_flat()], 15.0, 255.0).patches(np.random.default_rng(0), 200, 28, 28)
    assert patches.std(axis=(1, 2)).min() >= 15


def test_bright_patches_are_passed_over() -> None:
    photograph = (np.arange(300) * 0.85).astype(np.uint8)[None].repeat(40, axis=0)
    patches = Photographs([photograph], 0.0, 100.0).patches(np.random.default_rng(0), 200, 28, 28)
    assert patches.mean(axis=(1, 2)).max() <= 100


def test_photographs_without_a_usable_patch_are_an_error() -> None:
    with pytest.raises(DataError, match="hardly any background patch"):
        Photographs([np.zeros((40, 40), np.uint8)], 15.0, 180.0).patches(np.random.default_rng(0), 3, 28, 28)


def test_photographs_smaller_than_a_digit_are_an_error() -> None:
    with pytest.raises(DataError, match="as large as 28×28"):
        Photographs([np.zeros((40, 20), np.uint8)], 0.0, 255.0).patches(np.random.default_rng(0), 3, 28, 28)


def test_each_pixel_is_the_brighter_of_digit_and_patch() -> None:
    photographs = Photographs([half_flat()], 0.0, 255.0)
    blocks = render(
        digit()[None],
        np.zeros(5, np.int64),
        pose()[np.zeros(5, int)],
        photographs,
        seed=np.random.SeedSequence(0),
        workers=1,
    )
    rendered = np.concatenate(list(blocks))
    assert (rendered >= digit()).all()
    assert (rendered[:, 0, 0] != 0).any()
