"""What a fingerprint covers."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from longtail.artifacts.fingerprint import fingerprint


class Params(BaseModel):
    margin: float = 0.1


def test_a_fingerprint_changes_with_parameters_and_inputs(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    before = fingerprint(Params(), tmp_path)
    assert fingerprint(Params(), tmp_path) == before
    assert fingerprint(Params(margin=0.2), tmp_path) != before
    assert fingerprint(Params(), tmp_path, processes=1) == before
    assert fingerprint(Params(), tmp_path, processes=2) != before
    assert fingerprint(Params(), tmp_path, precision="float32") == before
    assert fingerprint(Params(), tmp_path, precision="bfloat16") != before
    (tmp_path / "state.json").write_text("{ }")
    assert fingerprint(Params(), tmp_path) != before


def test_a_fingerprint_is_of_names_and_contents_wherever_they_lie(tmp_path: Path) -> None:
    for place in ("here", "there/deeper", "renamed", "swapped"):
        (tmp_path / place / "current").mkdir(parents=True)
    for place in ("here", "there/deeper"):
        (tmp_path / place / "current" / "network.json").write_text("{}")
        (tmp_path / place / "state.json").write_text("[]")
    (tmp_path / "renamed" / "current" / "network.jsn").write_text("{}")
    (tmp_path / "renamed" / "state.json").write_text("[]")
    before = fingerprint(Params(), tmp_path / "here")
    assert fingerprint(Params(), tmp_path / "there" / "deeper") == before
    assert fingerprint(Params(), tmp_path / "renamed") != before
    empty = tmp_path / "swapped"
    assert fingerprint(Params(), tmp_path / "here", empty) != fingerprint(Params(), empty, tmp_path / "here")


def test_a_name_may_be_any_bytes(tmp_path: Path) -> None:
    found = set()
    for name in ("caf\udce9", "caf\udce8", "café"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").touch()
        found.add(fingerprint(Params(), tmp_path / name))
    assert len(found) == 3


def test_a_fingerprint_does_not_read_what_follows_from_the_rest(tmp_path: Path) -> None:
    before = fingerprint(Params(), tmp_path)
    for name in ("images-00000.npy", "embeddings-digit.npy", "logits-digit.npy"):
        (tmp_path / name).write_text("large")
    assert fingerprint(Params(), tmp_path) == before


def test_what_other_code_began_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(Params(), tmp_path)
    monkeypatch.setattr("longtail.artifacts.fingerprint.code_md5", lambda: "of other code")
    assert fingerprint(Params(), tmp_path) != before
