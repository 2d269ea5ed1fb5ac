"""A tiny model that was trained on image files, and the files: made once, and only read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from picture_files import train_on_pictures
from shared import shared


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace of the whole pipeline, with the class folders `photos`, and the index of a softmax training."""
    yield from shared(tmp_path_factory, "trained_on_pictures", _train)


def _train(root: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_TRACKING", "off")
        train_on_pictures(root)
