"""The journal loses nothing that it acknowledged, wherever a kill or a full disk tears it."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from longtail.errors import DataError
from longtail.labelling.journal import Entry, Journal, Shown, read_journal

SHOWN = Shown(proposed="cross é", confidence=0.75, queue="q", model="m")
WHO = ("Ada", "Émile", "李")


def filled(path: Path, count: int) -> list[Entry]:
    """A journal of so many decisions, every third of them taken back."""
    journal = Journal.open(path)
    for number in range(count):
        if number % 3 == 2:
            before = journal.entries[-1]
            journal.append(before.who, before.item, SHOWN, undoes=before.number)
        else:
            journal.append(WHO[number % 2], f"item {number}", SHOWN, decision="yes", seconds=number / 7)
    journal.close()
    return journal.entries


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    entries = filled(tmp_path / "j", 9)
    assert read_journal(tmp_path / "j") == entries
    assert [entry.number for entry in entries] == list(range(9))
    assert abs(entries[0].when - datetime.now(UTC)) < timedelta(minutes=1)
    assert read_journal(tmp_path / "none") == []


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_torn_at_any_byte_every_whole_line_stays_and_one_more_can_follow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    path = tmp_path / "j"
    path.unlink(missing_ok=True)
    entries = filled(path, 5)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    capsys.readouterr()
    assert read_journal(path) == entries[:whole]
    torn = cut > 0 and content[cut - 1 : cut] != b"\n"
    assert ("the last line is torn" in capsys.readouterr().err) == torn
    assert path.read_bytes() == content[:cut]  # whoever only reads changes nothing
    journal = Journal.open(path)
    new = journal.append("Ada", "new", SHOWN, decision="no")
    journal.close()
    assert read_journal(path) == [*entries[:whole], new]


def damaged(line: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({**line, **changes}).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0], b"", *lines[1:]],
        lambda lines: [lines[0], lines[1][:20], *lines[2:]],
        lambda lines: [lines[0], b"\xff\xfe" + lines[1], *lines[2:]],
        lambda lines: [lines[0], b"[]", *lines[2:]],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: [lines[0], damaged(json.loads(lines[1]), decision="perhaps"), *lines[2:]],
        lambda lines: [lines[0], damaged(json.loads(lines[1]), decision=None), *lines[2:]],
        lambda lines: [lines[0], damaged(json.loads(lines[1]), when="2026-01-01T00:00:00"), *lines[2:]],
        lambda lines: [lines[0], damaged(json.loads(lines[1]), who=" "), *lines[2:]],
        lambda lines: [lines[0], damaged(json.loads(lines[1]), seconds=-1), *lines[2:]],
        lambda lines: [lines[0], damaged(json.loads(lines[1]), more="x" * 10_000), *lines[2:]],
        lambda lines: [*lines[:2], damaged(json.loads(lines[2]), undoes=0), *lines[3:]],
        lambda lines: [*lines[:2], damaged(json.loads(lines[2]), undoes=99), *lines[3:]],
        lambda lines: [*lines[:2], damaged(json.loads(lines[2]), who="Eve"), *lines[3:]],
    ],
)
def test_other_damage_is_one_sentence_with_the_line(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "j"
    filled(path, 6)
    before = b"\n".join(damage(path.read_bytes().splitlines())) + b"\n"
    path.write_bytes(before)
    for read in (read_journal, Journal.open):
        with pytest.raises(DataError, match=r"line [1-4] is damaged: .*; restore the file from a backup") as told:
            read(path)
        assert str(told.value).count("\n") == 0
        assert len(str(told.value)) < 800
        assert path.read_bytes() == before


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j")
    with pytest.raises(DataError, match="another process serves"):
        Journal.open(tmp_path / "j")
    journal.close()
    Journal.open(tmp_path / "j").close()
    with pytest.raises(OSError):  # noqa: PT011
        journal.append("Ada", "late", SHOWN, decision="yes")
    assert read_journal(tmp_path / "j") == []


FULL = """
import resource, signal, sys
from pathlib import Path
from longtail.labelling.journal import Journal, Shown
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
journal = Journal.open(Path(sys.argv[1]))
shown = Shown(proposed="cross", confidence=0.75, queue="q", model="m")
written = 0
try:
    while True:
        journal.append("Ada", "item", shown, decision="yes")
        written += 1
except OSError:
    pass
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append("Ada", "after", shown, decision="no")
print(written)
"""


@pytest.mark.parametrize("limit", [100, 1000, 1357])
def test_a_full_disk_leaves_no_torn_line_behind(tmp_path: Path, limit: int) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path / "j"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    entries = read_journal(tmp_path / "j")
    assert [entry.item for entry in entries] == ["item"] * int(done.stdout) + ["after"]


@pytest.mark.parametrize("who", ["", "  ", "x" * 61, "a\nb", "a\x00b", "a\x7f"])
def test_a_name_is_a_short_line(tmp_path: Path, who: str) -> None:
    journal = Journal.open(tmp_path / "j")
    with pytest.raises(ValidationError):
        journal.append(who, "item", SHOWN, decision="yes")
    journal.close()
    assert (tmp_path / "j").read_bytes() == b""
