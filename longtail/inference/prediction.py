"""`longtail predict`: what a model answers of image files, as a table or as JSON lines."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from longtail.artifacts.digests import check_artifact
from longtail.artifacts.files import written
from longtail.errors import DataError
from longtail.inference.answerer import Answerer, Answers
from longtail.inference.columns import REFUSED
from longtail.inference.files import LONGEST, Picture, pictures
from longtail.inference.pixels import preprocessing
from longtail.sources.quoting import shown

BLOCK = 64  # images that are answered at a time
WIDEST = 1000  # characters of a line that no terminal shows
Line = dict[str, Any]


def predict(paths: list[Path], index: Path, *, as_json: bool, out: Path | None, refuse: bool = False) -> None:
    """Answer every file; print a table, or JSON lines if asked, and write JSON lines to the file `out`, whole or not.

    With `refuse` an image unlike anything that was trained on has the class REFUSED. A file without answer is named on
    stderr. Raises DataError at the end if there was one, and at once if the index cannot be read or has changed, its
    model takes no files, or `out` would replace what is no file of answers.
    """
    _check_replaceable(out)
    check_artifact(index)
    answerer = Answerer.load(index)
    preprocessing(answerer.embedder.blueprint)
    table, faults, count = _table(len(answerer.tasks) > 1), 0, 0
    with ExitStack() as stack:
        files: list[IO[str]] = [sys.stdout] if as_json else []
        if out is not None:
            place = stack.enter_context(written(out))
            files.append(stack.enter_context(place.open("w", encoding="utf-8")))
        for line in answered(pictures(paths, answerer.embedder.blueprint), answerer, refuse=refuse):
            count += 1
            if "fault" in line:
                faults += 1
                print(f"{shown(line['file'], LONGEST)}: {line['fault']}", file=sys.stderr, flush=True)
            elif not as_json:
                _add_rows(table, line)
            for file in files:
                print(json.dumps(line), file=file, flush=True)
    if table.row_count:
        # What is no terminal, such as a pipe, has no width that lines would have to be broken at.
        Console(width=None if sys.stdout.isatty() else Console(width=WIDEST).measure(table).maximum).print(table)
    if faults:
        raise DataError(f"{faults} of {count} files have no answer; each is named above")


def _check_replaceable(out: Path | None) -> None:
    if out is not None and out.is_file():
        with out.open("rb") as file:
            if file.read(1) not in (b"{", b""):
                raise DataError(f"{out} is there, and holds no JSON lines; name another file, or move it away")


def answered(files: Iterable[Picture], answerer: Answerer, *, refuse: bool = False) -> Iterator[Line]:
    """Of each picture, in their order, what the model answers on every task, or the picture's fault, as JSON has it."""
    waiting = iter(files)
    while block := list(islice(waiting, BLOCK)):
        images = [one.pixels for one in block if one.pixels is not None]
        answers = answerer.answer(np.stack(images)) if images else {}
        place = 0
        for one in block:
            if one.pixels is None:
                yield {"file": one.path, "fault": one.fault}
                continue
            of_tasks = {
                name: _task_line(of_task, answerer.tasks[name].task.classes, place, refuse)
                for name, of_task in answers.items()
            }
            yield {"file": one.path, "tasks": of_tasks}
            place += 1


def _task_line(answers: Answers, classes: list[str], place: int, refuse: bool) -> Line:
    near, refused = answers.nearest, refuse and bool(answers.unlike[place])
    return {
        "class": REFUSED if refused else classes[answers.codes[place]],
        "probability": float(answers.probability[place]),
        "probabilities": dict(zip(classes, answers.probabilities[place].tolist(), strict=True)),
        "nearest_cluster": {
            "class": classes[near.classes[place]],
            "number": int(near.cluster[place]),
            "distance": float(near.distance[place]),
        },
        "unlike": bool(answers.unlike[place]),
    }


def _table(several_tasks: bool) -> Table:
    table = Table()
    table.add_column("file", overflow="fold")
    if several_tasks:
        table.add_column("task", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right")
    table.add_column("nearest cluster (distance)", overflow="fold")
    table.add_column("unlike anything trained on", justify="center")
    return table


def _add_rows(table: Table, line: Line) -> None:
    for name, task in line["tasks"].items():
        near = task["nearest_cluster"]
        cells = [
            shown(line["file"], LONGEST),
            *([name] if len(line["tasks"]) > 1 else []),
            shown(task["class"]),
            f"{100 * task['probability']:.1f} %",
            f"{shown(near['class'])} {near['number']} ({near['distance']:.2f})",
            "yes" if task["unlike"] else "",
        ]
        table.add_row(*(Text(cell) for cell in cells))  # as it is: brackets in a name are no markup
