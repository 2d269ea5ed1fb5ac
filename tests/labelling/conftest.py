"""A small queue of drawings, which a test may write into."""

from pathlib import Path

import pytest
from queues import make_queue

from longtail.labelling.queue import Queue


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return make_queue(tmp_path / "queue", 6, twice=2)
