"""`longtail bootstrap`: turn after turn, train, propose, let people decide, and grow.

What a turn has made is whole or absent, and nothing else is remembered: a call goes on with what is missing.

bootstrap.json           what was begun, see plan.py
pool/                    the images to ask for, see pool.py
turn-1/                  start, features, the trainings and `index`, on the seed, and `queue`, what people are asked
turn-2/ …                likewise, and before them `dataset` and `split`, grown by all decisions of the turns before
summary.csv classes.csv  what the turns have brought, see summary.py
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from longtail import tracking
from longtail.artifacts.files import written
from longtail.artifacts.lineage import Lineage
from longtail.artifacts.reading import write_json
from longtail.bootstrapping.growing import Grown, grow, opened, task_of
from longtail.bootstrapping.people import decide_all, read_truth
from longtail.bootstrapping.plan import FILE, POOL, Plan
from longtail.bootstrapping.pool import Pool, list_pool
from longtail.bootstrapping.steps import Turn, make_index, make_split, step
from longtail.bootstrapping.summary import write_summary
from longtail.bootstrapping.verdicts import is_done, tally, undecided
from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.labelling.definitions import read_definitions
from longtail.labelling.proposal import NothingProposedError, propose
from longtail.labelling.queue import LONGEST
from longtail.labelling.settings import Settings
from longtail.parameters import CLUSTER
from longtail.sources.quoting import shown

FINISHED = "finished.json"
NOTHING = "nothing.json"  # in the place of a queue, where the model was sure of none


class Simulation(NamedTuple):
    """People who decide by themselves: from a CSV of the classes of the pool's images, with errors at a rate."""

    truth: Path
    error_rate: float


