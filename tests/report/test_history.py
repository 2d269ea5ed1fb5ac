"""What a report says of where a model comes from."""

from typing import get_args

from longtail.report.history import PRIORS
from longtail.stages.start import Params


def test_every_prior_has_a_title() -> None:
    assert set(PRIORS) == set(get_args(Params.model_fields["prior"].annotation))
