"""One run at a time writes an output; the others are told, and what a killed run has left is in nobody's way."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from longtail.artifacts.digests import write_digests
from longtail.artifacts.outputs import written_whole
from longtail.errors import DataError

WRITER = """
import sys, time
from pathlib import Path
from longtail.artifacts.outputs import written_whole
from longtail.errors import DataError
try:
    with written_whole({"model": Path(sys.argv[1])}) as partial:
        for part in range(5):
            (partial["model"] / str(part)).write_text(sys.argv[2], encoding="utf-8")
            print("writing", flush=True)
            time.sleep(float(sys.argv[3]))
        (partial["model"] / "digests.json").write_text(sys.argv[2], encoding="utf-8")
except DataError as error:
    sys.exit(str(error))
"""


def writer(output: Path, name: str, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(output), name, str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_second_run_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with writer(tmp_path / "model", "first", 0.1) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "writing\n"
        refused = pytest.raises(DataError, match=f"another run is writing {tmp_path / 'model'}")
        with refused, written_whole({"model": tmp_path / "model"}):
            raise AssertionError("two runs are at one output")
        assert first.wait() == 0
    assert [file.read_text(encoding="utf-8") for file in sorted((tmp_path / "model").iterdir())] == ["first"] * 6


def test_of_many_runs_at_once_the_output_is_of_one(tmp_path: Path) -> None:
    runs = [writer(tmp_path / "model", str(number), 0.01) for number in range(6)]
    ends = [run.communicate() for run in runs]
    assert [run.returncode for run in runs].count(0) >= 1
    for run, (_, said) in zip(runs, ends, strict=True):
        assert (run.returncode == 0) == (said == ""), said
        assert not said or said.startswith("another run is writing "), said
    assert len({file.read_text(encoding="utf-8") for file in (tmp_path / "model").iterdir()}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def left_by_a_kill(partial: Path) -> None:
    with writer(partial.with_name("model"), "killed", 60) as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.kill()
    assert partial.is_dir()


@pytest.mark.parametrize(
    "leave",
    [
        left_by_a_kill,
        lambda partial: partial.write_bytes(b""),
        lambda partial: partial.symlink_to("nowhere"),
        lambda partial: partial.symlink_to("."),
    ],
)
def test_what_is_left_there_is_in_nobodys_way(tmp_path: Path, leave: Callable[[Path], None]) -> None:
    leave(tmp_path / ".model.partial")
    with written_whole({"model": tmp_path / "model"}) as partial:
        assert list(partial["model"].iterdir()) == []
        (partial["model"] / "state.json").write_bytes(b"{}")
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "state.json"]


def test_a_failed_run_leaves_the_output_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(KeyboardInterrupt), written_whole({"model": tmp_path / "model", "log": tmp_path / "log"}):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def an_artifact(path: Path) -> None:
    path.mkdir()
    (path / "rows.parquet").write_bytes(b"")
    write_digests(path)


def artifacts_below(path: Path) -> None:
    path.mkdir()
    an_artifact(path / "model")


def a_folder(path: Path) -> None:
    (path / "deep").mkdir(parents=True)
    (path / "deep/photograph.jpg").write_bytes(b"")


def a_queue(path: Path) -> None:
    path.mkdir()
    for name in ("queue.json", "journal.jsonl", "lineage.json"):
        (path / name).write_bytes(b"")


@pytest.mark.parametrize(
    "put",
    [
        a_folder,
        a_queue,
        lambda path: path.write_bytes(b"a file"),
        lambda path: path.symlink_to("nowhere"),
        artifacts_below,
    ],
    ids=["images", "queue", "file", "link", "folder of artifacts"],
)
def test_what_no_step_has_written_is_not_replaced(tmp_path: Path, put: Callable[[Path], None]) -> None:
    put(tmp_path / "output")
    before = sorted(tmp_path.rglob("*"))
    refused = pytest.raises(DataError, match="output is there, and no step has written it")
    with refused, written_whole({"model": tmp_path / "output"}):
        raise AssertionError("the step has begun")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("put", [an_artifact, Path.mkdir], ids=["artifact", "empty"])
def test_what_a_step_has_written_is_replaced(tmp_path: Path, put: Callable[[Path], None]) -> None:
    put(tmp_path / "output")
    with written_whole({"model": tmp_path / "output"}) as partial:
        (partial["model"] / "new").write_bytes(b"")
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["new"]


@pytest.mark.parametrize("place", [".", "..", "/"])
def test_an_output_needs_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="name a folder to make"), written_whole({"dataset": Path(place)}):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["set", "set/link/..", "link"])
def test_what_is_read_is_not_replaced(tmp_path: Path, place: str) -> None:
    an_artifact(tmp_path / "set")
    (tmp_path / "set/link").symlink_to(tmp_path / "set")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    for inputs in ([tmp_path / "set"], [tmp_path / "other", tmp_path / "set/rows.parquet"]):
        refused = pytest.raises(DataError, match=r"would replace .* which is read to write it")
        with refused, written_whole({"model": tmp_path / place}, inputs):
            raise AssertionError("the step has begun")
    assert (tmp_path / "set/rows.parquet").exists()
