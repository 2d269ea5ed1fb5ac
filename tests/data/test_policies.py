"""RandAugment and TrivialAugment are torchvision's, image by image and in whichever thread."""

from typing import get_args

import pytest
import torch
from torchvision.transforms import v2

from longtail.data.policies import Policy, apply_policy

POLICIES: tuple[Policy, ...] = get_args(Policy)


def images(count: int, channels: int) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, 24, 20, channels), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", POLICIES)
def test_an_image_is_varied_as_by_torchvision_with_the_same_seed(policy: Policy, channels: int) -> None:
    operations = v2.RandAugment() if policy == "randaugment" else v2.TrivialAugmentWide()
    given, drawn = images(60, channels), torch.rand(60)
    varied = apply_policy(given, policy, drawn)
    assert varied.dtype == torch.uint8
    for image, found, share in zip(given, varied, drawn, strict=True):
        torch.manual_seed(int(share.double() * 2**24))
        assert torch.equal(operations(image.permute(2, 0, 1)).permute(1, 2, 0), found)
    assert (varied != given).any((1, 2, 3)).sum() > 30


@pytest.mark.parametrize("policy", POLICIES)
def test_the_generator_of_the_training_is_left_alone_and_others_in_the_batch_do_not_matter(policy: Policy) -> None:
    given, drawn = images(9, 3), torch.rand(9)
    state = torch.get_rng_state()
    whole = apply_policy(given, policy, drawn)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(apply_policy(given[4:6], policy, drawn[4:6]), whole[4:6])
