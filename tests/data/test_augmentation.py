"""What holds for every kind of augmentation: its bits, its place in memory, what is written down of it, and where it is
refused.
"""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from longtail.data.transforms import Augmentation, augment, draw, to_float
from longtail.errors import DataError

# One of each kind, and what SilkNet's self-similarity loss (Eq. 8) asks for.
SELF_SIMILARITY: dict[str, Any] = {
    **{"quarter_turns": True, "mirror": True, "flip": True, "crop_side": 0.7, "rotate": 5},
    **{"hue": 0.05, "saturation": 0.1, "noise": 0.1},
}
EVERY_KIND = [
    *({name: value} for name, value in SELF_SIMILARITY.items()),
    {"crop": 0.5},
    {"cutout": 0.3},
    {"scale": 0.2, "shift": 0.1},
    SELF_SIMILARITY,
    {**SELF_SIMILARITY, "cutout": 0.3, "scale": 0.1, "shift": 0.1},
]


@pytest.mark.parametrize("settings", EVERY_KIND, ids=str)
@pytest.mark.parametrize("shape", [(5, 28, 28, 3), (9, 17, 17, 3)])
def test_pieces_do_not_change_the_images(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], settings: dict[str, Any]
) -> None:
    batch = to_float(torch.randint(0, 256, shape, dtype=torch.uint8))
    drawn, how = draw(len(batch)), Augmentation(**settings)
    whole = augment(batch, how, drawn)
    monkeypatch.setattr("longtail.data.transforms.PIECE", 2 * shape[1] * shape[2])
    assert torch.equal(augment(batch, how, drawn), whole)


@pytest.mark.parametrize("shape", [(4, 28, 28, 1), (9, 20, 30, 3)])
def test_pieces_do_not_change_the_warps_of_grey_and_oblong_images(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    batch = to_float(torch.randint(0, 256, shape, dtype=torch.uint8))
    drawn = draw(len(batch))
    how = Augmentation(rotate=20, scale=0.2, shift=0.1, mirror=True, flip=True, noise=0.1)
    whole = augment(batch, how, drawn)
    monkeypatch.setattr("longtail.data.transforms.PIECE", 2 * shape[1] * shape[2])
    assert torch.equal(augment(batch, how, drawn), whole)


@pytest.mark.parametrize("settings", EVERY_KIND, ids=str)
def test_an_image_is_varied_to_the_same_bits_whatever_is_beside_it(settings: dict[str, Any]) -> None:
    how = Augmentation(**settings)
    batch = to_float(torch.randint(0, 256, (37, 28, 28, 3), dtype=torch.uint8))
    drawn = draw(37)
    state = torch.get_rng_state()
    whole = augment(batch, how, drawn)
    assert torch.equal(torch.get_rng_state(), state)
    assert whole.stride() == batch.stride()
    assert whole.abs().max() <= 1 + 1e-5
    assert not torch.equal(whole, batch)
    for some in (torch.arange(5, 18), torch.arange(36, 0, -5), torch.tensor([11])):
        assert torch.equal(augment(batch[some], how, drawn[:, some]), whole[some])


def test_what_was_drawn_before_there_were_others_is_drawn_still() -> None:
    torch.manual_seed(3)
    before = torch.cat([torch.rand((rows, 7)) for rows in (5, 7, 1)])
    torch.manual_seed(3)
    drawn = draw(7)
    assert torch.equal(drawn[:13], before)
    assert drawn.shape == (18, 7)
    assert 0 <= drawn.min() <= drawn.max() < 1


def test_what_is_off_is_not_written_down_where_it_was_not_before() -> None:
    before = {"rotate", "scale", "shift", "mirror", "crop", "cutout", "policy"}
    assert set(Augmentation().model_dump()) == before
    for settings in EVERY_KIND:
        how = Augmentation(**settings)
        assert set(how.model_dump()) == before | set(settings)
        assert Augmentation.model_validate_json(how.model_dump_json()) == how


def test_two_ways_to_crop_are_refused() -> None:
    with pytest.raises(ValidationError, match="two ways to crop an image; give one"):
        Augmentation(crop=0.5, crop_side=0.7)


@pytest.mark.parametrize(
    ("settings", "shape", "says"),
    [
        ({"quarter_turns": True}, (28, 20, 3), "quarter_turns is of square images, and these are 28×20"),
        ({"hue": 0.05}, (28, 28, 1), "vary colours, and the images are grey"),
        ({"saturation": 0.1, "hue": 0}, (28, 28, 1), "vary colours, and the images are grey"),
        (SELF_SIMILARITY, (224, 224, 1), "vary colours, and the images are grey"),
    ],
)
def test_what_images_cannot_be_varied_by_is_refused(
    settings: dict[str, Any], shape: tuple[int, int, int], says: str
) -> None:
    with pytest.raises(DataError, match=says) as error:
        Augmentation(**settings).check(shape)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("settings", EVERY_KIND, ids=str)
def test_square_colour_images_can_be_varied_by_everything(settings: dict[str, Any]) -> None:
    Augmentation(**settings).check((28, 28, 3))
