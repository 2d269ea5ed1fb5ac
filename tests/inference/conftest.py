"""A tiny model that was trained on image files, and the files: made once, and only read."""

from pathlib import Path

import pytest
from picture_files import train_on_pictures


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of the whole pipeline, with the class folders `photos`, and the index of a softmax training."""
    patch = pytest.MonkeyPatch()
    patch.setenv("LONGTAIL_TRACKING", "off")
    root = tmp_path_factory.mktemp("trained")
    train_on_pictures(root)
    patch.undo()
    return root