class Bootstrapping:
    """The turns of a directory, one more than the pool has parts: the last is trained on all that was decided."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        """Begin or go on. Raises DataError if the seed data set and its split cannot be read or lack the task, or the
        pool has too few images; then nothing has begun.
        """
        self.directory, self.plan = directory, plan
        self.turns = [Turn.of(directory, number, plan) for number in range(1, plan.parts + 2)]
        self.seed = self.turns[0]
        packed, split = opened(self.seed.dataset, self.seed.split)
        self.task: Task = task_of(split, plan.task, self.seed.split)
        self.definitions = self._path(plan.definitions) if plan.definitions else None
        read_definitions(self.definitions, self.task.classes)
        place = directory / POOL
        if not (directory / FILE).exists():
            counts = list_pool([self._path(path) for path in plan.pool], packed, place, plan.parts, plan.seed)
            print(f"bootstrap: {_counted(counts.model_dump())}", file=sys.stderr)
            plan.write(directory)
        self.pool = Pool.open(place, plan.parts)

    def advance(self, simulation: Simulation | None, *, enough: bool) -> str:
        """Go on until people have to decide, or nothing is left to do; what to do next, or what it has come to.

        `enough`: what is decided of the open queue is enough; the rest is asked again with the last part.
        """
        open_before = next((turn for turn in reversed(self.turns) if turn.queue.exists()), None)
        truth = read_truth(simulation.truth, self.pool.files) if simulation else None
        for turn in self.turns:
            if turn is not self.seed:
                self._grow(turn)
            make_index(turn, self.plan)
            if turn is self.turns[-1]:
                return self._finished(turn)
            if self.turns[turn.number].dataset.exists() or not self._asked(turn):
                continue
            if simulation and truth:
                decide_all(turn.queue, truth, simulation.error_rate, self.plan.seed)
            if not is_done(turn.queue) and not (enough and turn is open_before):
                return self._waiting(turn)
        raise AssertionError("the last turn returns")

    def _asked(self, turn: Turn) -> bool:
        """Whether there is anything to decide in a turn, whose queue is made if it is not there."""
        if not turn.queue.exists() and not (turn.folder / NOTHING).exists():
            settings = Settings(
                by=self.plan.by,
                confidence=self.plan.confidence,
                task=self.task.name,
                dataset=turn.dataset,
                split=turn.split,
                definitions=self.definitions,
                twice=self.plan.twice,
                seed=self.plan.seed,
            )
            with self._tracked(turn, "propose"):
                try:
                    propose(list(self._candidates(turn)), turn.index, turn.queue, settings)
                    tracking.log_metrics({"bootstrap/asked": tally(turn.queue).asked}, step=turn.number, parent=True)
                except NothingProposedError as error:
                    print(f"bootstrap: turn {turn.number}: {error}", file=sys.stderr)
                    with written(turn.folder / NOTHING) as file:
                        write_json(file, {"why": str(error)})
        return turn.queue.exists()

    def _candidates(self, turn: Turn) -> Iterator[Path]:
        """The files of a turn's part; with the last, those of all queues that nobody decided."""
        yield from (self.pool.files[item] for item in self.pool.parts[turn.number - 1])
        if turn.number == self.plan.parts:
            for queue in self._queues(turn):
                yield from (self.pool.files[item] for item in undecided(queue))

    def _queues(self, turn: Turn) -> list[Path]:
        """Those of the turns before one. Raises DataError if one is missing: what people decided is not forgotten."""
        before = [one for one in self.turns[: turn.number - 1] if not (one.folder / NOTHING).exists()]
        if missing := [one.queue for one in before if not one.queue.exists()]:
            raise DataError(
                f"{shown(missing[0], LONGEST)} is missing, with what people decided in it; bring it back, as by "
                "`dvc pull` or from a backup"
            )
        return [one.queue for one in before]

    def _grow(self, turn: Turn) -> None:
        """Make data set and split of a turn, from the seed and all that was decided before: a decision that came late,
        or was changed, counts from here on.
        """
        if not turn.dataset.exists():
            with self._tracked(turn, "grow"):
                seed, queues = self.seed, self._queues(turn)
                grown = grow(seed.dataset, seed.split, queues, self.pool.files, turn.dataset, self.task.name)
                counts = {f"bootstrap/{name}": float(count) for name, count in grown._asdict().items()}
                tracking.log_metrics(counts, step=turn.number, parent=True)
                print(f"bootstrap: turn {turn.number}: {_said(grown)}", file=sys.stderr)
        make_split(turn, self.plan, self.seed.split)

    def _waiting(self, turn: Turn) -> str:
        table = self._summary(turn)
        count = tally(turn.queue)
        return (
            f"{table}\n{count.undecided} of {count.asked} images of turn {turn.number} wait for a decision:\n"
            f"  longtail label {shown(turn.queue, LONGEST)}\n"
            f"then go on (with --enough, also before all are decided):\n"
            f"  longtail bootstrap {shown(self.directory, LONGEST)}"
        )

    def _finished(self, turn: Turn) -> str:
        """Say what it has come to; the first time, end the run of all turns in MLflow."""
        table, mark = self._summary(turn), turn.folder / FINISHED
        if not mark.exists():
            with self._tracked(turn, "summary", last=True):
                tracking.log_artifact(self.directory / "summary.csv", parent=True)
                tracking.log_artifact(self.directory / "classes.csv", parent=True)
            with written(mark) as file:
                write_json(file, {"turns": turn.number})
        return f"{table}\nall {self.plan.parts} parts are decided; the classifier is {shown(turn.index, LONGEST)}"

    def _summary(self, turn: Turn) -> str:
        table = write_summary(self.directory, self.turns[: turn.number], self.task).astype(object)
        return table.where(table.notna(), "").to_string(index=False)

    @contextmanager
    def _tracked(self, turn: Turn, title: str, *, last: bool = False) -> Iterator[None]:
        """A run of what is no stage of the pipeline, beside those of the stages."""
        config = {name: value for name, value in self.plan.parameters.items() if name != CLUSTER}
        params = self.plan.model_dump(include={"training", "parts", "confidence", "by", "task", "twice", "seed"})
        dataset = Lineage.read(self.seed.dataset).dataset
        with (
            step(turn, self.plan, title) as name,
            tracking.stage_run(title, name, params=params, config=config, dataset=dataset, last=last),
        ):
            yield

    def _path(self, relative: str) -> Path:
        return Path(os.path.normpath(self.directory / relative))


def bootstrap(directory: Path, plan: Plan, simulation: Simulation | None, *, enough: bool) -> str:
    """Go on with the bootstrapping of a directory; what to do next, or what it has come to. Raises DataError."""
    return Bootstrapping(directory, plan).advance(simulation, enough=enough)


def _counted(counts: dict[str, int]) -> str:
    return (
        f"{counts['images']} images to ask for, of {counts['looked_at']} files; {counts['unreadable']} are no image, "
        f"{counts['there']} are in the data set already, and {counts['twice']} are there twice"
    )


def _said(grown: Grown) -> str:
    there = f"; {grown.there} are in the data set already, and left out" if grown.there else ""
    return f"the data set has {grown.accepted} images more, and {grown.rejected} hard negatives{there}"
