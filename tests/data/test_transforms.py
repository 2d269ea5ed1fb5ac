"""Augmentation: what is off does nothing, and the map is the one that is asked for."""

import math
from itertools import cycle

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from longtail.data import transforms
from longtail.data.transforms import Augmentation, augment, draw, to_float

# The draws of an image, in [0, 1]: angle, scale, two shifts, mirror, where ½ is none and 1 the upper end; then area,
# sides and place of the crop, place of the hole, policy; then quarter turns, flip, hue, saturation, noise.
NONE = 0.5


def images(height: int = 12, width: int = 12, count: int = 3) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (count, 2, height, width)).astype(np.float32))


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """Decides the draws instead of torch."""
    decided = {"of_an_image": [NONE] * 5, "of_crop_and_hole": [NONE] * 7, "of_view": [NONE], "of_the_rest": [NONE] * 5}
    asked = cycle(decided.values())

    def rand(shape: tuple[int, int], generator: None) -> Tensor:
        return torch.tensor(next(asked))[:, None].expand(shape).clone()

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


def test_a_warp_is_the_affine_map_of_torch() -> None:
    """Rotation by the angle, zoom, mirror and shift, as one matrix by torch's own slow way from matrices to pixels."""
    how = Augmentation(rotate=20, scale=0.2, shift=0.1, mirror=True)
    batch = to_float(torch.randint(0, 256, (6, 24, 24, 3), dtype=torch.uint8))
    drawn = draw(6)
    matrices = []
    for angle, zoom, right, down, flip in (drawn[:5] * 2 - 1).T.tolist():
        turn, size = math.radians(20 * angle), 1 / (1 + 0.2 * zoom)
        cos, sin, side = math.cos(turn) * size, math.sin(turn) * size, -1 if flip < 0 else 1
        matrices.append([[cos * side, -sin, 0.2 * right], [sin * side, cos, 0.2 * down]])
    grid = functional.affine_grid(torch.tensor(matrices), [6, 3, 24, 24], align_corners=False)
    expected = functional.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    assert augment(batch, how, drawn).numpy() == pytest.approx(expected.numpy(), abs=1e-4)


