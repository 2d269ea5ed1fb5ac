"""A small queue of drawings, which a test may write into; and the real model that proposes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from picture_files import train_on_pictures
from queues import make_queue
from shared import shared

from longtail.labelling.queue import Queue


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return make_queue(tmp_path / "queue", 6, twice=2)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace of the whole pipeline, with the class folders `photos`, and the index of a softmax training."""
    yield from shared(tmp_path_factory, "trained_on_pictures", _train)


def _train(root: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_TRACKING", "off")
        train_on_pictures(root)
