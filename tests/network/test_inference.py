"""The views in which a trained network sees an image."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from longtail.network.inference import Inference

EVERYTHING = {"side": 16, "mirror": True, "crops": True}


@pytest.mark.parametrize(("how", "count"), [({}, 1), ({"mirror": True}, 2), ({"crops": True}, 6), (EVERYTHING, 12)])
def test_the_views_are_of_the_asked_number_and_shape(how: dict[str, Any], count: int) -> None:
    inference = Inference(**how)
    views = list(inference.of(torch.randn(2, 3, 32, 24)))
    assert (len(views), inference.views) == (count, count)
    height, width, _ = inference.shape((32, 24, 3))
    assert (height, width) == ((21, 16) if "side" in how else (32, 24))
    assert {tuple(view.shape) for view in views} == {(2, 3, height, width)}


def test_crops_are_the_whole_the_corners_and_the_centre_and_mirrors_follow_them() -> None:
    images = torch.arange(64.0).view(1, 1, 8, 8)
    views = list(Inference(crops=True, mirror=True, side=None).of(images))
    assert torch.equal(views[0], images)
    for view, (top, left) in zip(views[2::2], [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)], strict=True):
        part = images[:, :, top : top + 7, left : left + 7]
        assert torch.allclose(view, F.interpolate(part, (8, 8), mode="bilinear", antialias=True))
    for view, mirrored in zip(views[::2], views[1::2], strict=True):
        assert torch.equal(mirrored, view.flip(3))


@pytest.mark.parametrize("how", [{"side": 4}, {"crop": 5}, {"mirror": "left"}])
def test_what_cannot_be_asked(how: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Inference(**how)
