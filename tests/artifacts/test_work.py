"""Work on a volume: one run at a time has it, whatever others do meanwhile, and it is found again."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from longtail.artifacts import work

KEY = "a" * 64
HOLDS = (
    "import pathlib, longtail.artifacts.work as c\n"
    f"print(c.work_directory(pathlib.Path('model'), '{KEY}'), flush=True); input()"
)


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where the work lies."""
    monkeypatch.setenv("LONGTAIL_WORK", str(tmp_path))
    monkeypatch.delenv("RANK", raising=False)
    yield tmp_path / KEY[:16]
    work.release()


def claimed() -> Path:
    return work.work_directory(Path("model"), KEY)


def test_an_attempt_that_cannot_go_on_with_the_work_says_so_and_the_next_finds_its_own(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdin=-1, stdout=-1, text=True) as lost:
        assert lost.stdout is not None
        assert lost.stdout.readline().strip() == str(path)
        (path / "checkpoint").write_text("step 9000")
        own = claimed()
        assert own != path
        told = capsys.readouterr().err
        assert told.startswith(f"warning: another run holds {path} and what has been done there")
        assert str(own) in told
        assert "end this one and start it again later" in told
        (own / "checkpoint").write_text("step 1000")
        work.release()
        assert claimed() == own
        assert (own / "checkpoint").exists()
        work.release()
        lost.kill()
    capsys.readouterr()
    assert claimed() == path
    assert (path / "checkpoint").read_text() == "step 9000"
    assert capsys.readouterr().err == ""


def locked(path: Path) -> int | None:
    """The lock, which ends when it is closed; None while another has it."""
    lock = os.open(path / "lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


@pytest.mark.parametrize("moment", range(12))
def test_a_directory_that_another_run_has_just_removed_is_made_again(path: Path, moment: int) -> None:
    """The other run succeeds before a line that claims the directory; `moment`: which."""
    lines = iter(range(1000))

    def succeeding(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line" and next(lines) == moment and (path / "lock").exists() and (lock := locked(path)):
            shutil.rmtree(path)
            os.close(lock)
        return succeeding if frame.f_code.co_filename == work.__file__ else None

    path.mkdir()
    (path / "lock").touch()
    before = sys.gettrace()
    sys.settrace(succeeding)
    try:
        mine = claimed()
    finally:
        sys.settrace(before)
    assert mine == path
    assert locked(path) is None


def test_a_run_succeeds_though_another_takes_the_directory_while_it_is_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = os.rmdir

    def taken(*arguments: Any, **options: Any) -> None:
        (path / "lock").touch()
        remove(*arguments, **options)

    claimed()
    monkeypatch.setattr(os, "rmdir", taken)
    work.succeed([])
    assert [file.name for file in path.iterdir()] == ["lock"]
