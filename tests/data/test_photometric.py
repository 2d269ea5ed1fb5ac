"""Hue and saturation are colorsys's, pixel by pixel; noise is Gaussian and a function of what is drawn."""

import colorsys
import math

import pytest
import torch
from torch import Tensor

from longtail.data import transforms
from longtail.data.transforms import Augmentation, augment, draw, to_float


def in_colours(image: Tensor, turn: float, factor: float) -> Tensor:
    """By colorsys, pixel by pixel; image 3×H×W."""
    varied = torch.empty_like(image)
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            hue, saturation, value = colorsys.rgb_to_hsv(*((image[:, row, column].double() + 1) / 2).tolist())
            pixel = colorsys.hsv_to_rgb((hue + turn) % 1, saturation * factor, value)
            varied[:, row, column] = torch.tensor(pixel) * 2 - 1
    return varied


@pytest.mark.parametrize(("hue", "saturation"), [(0.05, 0.0), (0.0, 0.1), (0.05, 0.1), (0.5, 1.0)])
def test_hue_and_saturation_are_colorsys(hue: float, saturation: float) -> None:
    """Of random pixels, of pure colours, where the hue wraps around, and of grey."""
    pixels = torch.randint(0, 256, (8, 6, 7, 3), dtype=torch.uint8)
    pixels[:, 0, :] = torch.cartesian_prod(*[torch.tensor([0, 255], dtype=torch.uint8)] * 3)[1:]
    pixels[:, 1, :] = torch.tensor([[255, 0, 1], [255, 1, 0], [255, 0, 0], [9, 9, 9], [0, 0, 0], [1, 0, 0], [2, 2, 1]])
    given, drawn = to_float(pixels), draw(8)
    drawn[transforms.HUE] = torch.tensor([0.0, 0.5, 0.9999, *torch.rand(5).tolist()])
    drawn[transforms.SATURATION] = torch.tensor([0.0, 0.9999, 0.5, *torch.rand(5).tolist()])
    found = augment(given, Augmentation(hue=hue, saturation=saturation), drawn)
    for image, varied, turn, less in zip(given, found, *drawn[[transforms.HUE, transforms.SATURATION]], strict=True):
        expected = in_colours(image, float(2 * turn - 1) * hue, 1 - float(less) * saturation)
        assert torch.allclose(varied, expected, atol=2e-6)


def test_colours_that_are_not_moved_stay_and_grey_stays_whatever_is_drawn() -> None:
    batch = to_float(torch.randint(0, 256, (6, 9, 9, 3), dtype=torch.uint8))
    grey = batch[:, :1].expand_as(batch)
    drawn, how = draw(6), Augmentation(hue=0.3, saturation=0.5)
    assert torch.allclose(augment(grey, how, drawn), grey, atol=1e-6)
    drawn[transforms.HUE], drawn[transforms.SATURATION] = 0.5, 0.0
    assert torch.allclose(augment(batch, how, drawn), batch, atol=1e-6)


@pytest.mark.parametrize("deviation", [0.01, 0.1])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_gaussian_of_that_share_of_the_range(deviation: float, channels: int) -> None:
    given = torch.zeros((40, channels, 32, 32))
    torch.manual_seed(0)
    noise = augment(given, Augmentation(noise=deviation)) / 2  # values go from −1 to 1
    assert float(noise.mean()) == pytest.approx(0, abs=3 * deviation / math.sqrt(noise.numel()))
    assert float(noise.std()) == pytest.approx(deviation, rel=0.02)
    assert float((noise.abs() < deviation).float().mean()) == pytest.approx(0.6827, abs=0.01)
    rows = noise.flatten(2).flatten(0, 1)  # of every channel of every image
    apart = torch.corrcoef(rows) - torch.eye(len(rows))
    assert apart.abs().max() < 0.2


def test_noise_is_clipped_and_a_function_of_what_is_drawn() -> None:
    given, drawn = torch.ones((3, 3, 16, 16)) * torch.tensor([-1.0, 1.0, 0.9])[:, None, None, None], draw(3)
    drawn[transforms.NOISE] = 0.25
    found = augment(given, Augmentation(noise=1.0), drawn)
    assert found.abs().max() == 1
    assert 0.4 < float((found[0] == -1).float().mean()) < 0.6
    drawn[:5] = torch.rand(5, 3)
    assert torch.equal(augment(given, Augmentation(noise=1.0), drawn), found)
    drawn[transforms.NOISE, 1] = 0.26
    again = augment(given, Augmentation(noise=1.0), drawn)
    assert [torch.equal(one, other) for one, other in zip(again, found, strict=True)] == [True, False, True]
