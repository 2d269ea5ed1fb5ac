"""Tracking on the local store: which runs there are, and what is in them."""

import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow_server import make_database

from longtail import tracking
from longtail.tracking import identity, journal, run

CONFIG = {"seed": 1, "train": {"margin": 0.2, "augment": {"flip": True}}, "classes": ["zero", "one"]}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "LocalStore":
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "LONGTAIL_TRACKING", "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(identity, "code_md5", lambda: "code")
    make_database(tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return LocalStore(f"sqlite:///{tmp_path}/mlflow.db")


class LocalStore:
    """What the tests ask of the store."""

    def __init__(self, uri: str) -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient(uri)

    def runs(self) -> list[Any]:
        experiment = self.client.get_experiment_by_name("longtail")
        return self.client.search_runs([experiment.experiment_id]) if experiment else []

    def parents(self) -> list[Any]:
        return [one for one in self.runs() if "mlflow.parentRunId" not in one.data.tags]

    def nested(self, name: str) -> list[Any]:
        return [one for one in self.runs() if one.data.tags.get("longtail.step") == name]

    def files(self, one: Any, folder: str | None = None) -> list[str]:
        return [file.path for file in self.client.list_artifacts(one.info.run_id, folder)]


@contextmanager
def step(name: str, config: dict[str, Any] = CONFIG, dataset: Any = "d41d8c", last: bool = False) -> Iterator[None]:
    with tracking.stage_run(name, name, params={"lr": 0.1}, config=config, dataset=dataset, last=last):
        yield


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliver at every event, as a step of some minutes does."""
    monkeypatch.setattr(run, "FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(run, "FLUSH_SHARE", 0.0)


def journals() -> list[Path]:
    return journal.waiting()


def test_the_steps_of_one_pipeline_are_nested_in_one_parent(store: LocalStore) -> None:
    with step("split"):
        tracking.log_metrics({"samples": 12.0})
    with step("evaluate", last=True):
        tracking.log_metrics({"test/label/accuracy": 0.9})
    (parent,) = store.parents()
    assert parent.info.status == "FINISHED"
    nested = [*store.nested("split"), *store.nested("evaluate")]
    assert [one.data.tags["mlflow.parentRunId"] for one in nested] == [parent.info.run_id] * 2
    assert store.nested("split")[0].data.metrics == {"samples": 12.0}
    assert store.nested("evaluate")[0].data.metrics == {"test/label/accuracy": 0.9}


@pytest.mark.parametrize("fails", [False, True])
def test_a_step_without_a_name_logs_on_the_parent_once(store: LocalStore, tmp_path: Path, fails: bool) -> None:
    (tmp_path / "table.md").write_text("a table")
    with step("cell"):
        pass
    with suppress(RuntimeError), tracking.stage_run("all", None, params={}, config=CONFIG, dataset="d41d8c", last=True):
        tracking.log_artifact(tmp_path / "table.md", parent=True)
        tracking.log_metrics({"mean": 0.5}, parent=True)
        if fails:
            raise RuntimeError
    (parent,) = store.parents()
    assert len(store.runs()) == 2
    assert store.files(parent) == ["table.md"]
    assert parent.data.metrics == {"mean": 0.5}
    assert len(store.client.get_metric_history(parent.info.run_id, "mean")) == 1
    assert parent.info.status == ("FAILED" if fails else "FINISHED")


def test_a_step_without_a_name_leaves_a_parent_that_somebody_else_made_to_him(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = store.client.create_run(store.client.create_experiment("longtail")).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    with tracking.stage_run("all", None, params={}, config=CONFIG, dataset="d41d8c", last=True):
        tracking.log_metrics({"mean": 0.5})
    (parent,) = store.parents()
    assert parent.info.status == "RUNNING"
    assert parent.data.metrics == {"mean": 0.5}


def test_the_parent_carries_every_parameter_and_where_it_came_from(store: LocalStore) -> None:
    with step("evaluate", last=True):
        pass
    (parent,) = store.parents()
    assert parent.data.params == {
        "seed": "1",
        "train.margin": "0.2",
        "train.augment.flip": "true",
        "classes": '["zero", "one"]',
    }
    assert parent.data.tags["longtail.data_md5"] == "d41d8c"
    assert store.nested("evaluate")[0].data.params == {"lr": "0.1"}


@pytest.mark.parametrize("change", ["parameter", "data", "code"])
def test_a_change_makes_one_new_parent(store: LocalStore, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    with step("evaluate", last=True):
        pass
    if change == "code":
        monkeypatch.setattr(identity, "code_md5", lambda: "changed")
    config = CONFIG | {"seed": 2} if change == "parameter" else CONFIG
    for name in ("train", "evaluate"):
        with step(name, config, "900150" if change == "data" else "d41d8c", last=name == "evaluate"):
            pass
    assert len(store.parents()) == 2
    assert len(store.nested("train")) == 1


def test_the_step_that_makes_the_data_joins_the_same_parent(store: LocalStore, eager: None) -> None:
    made: list[str] = []
    with step("ingest", dataset=lambda: made[0]):
        tracking.log_metrics({"images": 10.0})
        assert store.runs() == []
        made.append("d41d8c")
    with step("evaluate", last=True):
        pass
    assert len(store.parents()) == 1
    assert store.nested("ingest")[0].data.metrics == {"images": 10.0}


def test_a_parent_runs_until_the_last_step_ends(store: LocalStore, eager: None) -> None:
    with step("train"):
        tracking.log_metrics({"loss": 1.0}, step=1)
        assert store.nested("train")[0].info.status == "RUNNING"
    assert store.nested("train")[0].info.status == "FINISHED"
    assert store.parents()[0].info.status == "RUNNING"


def test_a_failing_step_fails_its_runs_and_is_taken_up_again(store: LocalStore) -> None:
    with pytest.raises(RuntimeError), step("train"):
        raise RuntimeError("out of memory")
    assert [one.info.status for one in store.runs()] == ["FAILED", "FAILED"]
    assert store.parents()[0].data.tags["longtail.error"] == "RuntimeError: out of memory"
    with step("train"):
        pass
    with step("evaluate", last=True):
        pass
    assert [one.info.status for one in store.runs()] == ["FINISHED"] * 3


def test_a_finished_step_that_runs_again_gets_a_new_run(store: LocalStore, eager: None) -> None:
    for _ in range(2):
        with step("train"):
            tracking.log_metrics({"loss": 1.0})
    assert len(store.nested("train")) == 2
    assert len(store.parents()) == 1


KILLED = """
import os, signal
from longtail import tracking
from longtail.tracking import identity, run
identity.code_md5 = lambda: "code"
run.FLUSH_SECONDS = {flush}
with tracking.stage_run("train", "train", params={{"lr": 0.1}}, config={config!r}, dataset="d41d8c"):
    tracking.log_metrics({{"loss": 2.0}}, step=0)
    tracking.log_metrics({{"loss": 1.0}}, step=1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize("flush", [0, 60], ids=["partly delivered", "not delivered"])
def test_a_killed_step_is_taken_up_in_the_same_run(store: LocalStore, flush: int, eager: None) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED.format(flush=flush, config=CONFIG)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with step("train"):
        tracking.log_metrics({"loss": 0.5}, step=2)
    (nested,) = store.nested("train")
    history = store.client.get_metric_history(nested.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(0, 2.0), (1, 1.0), (2, 0.5)]
    assert nested.info.status == "FINISHED"
    assert store.parents()[0].info.status == "RUNNING"
    assert journals() == []


RESUMED = {
    "at once": ([0, 1, 2], [0, 1, 2, 3]),
    "from a checkpoint": ([0, 1, 2, 3], [2, 3, 4, 5]),
    "at its end": ([0, 1, 2], [2]),
    "after a shorter attempt": ([4, 5], [1, 2, 3, 4, 5, 6]),
    "a step's scalars": ([0], [0]),
}


@pytest.mark.parametrize("order", ["first first", "first last"])
@pytest.mark.parametrize(("first", "second"), RESUMED.values(), ids=RESUMED)
def test_a_point_that_a_resumed_step_repeats_stands_once(
    store: LocalStore, tmp_path: Path, eager: None, first: list[int], second: list[int], order: str
) -> None:
    """In the step's run and in the pipeline's, whichever attempt is delivered first."""
    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setenv("LONGTAIL_TRACKING", "later")
        with step("train"):
            for number in first:
                tracking.log_metrics({"loss": 1 / (1 + number)}, step=number, parent=True)
            raise KeyboardInterrupt
    (late,) = journals()
    if order == "first last":
        late.rename(tmp_path / "late")
    with step("train"):
        for number in second:
            tracking.log_metrics({"loss": 1 / (1 + number)}, step=number, parent=True)
    if order == "first last":
        (tmp_path / "late").rename(late)
        tracking.sync()
    assert journals() == []
    # An attempt that comes after a finished one has a run of its own.
    runs = [*store.nested("train"), *store.parents()]
    assert len(runs) == (3 if order == "first last" else 2)
    steps = [[point.step for point in store.client.get_metric_history(one.info.run_id, "loss")] for one in runs]
    assert sorted(steps[-1]) == sorted({*first, *second})
    assert all(len(found) == len(set(found)) for found in steps)


def test_a_pipeline_that_runs_again_shows_what_it_finds_then(store: LocalStore) -> None:
    for accuracy in (0.5, 0.75, 0.75):
        with step("evaluate", last=True):
            tracking.log_metrics({"accuracy": accuracy}, parent=True)
    (parent,) = store.parents()
    history = store.client.get_metric_history(parent.info.run_id, "accuracy")
    assert [point.value for point in history] == [0.5, 0.75]
    assert parent.data.metrics == {"accuracy": 0.75}


def test_what_the_pipeline_is_compared_by_is_on_the_parent_too(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<h1>report</h1>")
    with step("evaluate", last=True):
        tracking.log_metrics({"test/label/accuracy": 0.9}, parent=True)
        tracking.log_artifact(tmp_path / "report.html", "report", parent=True)
        tracking.log_table(pd.DataFrame({"class": ["zero"], "recall": [0.5]}), "tables/label.csv", parent=True)
        tracking.set_tag("decision", "large_margin", parent=True)
    for one in store.runs():
        assert one.data.metrics == {"test/label/accuracy": 0.9}
        assert one.data.tags["decision"] == "large_margin"
        assert store.files(one, "report") == ["report/report.html"]
        assert store.files(one, "tables") == ["tables/label.csv"]


def test_an_artifact_is_logged_as_it_was_when_logged(store: LocalStore, tmp_path: Path) -> None:
    with step("evaluate", last=True):
        (tmp_path / "figures").mkdir()
        (tmp_path / "figures" / "curve.txt").write_text("first")
        tracking.log_artifact(tmp_path / "figures")
        shutil.rmtree(tmp_path / "figures")
    (nested,) = store.nested("evaluate")
    path = store.client.download_artifacts(nested.info.run_id, "figures/curve.txt")
    assert Path(path).read_text(encoding="utf-8") == "first"


def test_metrics_that_are_not_finite_are_refused_together(store: LocalStore) -> None:
    with step("evaluate", last=True):
        with pytest.raises(ValueError, match="loss"):
            tracking.log_metrics({"accuracy": 0.5, "loss": math.nan})
        tracking.log_metrics({"kept": 1.0})
    assert store.nested("evaluate")[0].data.metrics == {"kept": 1.0}


def test_a_short_step_waits_for_the_next_delivery(store: LocalStore) -> None:
    with step("split"):
        tracking.log_metrics({"samples": 12.0})
    assert store.runs() == []
    assert tracking.sync() == 1
    assert store.nested("split")[0].data.metrics == {"samples": 12.0}
    assert journals() == []
    assert tracking.sync() == 0


def test_a_store_that_returns_during_the_step_needs_no_sync(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, eager: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from longtail.tracking.delivery import Store

    def fail(*_: Any) -> None:
        raise ConnectionError("timed out")

    with step("train"):
        tracking.log_metrics({"loss": 1.0}, step=1)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "deliver", fail)
            for number in (2, 3):
                tracking.log_metrics({"loss": 0.5}, step=number)
    assert capsys.readouterr().err.count("does not answer") == 1
    assert len(store.client.get_metric_history(store.nested("train")[0].info.run_id, "loss")) == 3
    assert journals() == []


def test_the_journal_of_a_living_step_is_left_alone(store: LocalStore) -> None:
    with step("split"):
        tracking.log_metrics({"samples": 12.0})
        assert tracking.sync() == 0
        assert len(journals()) == 1


def test_half_a_line_at_the_end_of_a_journal_is_left_out(store: LocalStore) -> None:
    with step("split"):
        tracking.log_metrics({"samples": 12.0})
    (waiting,) = journals()
    lines = (waiting / "journal.jsonl").read_text().splitlines(keepends=True)
    (waiting / "journal.jsonl").write_text("".join(lines[:-1]) + lines[-1][:10])
    assert tracking.sync() == 1
    (nested,) = store.nested("split")
    assert nested.data.metrics == {"samples": 12.0}
    assert nested.info.status == "KILLED"


def test_delivering_again_changes_nothing(store: LocalStore, tmp_path: Path) -> None:
    with step("train"):
        for number in range(20):
            tracking.log_metrics({"loss": float(number)}, step=number)
    (waiting,) = journals()
    shutil.copytree(waiting, tmp_path / "copy")
    tracking.sync()
    (nested,) = store.nested("train")
    receipt = {"uri": os.environ["MLFLOW_TRACKING_URI"], "parent": nested.data.tags["mlflow.parentRunId"]}
    (tmp_path / "copy" / "receipt.json").write_text(
        pd.Series(receipt | {"run": nested.info.run_id, "count": 0}).to_json()
    )
    shutil.copytree(tmp_path / "copy", waiting)
    assert tracking.sync() == 1
    assert len(store.runs()) == 2
    assert len(store.client.get_metric_history(nested.info.run_id, "loss")) == 20


@pytest.mark.parametrize("lost", ["both", "nested"])
def test_what_a_restored_database_has_lost_is_delivered_again(store: LocalStore, tmp_path: Path, lost: str) -> None:
    """The receipt of a step under way names runs that were made after the backup."""
    from longtail.tracking.delivery import Store

    uri, backup = os.environ["MLFLOW_TRACKING_URI"], tmp_path / "backup.db"
    if lost == "nested":
        with step("split"):
            pass
        tracking.sync()
    shutil.copy(tmp_path / "mlflow.db", backup)
    with step("train"):
        tracking.log_metrics({"loss": 1.0}, step=0)
        delivering = Store(uri)
        going = run.current()
        assert going is not None
        delivering.deliver(going.journal)
        assert len(store.nested("train")) == 1
        shutil.copy(backup, tmp_path / "mlflow.db")
        tracking.log_metrics({"loss": 0.5}, step=1)
    assert tracking.sync() == 1
    (nested,) = LocalStore(uri).nested("train")
    history = store.client.get_metric_history(nested.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 0.5)]
    assert (nested.info.status, journals()) == ("FINISHED", [])


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"uri": 1, "more": 2}', "null"])
def test_a_torn_receipt_holds_nothing_up(store: LocalStore, torn: str) -> None:
    with step("train"):
        tracking.log_metrics({"loss": 1.0}, step=0)
    (waiting,) = journals()
    (waiting / "receipt.json").write_text(torn)
    assert tracking.sync() == 1
    (nested,) = store.nested("train")
    assert nested.data.metrics["loss"] == 1


@pytest.mark.parametrize(("error", "tried"), [(TimeoutError("timed out after 5 s"), 1), (ValueError("odd"), 3)])
def test_a_store_that_does_not_answer_is_waited_for_once(
    store: LocalStore, capsys: pytest.CaptureFixture[str], error: Exception, tried: int
) -> None:
    from longtail.tracking.sync import deliver_waiting

    for name in ("split", "start", "train"):
        with step(name):
            pass
    asked = []

    class Failing:
        uri = os.environ["MLFLOW_TRACKING_URI"]

        def deliver(self, one: journal.Journal) -> None:
            asked.append(one)
            raise error

    deliver_waiting(Failing())  # type: ignore[arg-type]
    assert len(asked) == tried
    assert capsys.readouterr().err.count("stays") == tried
    assert len(journals()) == 3


def test_the_parent_that_an_orchestrator_made_is_used_and_left_to_it(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = store.client.create_run(store.client.create_experiment("longtail"))
    monkeypatch.setenv("MLFLOW_RUN_ID", given.info.run_id)
    with step("evaluate", last=True):
        tracking.log_metrics({"accuracy": 0.5}, parent=True)
    (parent,) = store.parents()
    assert parent.info.run_id == given.info.run_id
    assert parent.info.status == "RUNNING"
    assert parent.data.metrics == {"accuracy": 0.5}
    assert parent.data.params["seed"] == "1"


def test_long_values_and_odd_names_are_fitted_to_mlflow(store: LocalStore) -> None:
    config = {"odd & name": "x" * 10_000} | {f"p{number}": number for number in range(150)}
    with step("evaluate", config, last=True):
        tracking.log_metrics({"recall/T-shirt & top": 0.5, "../up": 1.0})
    (parent,) = store.parents()
    assert len(parent.data.params) == 151
    assert parent.data.params["odd _ name"].endswith("x…")
    assert store.nested("evaluate")[0].data.metrics == {"recall/T-shirt _ top": 0.5, "up": 1.0}


def test_tracking_can_be_switched_off(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")
    with step("evaluate", last=True):
        tracking.log_metrics({"accuracy": 0.5})
    assert store.runs() == []
    assert journals() == []


def test_one_of_several_training_processes_tracks(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with step("evaluate", last=True):
        tracking.log_metrics({"accuracy": 0.5})
    assert store.runs() == []


def test_outside_a_step_nothing_happens(store: LocalStore) -> None:
    tracking.log_metrics({"accuracy": 0.5})
    tracking.set_tag("a", "b")
    assert journals() == []
    with pytest.raises(ValueError, match="accuracy"):
        tracking.log_metrics({"accuracy": math.inf})


def test_without_mlflow_the_step_runs_and_its_journal_waits(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "mlflow", None)
        with step("evaluate", last=True):
            tracking.log_metrics({"accuracy": 0.5})
    assert "MLflow is not installed here" in capsys.readouterr().err
    assert tracking.sync() == 1
    assert store.nested("evaluate")[0].data.metrics == {"accuracy": 0.5}


def test_without_a_disk_for_the_journal_the_store_gets_everything(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LONGTAIL_WORK", str(tmp_path / "file"))
    (tmp_path / "report.html").touch()
    with step("evaluate", last=True):
        tracking.log_metrics({"accuracy": 0.5})
        tracking.log_artifact(tmp_path / "report.html")
    assert capsys.readouterr().err.count("the journal cannot be written") == 1
    (nested,) = store.nested("evaluate")
    assert nested.data.metrics == {"accuracy": 0.5}
    assert store.files(nested) == ["report.html"]


def test_what_a_pod_could_not_deliver_waits_on_the_volume(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod's own files go with it, and the next step's pod is another one."""
    monkeypatch.setenv("LONGTAIL_WORK", str(tmp_path / "volume"))
    monkeypatch.setenv("LONGTAIL_EXECUTION", "run-1")
    monkeypatch.setenv("LONGTAIL_TRACKING", "later")
    for name in ("start", "train"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with step(name):
            tracking.log_metrics({"loss": 1.0})
    monkeypatch.chdir(tmp_path)
    assert tracking.sync() == 2
    (parent,) = store.parents()
    assert parent.data.tags["longtail.execution"] == "run-1"
    assert store.nested("start")[0].data.metrics == store.nested("train")[0].data.metrics == {"loss": 1.0}


def test_a_disk_that_fills_up_does_not_stop_the_step(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full, step("train"):
        tracking.log_metrics({"loss": 2.0}, step=0)
        current = run.current()
        assert current is not None
        current.journal._file = full
        tracking.log_metrics({"loss": 1.0}, step=1)
    assert "No space left on device" in capsys.readouterr().err
    (nested,) = store.nested("train")
    assert len(store.client.get_metric_history(nested.info.run_id, "loss")) == 2


def test_an_artifact_that_cannot_be_copied_is_delivered_at_once(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "report.html").touch()
    with step("train"):
        current = run.current()
        assert current is not None
        (current.journal.path / "files").touch()
        tracking.log_artifact(tmp_path / "report.html")
        (tmp_path / "report.html").unlink()
    (nested,) = store.nested("train")
    assert store.files(nested) == ["report.html"]


def test_an_artifact_that_is_lost_does_not_hold_up_the_rest(
    store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.html").touch()
    with step("train"):
        tracking.log_artifact(tmp_path / "report.html")
        tracking.log_metrics({"loss": 1.0})
    (waiting,) = journals()
    shutil.rmtree(waiting / "files")
    assert tracking.sync() == 1
    assert "is gone" in capsys.readouterr().err
    assert store.nested("train")[0].data.metrics == {"loss": 1.0}


def test_a_metric_that_mlflow_refuses_does_not_hold_up_the_rest(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    with step("evaluate", last=True):
        current = run.current()
        assert current is not None
        current.log("tag", key="bad\nkey", value="x")
        tracking.log_metrics({"accuracy": 0.5})
    assert "left out, tag" in capsys.readouterr().err
    assert store.nested("evaluate")[0].data.metrics == {"accuracy": 0.5}


def test_importing_tracking_does_not_import_mlflow() -> None:
    code = "import sys; import longtail.tracking; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_a_pipeline_writes_does_not_make_its_commit_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC takes away the metrics, which git tracks, before the step that writes them."""
    monkeypatch.delenv("LONGTAIL_COMMIT", raising=False)
    for name in ("dvc.lock", "metrics/fit.json", "sources/metrics/code.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    (tmp_path / "dvc.lock").write_text("2")
    (tmp_path / "metrics/fit.json").unlink()
    for place in (tmp_path, tmp_path / "sources"):
        monkeypatch.chdir(place)
        assert identity.git_state()["dirty"] == "false"
    (tmp_path / "sources/metrics/code.py").write_text("2")
    assert identity.git_state()["dirty"] == "true"
