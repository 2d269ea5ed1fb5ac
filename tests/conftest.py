"""What holds for every test: nothing is tracked unless a test asks for it. And what tests of two folders begin with."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import FLAGS, chromium
from picture_files import train_on_pictures
from shared import shared
from tiny import run_pipeline, write_tiny_dataset

# A shell ignores Ctrl-C for what it starts in the background, and so would every process that a test starts and ends.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first: one left to the end would keep one worker busy while the others wait."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that `fit` and `train` read, with two tasks, and the training that the round follows."""
    root = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_TRACKING", "off")
        write_tiny_dataset(root / "dataset", two_tasks=True, colours=5)
        run_pipeline(root, stages=("split", "start", "fit", "cluster", "quintuplets"))
    return root


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace of the whole pipeline on image files, with the class folders `photos`, and the index of a softmax
    training; made once, and only read.
    """
    yield from shared(tmp_path_factory, "trained_on_pictures", _train)


def _train(root: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_TRACKING", "off")
        train_on_pictures(root)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real Chromium, for tests that look at pages."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()
