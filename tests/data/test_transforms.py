"""Augmentation: what is off does nothing, and the map is the one that is asked for."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from longtail.data import transforms
from longtail.data.transforms import Augmentation, augment, draw, to_float

# The five draws of an image, in [0, 1]: angle, scale, two shifts, mirror; ½ is none, 1 the upper end.
NONE = 0.5


def images(height: int = 12, width: int = 12, count: int = 3) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (count, 2, height, width)).astype(np.float32))


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """Decides the draws instead of torch."""
    decided = {"of_an_image": [NONE] * 5}

    def rand(shape: tuple[int, int], generator: None) -> Tensor:
        return torch.tensor(decided["of_an_image"])[:, None].expand(shape).clone()

    monkeypatch.setattr(transforms.torch, "rand", rand)
    return decided


def test_bytes_become_floats_between_minus_one_and_one() -> None:
    raw = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 3, 1).repeat(1, 2, 1, 4)
    floats = to_float(raw)
    assert floats.shape == (1, 4, 2, 3)
    assert floats[0, 0, 0].tolist() == pytest.approx([-1, -0.6, 1])


def test_nothing_asked_gives_the_same_images_and_draws_nothing() -> None:
    state = torch.get_rng_state()
    given = images()
    assert augment(given, Augmentation()) is given
    assert torch.equal(torch.get_rng_state(), state)


def test_the_middle_of_every_range_is_the_identity(draws: dict[str, list[float]]) -> None:
    given = images()
    how = Augmentation(rotate=30, scale=0.2, shift=0.1)
    assert torch.allclose(augment(given, how), given, atol=1e-5)


def test_a_positive_quarter_turn_is_one_of_rot90(draws: dict[str, list[float]]) -> None:
    """Counter-clockwise, as torch.rot90 and a positive angle in a plot with y upwards."""
    draws["of_an_image"] = [1.0, NONE, NONE, NONE, NONE]
    given = images()
    assert torch.allclose(augment(given, Augmentation(rotate=90)), torch.rot90(given, 1, (2, 3)), atol=1e-4)


def test_a_half_turn_of_an_oblong_image_is_rot90_twice(draws: dict[str, list[float]]) -> None:
    draws["of_an_image"] = [1.0, NONE, NONE, NONE, NONE]
    given = images(8, 20)
    assert torch.allclose(augment(given, Augmentation(rotate=180)), torch.rot90(given, 2, (2, 3)), atol=1e-4)


def test_a_quarter_turn_of_an_oblong_image_does_not_squash_it(draws: dict[str, list[float]]) -> None:
    draws["of_an_image"] = [1.0, NONE, NONE, NONE, NONE]
    given = images(8, 20)
    middle = given[:, :, :, 6:14]
    turned = augment(given, Augmentation(rotate=90))[:, :, :, 6:14]
    assert torch.allclose(turned, torch.rot90(middle, 1, (2, 3)), atol=1e-4)


def test_a_mirrored_image_is_flipped_left_to_right(draws: dict[str, list[float]]) -> None:
    draws["of_an_image"] = [NONE, NONE, NONE, NONE, 0.0]
    given = images()
    assert torch.allclose(augment(given, Augmentation(mirror=True)), given.flip(3), atol=1e-5)


def test_a_shift_by_a_quarter_moves_the_image_by_a_quarter_of_its_side(draws: dict[str, list[float]]) -> None:
    draws["of_an_image"] = [NONE, NONE, 1.0, NONE, NONE]
    given = images()
    moved = augment(given, Augmentation(shift=0.25))
    assert torch.allclose(moved[:, :, :, :9], given[:, :, :, 3:], atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_channels_stay_last_in_memory(channels: int) -> None:
    given = to_float(torch.zeros((5, 8, 9, channels), dtype=torch.uint8))
    assert given.stride() == (8 * 9 * channels, 1, 9 * channels, channels)
    assert augment(given, Augmentation(rotate=10)).stride() == given.stride()


def test_about_every_second_image_is_mirrored() -> None:
    torch.manual_seed(0)
    given = images(count=400)
    flipped = (augment(given, Augmentation(mirror=True)) - given).abs().amax((1, 2, 3)) > 1e-3
    assert 160 < int(flipped.sum()) < 240


def test_values_stay_in_range_and_images_differ() -> None:
    torch.manual_seed(0)
    given = images(count=1).repeat(16, 1, 1, 1)
    warped = augment(given, Augmentation(rotate=180, scale=0.5, shift=0.5, mirror=True))
    assert warped.shape == given.shape
    assert warped.abs().max() <= 1 + 1e-5
    assert len(torch.unique(warped.flatten(1), dim=0)) == 16


def test_the_same_seed_gives_the_same_images() -> None:
    how = Augmentation(rotate=15, scale=0.1, shift=0.1, mirror=True)
    warped = []
    for _ in range(2):
        torch.manual_seed(7)
        warped.append(augment(images(), how))
    assert torch.equal(*warped)


@pytest.mark.parametrize("shape", [(4, 28, 28, 1), (9, 20, 30, 3)])
def test_pieces_do_not_change_the_warps(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    batch = to_float(torch.randint(0, 256, shape, dtype=torch.uint8))
    drawn = draw(len(batch))
    how = Augmentation(rotate=20, scale=0.2, shift=0.1, mirror=True)
    whole = augment(batch, how, drawn)
    monkeypatch.setattr("longtail.data.transforms.PIECE", 2 * shape[1] * shape[2])
    assert (augment(batch, how, drawn) == whole).all()


def test_a_warp_is_the_affine_map_of_torch() -> None:
    """Rotation by the angle, zoom, mirror and shift, as one matrix by torch's own slow way from matrices to pixels."""
    how = Augmentation(rotate=20, scale=0.2, shift=0.1, mirror=True)
    batch = to_float(torch.randint(0, 256, (6, 24, 24, 3), dtype=torch.uint8))
    drawn = draw(6)
    matrices = []
    for angle, zoom, right, down, flip in (drawn * 2 - 1).T.tolist():
        turn, size = math.radians(20 * angle), 1 / (1 + 0.2 * zoom)
        cos, sin, side = math.cos(turn) * size, math.sin(turn) * size, -1 if flip < 0 else 1
        matrices.append([[cos * side, -sin, 0.2 * right], [sin * side, cos, 0.2 * down]])
    grid = functional.affine_grid(torch.tensor(matrices), [6, 3, 24, 24], align_corners=False)
    expected = functional.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    assert augment(batch, how, drawn).numpy() == pytest.approx(expected.numpy(), abs=1e-4)


def test_an_image_is_warped_to_the_same_bits_whatever_is_beside_it() -> None:
    how = Augmentation(rotate=20, scale=0.2, shift=0.1, mirror=True)
    batch = to_float(torch.randint(0, 256, (37, 28, 28, 1), dtype=torch.uint8))
    drawn = draw(37)
    whole = augment(batch, how, drawn)
    for some in (torch.arange(5, 18), torch.arange(36, 0, -5), torch.tensor([11])):
        assert torch.equal(augment(batch[some], how, drawn[:, some]), whole[some])
