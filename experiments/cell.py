"""One cell of an experiment, in a process of its own: the pipeline's stages, to each rule's answers on test.

    python -m experiments.cell CELL.json DATA WORK

A step's output is named by its parameters and inputs, so cells that share a data set, a split or a training share its
work, and a stopped cell goes on where it was.
"""

import fcntl
import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import torch

from experiments.choices import chosen
from experiments.matrix import Cell
from longtail.artifacts.files import remove
from longtail.artifacts.reading import read_json, write_json
from longtail.data.splits import Split
from longtail.execution import one_sentence
from longtail.network.snapshot import State
from longtail.stages import cluster, features, fit, index, ingest, quintuplets, split, start, train
from longtail.stages.evaluate import Indexed
from longtail.tracking.origin import commit, processor
from longtail.training.declared import DATASET, START
from longtail.training.loop import precision


@dataclass(frozen=True)
class Steps:
    """The stages of a cell, their outputs below `work`, which belongs to one directory of data; `made_by` collects the
    commits of which they are.
    """

    cell: Cell
    work: Path
    made_by: set[str] = field(default_factory=set)

    def run(self, stage: ModuleType, *inputs: Path, training: str | None = None) -> Path:
        """Run a stage, of those with names one of their entries, unless its output is there; return the output."""
        name = stage.__name__.rpartition(".")[2]
        params = self.cell.params(name, training)
        # The name tells parameters and inputs apart: a changed YAML never meets the results of another.
        made_from = params.model_dump_json() + "".join(path.name for path in inputs)
        if stage in (fit, train) and params.optimisation.precision is None:
            made_from += precision(params.optimisation).removeprefix("float32")  # which then hangs on the device
        output = self.work / f"{name}-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"
        self.work.mkdir(parents=True, exist_ok=True)
        with _alone(output.with_suffix(".lock")):
            note = output.with_suffix(".commit")
            if not output.exists():
                note.write_text(commit(), encoding="utf-8")
                stage.run(*inputs, output, params=params)
            self.made_by.add(note.read_text(encoding="utf-8"))
        return output

    def model(self, dataset: Path, table: Path) -> Path:
        """The model directory that the cell's trainings lead to, on a packed data set and its split."""
        declared, models = self.cell.declared, {START: self.run(start, dataset, table)}
        model = models[START]
        for training in self.cell.trainings:
            on, inputs = declared.on[training], dataset
            if on != DATASET:
                inputs = self.run(features, dataset, table, models[declared.features[on]], training=on)
            if training in self.cell.rounds:
                clusters = self.run(cluster, table, model)
                members = self.run(quintuplets, table, model, clusters)
                model = self.run(train, inputs, table, model, members)
            else:
                model = self.run(fit, inputs, table, model, training=training)
            models[training] = model
        return model


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other cell makes this output; the lock of a process that is killed is released."""
    with lock.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_cell(cell: Cell, data: Path, work: Path, result: Path) -> None:
    """Run a cell and write the directory `result`, whole or not at all: `answers-<task>.npz` and `result.json`.

    The answers are class codes of the test samples: `truth` (−1 where the label is missing), `groups` (names), and one
    array a rule. Raises DataError on bad parameters or data.
    """
    began = time.perf_counter()
    steps = Steps(cell, work)
    dataset = steps.run(ingest, data)
    table = steps.run(split, dataset)
    model = steps.model(dataset, table)
    indexed = steps.run(index, table, model)
    result.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=result.parent, prefix=".") as name:
        made = Path(name, result.name)
        made.mkdir()
        tasks = _answers(Split.open(table), Indexed.open(cell.model, indexed), made)
        fitted = read_json(indexed / "rules.json")
        state = State.read(model)
        best = {"round": state.best_round} if cell.model in cell.rounds else {}
        written = {
            "commits": sorted(steps.made_by),
            "data": str(data),
            "machine": _machine(),
            "cell": cell.model_dump(mode="json"),
            "seconds": round(time.perf_counter() - began, 1),
            "best_round": state.best_round,
            "history": [past.model_dump(mode="json") for past in state.history],
            "validation": {task: {rule: found["score"] for rule, found in of.items()} for task, of in fitted.items()},
            "chosen": {task: {rule: best | chosen(found) for rule, found in of.items()} for task, of in fitted.items()},
            "tasks": tasks,
        }
        write_json(made / "result.json", written)
        remove(result)
        made.rename(result)


def _answers(table: Split, model: Indexed, result: Path) -> dict[str, Any]:
    """Write what each rule says of the test samples; return each task's classes and their training samples."""
    test = table.positions("test")
    groups = table.samples["group"].to_numpy()[test].astype(np.str_)
    about = {}
    for task in table.tasks:
        answers: dict[str, Any] = dict(model.on(task).answers(test))
        truth = table.scored_labels(task, "test")[test]
        np.savez_compressed(result / f"answers-{task.name}.npz", truth=truth, groups=groups, **answers)
        train = table.info.subsets["train"].counts[task.name]
        about[task.name] = {"classes": task.classes, "background": task.background, "train": train}
    return about


def _machine() -> str:
    """The processor, and the GPU where there is one."""
    return ", ".join([processor(), *([torch.cuda.get_device_name()] if torch.cuda.is_available() else [])])


def main() -> None:
    """The command that experiments/run.py starts for each cell."""
    cell, data, work, result = sys.argv[1:]
    with one_sentence():
        run_cell(Cell.model_validate_json(Path(cell).read_text(encoding="utf-8")), Path(data), Path(work), Path(result))


if __name__ == "__main__":
    main()
