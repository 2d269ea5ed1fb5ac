"""What a step's journal holds is read back whole, whatever is written, and nothing that is not empty is deleted."""

import json
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longtail.tracking import journal
from longtail.tracking.journal import Journal

OPENING = {"stage": "fit", "name": "fit", "config": {}, "uri": "sqlite:///mlflow.db"}
FINISHED = {"kind": "end", "time": 1, "status": "FINISHED"}
# Where str.splitlines splits, and JSON does not.
ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
# With lone surrogates: as such Python has the bytes of a file's name that are no UTF-8.
TEXTS = st.text(st.sampled_from(ENDS + '\r\n\t"\\é') | st.characters(exclude_categories=[]))
each_example_may_reuse_the_folder = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def refuse(error: OSError) -> None:
    raise error


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LONGTAIL_WORK", str(tmp_path))
    return journal.root()


def lines_of(*events: Any) -> bytes:
    """Lines with every character that JSON does not forbid as it is."""
    return b"".join(json.dumps(event, ensure_ascii=False).encode() + b"\n" for event in events)


def loaded_at_its_end(written: Journal) -> Journal:
    """What another process loads, once it has ended, of a journal; it has every event."""
    written.append("end", status="FINISHED")
    written.close()
    read = Journal.load(written.path)
    assert read is not None
    assert read.events == written.events
    return read


@each_example_may_reuse_the_folder
@given(path=TEXTS, value=TEXTS)
def test_every_event_comes_back_whatever_its_text_holds(path: str, value: str) -> None:
    written = Journal.create(OPENING | {"config": {"path": path}}, refuse)
    written.append("tag", key="longtail.error", value=value)
    loaded_at_its_end(written).remove()


@pytest.mark.parametrize("end", ENDS)
def test_lines_end_where_json_lines_do(root: Path, end: str) -> None:
    events = [{"kind": "open", "time": 0, **OPENING, "config": {"path": f"a{end}b"}}, FINISHED]
    (root / "one").mkdir(parents=True)
    (root / "one" / "journal.jsonl").write_bytes(lines_of(*events))
    read = Journal.load(root / "one")
    assert read is not None
    assert read.events == events
    read.close()


@each_example_may_reuse_the_folder
@given(data=st.data())
def test_torn_at_any_byte_the_whole_lines_come_back_and_the_journal_stays(
    root: Path, capsys: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    events = [{"kind": "open", "time": 0, **OPENING, "config": {"path": "é\u2028李"}}, FINISHED]
    content, first = lines_of(*events), lines_of(events[0])
    cut = data.draw(st.integers(1, len(content)) | st.sampled_from([len(first) - 1, len(first)]))
    whole = (cut >= len(first) - 1) + (cut >= len(content) - 1)
    file = root / "one" / "journal.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content[:cut])
    capsys.readouterr()
    read = Journal.load(file.parent)
    assert file.read_bytes() == content[:cut]
    assert ("one cannot be read and stays" in capsys.readouterr().err) == (whole == 0)
    if read is None:
        assert whole == 0
    else:
        assert [event["kind"] for event in read.events] == ["open", "end"]
        assert read.events[0] == events[0]
        assert read.events[1]["status"] == ("FINISHED" if whole == 2 else "KILLED")
        read.close()


def test_an_empty_journal_is_removed(root: Path) -> None:
    (root / "one").mkdir(parents=True)
    (root / "one" / "journal.jsonl").touch()
    assert Journal.load(root / "one") is None
    assert not (root / "one").exists()


def test_a_new_journal_is_on_disk_whenever_another_process_looks_for_what_waits(root: Path) -> None:
    """As `longtail sync`, and the delivery of every other step, does; here before each line that creates it."""
    found = []

    def looking(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            found.extend(map(Journal.load, journal.waiting()))
        return looking if frame.f_code.co_filename == journal.__file__ else None

    before = sys.gettrace()
    sys.settrace(looking)
    try:
        created = Journal.create(OPENING, refuse)
    finally:
        sys.settrace(before)
    assert set(found) == {None}
    assert created.on_disk
    assert journal.waiting() == [created.path]
    loaded_at_its_end(created).close()