@pytest.mark.parametrize(("height", "width"), [(12, 12), (8, 20), (20, 8)])
def test_a_crop_is_that_part_of_the_image_enlarged(draws: dict[str, list[float]], height: int, width: int) -> None:
    """A quarter of the area at the upper left, as interpolate has it with the same centres of pixels."""
    sides = 0.5 - 0.5 * math.log(width / height) / math.log(4 / 3)  # of the same shape as the image
    draws["of_crop_and_hole"] = [0.0, min(max(sides, 0.0), 1.0), 0.0, 0.0, NONE, NONE, NONE]
    given = images(height, width)
    cropped = augment(given, Augmentation(crop=0.25))
    ratio = math.exp((2 * draws["of_crop_and_hole"][1] - 1) * math.log(4 / 3))
    across, down = (
        min(1.0, s) for s in (math.sqrt(0.25 * ratio * height / width), math.sqrt(0.25 / ratio * width / height))
    )
    for row, column in ((height // 2, width // 2), (1, 2), (height - 2, 1)):
        x, y = (column + 0.5) * across - 0.5, (row + 0.5) * down - 0.5
        left, top = max(0, math.floor(x)), max(0, math.floor(y))
        right, bottom = min(width - 1, math.floor(x) + 1), min(height - 1, math.floor(y) + 1)
        p, q = x - math.floor(x), y - math.floor(y)
        expected = (
            (1 - p) * (1 - q) * given[:, :, top, left]
            + p * (1 - q) * given[:, :, top, right]
            + (1 - p) * q * given[:, :, bottom, left]
            + p * q * given[:, :, bottom, right]
        )
        assert torch.allclose(cropped[:, :, row, column], expected, atol=1e-4)


def test_crops_stay_inside_the_image_and_differ() -> None:
    torch.manual_seed(0)
    given = torch.linspace(-1, 1, 30).view(1, 1, 1, 30).expand(50, 1, 20, 30)
    cropped = augment(given, Augmentation(crop=0.1))
    spans = cropped[:, 0, 0, -1] - cropped[:, 0, 0, 0]
    assert (cropped.diff(dim=3) >= -1e-6).all()  # nothing is reflected
    assert spans.min() > 0.2
    assert len(torch.unique(spans)) == 50


@pytest.mark.parametrize("centre", [0.0, 0.5, 0.99])
def test_a_hole_is_a_square_around_its_centre_and_the_rest_stays(draws: dict[str, list[float]], centre: float) -> None:
    draws["of_crop_and_hole"][4:6] = [centre, centre]
    given = images(10, 20) + 3
    cut = augment(given, Augmentation(cutout=0.4))
    for row in range(10):
        for column in range(20):
            inside = abs(column + 0.5 - centre * 20) < 2 and abs(row + 0.5 - centre * 10) < 2
            assert torch.equal(cut[:, :, row, column], torch.zeros(3, 2) if inside else given[:, :, row, column])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("count", "side"), [(1, 8), (6, 9), (13, 12)])
def test_quarter_turns_move_pixels_and_change_none(layout: torch.memory_format, count: int, side: int) -> None:
    given = images(side, side, count).contiguous(memory_format=layout)
    drawn = draw(count)
    for start in range(4):
        quarters = [(start + i) % 4 for i in range(count)]
        drawn[transforms.QUARTER] = (torch.tensor(quarters) + torch.rand(count)) / 4
        turned = augment(given, Augmentation(quarter_turns=True), drawn)
        assert turned.stride() == given.stride()
        for image, found, times in zip(given, turned, quarters, strict=True):
            assert torch.equal(found, torch.rot90(image, times, (1, 2)))


def test_a_quarter_turn_is_in_the_direction_of_a_positive_angle(draws: dict[str, list[float]]) -> None:
    draws["of_an_image"] = [1.0, NONE, NONE, NONE, NONE]
    draws["of_the_rest"] = [0.3, NONE, NONE, NONE, NONE]
    given = images()
    assert torch.allclose(
        augment(given, Augmentation(rotate=90)), augment(given, Augmentation(quarter_turns=True)), atol=1e-4
    )


@pytest.mark.parametrize(("height", "width"), [(12, 12), (7, 20)])
def test_a_flipped_image_is_upside_down_to_the_bit(height: int, width: int) -> None:
    given, drawn = images(height, width, 4), draw(4)
    drawn[transforms.FLIP] = torch.tensor([0.0, 0.499, 0.5, 0.999])
    found = augment(given, Augmentation(flip=True), drawn)
    assert torch.equal(found[:2], given[:2].flip(2))
    assert torch.equal(found[2:], given[2:])


def test_turns_and_flips_come_equally_often() -> None:
    torch.manual_seed(0)
    given = torch.arange(4.0).view(1, 1, 2, 2).expand(800, 1, 2, 2)
    found = augment(given, Augmentation(quarter_turns=True, flip=True, mirror=True)).round().flatten(1)
    _, counts = found.unique(dim=0, return_counts=True)
    assert len(counts) == 8  # the symmetries of a square
    assert counts.min() > 70


@pytest.mark.parametrize(("height", "width"), [(12, 12), (8, 20), (20, 8)])
@pytest.mark.parametrize(("share", "across", "down"), [(0.0, 0.0, 0.0), (0.5, 1.0, 0.25), (0.9, 0.5, 0.5)])
def test_a_crop_by_its_side_keeps_the_shape(height: int, width: int, share: float, across: float, down: float) -> None:
    """By torch's own map: a side from 0.7 to 1, the same of height and width, anywhere inside."""
    given, drawn = images(height, width, 1), draw(1)
    drawn[[5, 7, 8], 0] = torch.tensor([share, across, down])
    side = 0.7 + 0.3 * share
    matrix = torch.tensor([[[side, 0, (2 * across - 1) * (1 - side)], [0, side, (2 * down - 1) * (1 - side)]]])
    grid = functional.affine_grid(matrix, list(given.shape), align_corners=False)
    expected = functional.grid_sample(given, grid, padding_mode="border", align_corners=False)
    assert torch.allclose(augment(given, Augmentation(crop_side=0.7), drawn), expected, atol=1e-4)


def test_a_hole_has_no_noise_in_it(draws: dict[str, list[float]]) -> None:
    found = augment(images(20, 20) / 2, Augmentation(noise=0.2, cutout=0.5))
    assert not found[:, :, 6:14, 6:14].any()
