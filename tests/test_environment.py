"""Variables that hold for a while, and are as before then, whatever happens."""

import os
from contextlib import suppress

import pytest

from longtail.environment import changed


@pytest.mark.parametrize("fails", [False, True])
def test_variables_are_as_before(monkeypatch: pytest.MonkeyPatch, *, fails: bool) -> None:
    monkeypatch.setenv("KEPT", "a")
    monkeypatch.setenv("GONE", "b")
    monkeypatch.delenv("NEW", raising=False)
    before = dict(os.environ)
    with suppress(KeyError), changed({"KEPT": "c", "GONE": None, "NEW": "d"}):
        assert (os.environ["KEPT"], os.environ.get("GONE"), os.environ["NEW"]) == ("c", None, "d")
        if fails:
            raise KeyError
    assert dict(os.environ) == before
