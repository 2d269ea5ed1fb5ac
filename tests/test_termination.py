"""Told to end, a step says so in one sentence, leaves nothing half-made and keeps its checkpoints."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import ARTIFACTS, OPTIMISATION, run_pipeline, write_parameters, write_tiny_dataset

from longtail.artifacts.outputs import written_whole
from longtail.execution import one_sentence
from longtail.termination import SIGNALS, Terminated, held, raised
from longtail.training.loading import one_ahead

STATUS = {signal.SIGTERM: 143, signal.SIGHUP: 129}
LONG: dict[str, dict[str, Any]] = {
    "fit": {"optimisation": {**OPTIMISATION, "iterations": 400}},
    "train": {"optimisation": {**OPTIMISATION, "iterations": 400}},
    "evaluate": {"resamples": 200_000},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_TRACKING", "off")
        write_tiny_dataset(root / "dataset")
        run_pipeline(root)
    return root


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_sentence_and_an_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    def step() -> None:
        with one_sentence(), written_whole({"out": tmp_path / "out"}) as partial:
            (partial["out"] / "file").touch()
            os.kill(os.getpid(), number)
            time.sleep(10)

    signal.signal(number, signal.SIG_DFL)  # under nohup SIGHUP is ignored, and so it would be here
    with pytest.raises(SystemExit) as ended:
        step()
    assert ended.value.code == STATUS[number]
    error = capsys.readouterr().err
    assert error == f"error: told to end by {number.name}; nothing half-written is left, and checkpoints are kept\n"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is signal.SIG_DFL


def test_tidying_up_is_not_cut_short_by_a_second_signal() -> None:
    tidied = []

    @one_sentence()
    def step() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            tidied.append("all")

    with pytest.raises(SystemExit):
        step()
    assert tidied == ["all"]


def test_a_signal_waits_until_a_held_block_is_left() -> None:
    done = []

    @one_sentence()
    def step() -> None:
        with held():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("all of the block")
        done.append("what follows")

    with pytest.raises(SystemExit) as ended:
        step()
    assert ended.value.code == 143
    assert done == ["all of the block"]


def test_a_signal_while_a_mini_batch_is_submitted_leaves_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It hung: the loader's semaphore stayed locked, and the end waited for the loader."""
    acquire = threading.Semaphore.acquire

    def told_meanwhile(self: threading.Semaphore, *args: Any, **more: Any) -> bool:
        with self._cond:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGTERM)
        found.append("submitted")
        return acquire(self, *args, **more)

    found: list[str] = []
    monkeypatch.setattr(threading.Semaphore, "acquire", told_meanwhile)
    with pytest.raises(Terminated), raised():
        list(one_ahead(lambda step: step, range(3), torch.device("cpu")))
    assert found == ["submitted"]


def test_what_is_ignored_stays_so() -> None:
    """`nohup` says that the end of the terminal is not the end of the step."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with one_sentence():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "number"), [(stage, signal.SIGTERM) for stage in LONG] + [("fit", signal.SIGHUP)], ids=str
)
def test_a_step_that_is_told_to_end_leaves_checkpoints_alone(
    tmp_path: Path, finished: Path, stage: str, number: signal.Signals
) -> None:
    output = {"fit": "model", "train": "model", "evaluate": "report"}[stage]
    paths = {name: finished / path for name, path in ARTIFACTS[stage].items()} | {output: tmp_path / "made"}
    parameters = write_parameters(tmp_path / "p.yaml", **{stage: LONG[stage]})
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    words += ["--params", str(parameters), *(["--name", "softmax"] if stage == "fit" else [])]
    step = subprocess.Popen([sys.executable, "-m", "longtail", stage, *words], stderr=subprocess.PIPE, text=True)
    awaited = tmp_path / (".made.partial" if stage == "evaluate" else ".made.work")
    while not (awaited.is_dir() and any(awaited.iterdir())):
        assert step.poll() is None, step.stderr.read() if step.stderr else ""
        time.sleep(0.02)
    step.send_signal(number)
    error = step.communicate(timeout=60)[1]
    assert step.returncode == STATUS[number]
    assert [line for line in error.splitlines() if "told to end" in line] == [error.splitlines()[-1]]
    assert "Traceback" not in error
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == (["p.yaml"] if stage == "evaluate" else [".made.work", "p.yaml"])
