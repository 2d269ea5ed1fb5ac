"""How far a step is: lines in a log, a bar on a terminal, and both fit 80 columns."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from longtail import progress
from longtail.progress import EVERY, FIRST, Advance, duration


def lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, total: int, each: float, done: int = 0
) -> list[str]:
    """What is printed of things that take `each` seconds."""
    clock = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with Advance("training", total, done=done) as advance:
        for number in range(done, total):
            clock[0] += each
            advance.add(note=f"loss {1 / (number + 1):.3f}, 123,456 images/s")
    return capsys.readouterr().err.splitlines()


def test_what_is_quick_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(monkeypatch, capsys, total=100, each=0.9 * FIRST / 100) == []


def test_a_line_comes_early_and_then_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = lines(monkeypatch, capsys, total=1_000_000, each=0.01)
    assert said[0] == "training: 501 of 1,000,000, 2.8 h left, loss 0.002, 123,456 images/s"
    assert len(said) == pytest.approx(10_000 / EVERY, abs=2)
    assert max(map(len, said)) <= 80


def test_a_step_of_minutes_is_told_after_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = lines(monkeypatch, capsys, total=20, each=240)
    assert said[0].startswith("training: 1 of 20, 76 min left, ")
    assert said[-1].startswith("training: 20 of 20, 0 s left, ")


def test_what_was_done_before_a_resume_took_no_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lines(monkeypatch, capsys, total=108, each=10, done=100)[0].startswith("training: 101 of 108, 70 s left")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (120, "2 min"), (4800, "80 min"), (7200, "2.0 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


PROGRAM = """
import time
from longtail.progress import Advance
with Advance("training", 100_000, done=99_990) as advance:
    for _ in range(10):
        time.sleep(0.05)
        advance.add(note="loss 0.123, 3,752 images/s")
"""


def test_on_a_terminal_of_80_columns_the_bar_is_whole() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    root = Path(__file__).parents[1]
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=theirs, env=environment, cwd=root) as run:
        assert run.wait() == 0
    os.close(theirs)
    shown = os.read(ours, 2**20).decode()
    os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert "100000/100000" in plain
    assert "loss 0.123, 3,752 images/s" in plain
    assert "…" not in plain
