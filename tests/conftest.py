"""What holds for every test: nothing is tracked unless a test asks for it."""

import pytest


@pytest.fixture(autouse=True)
def untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")
