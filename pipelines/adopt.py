"""Bring the artifacts of a run on a cluster into the workspace, as if `dvc repro` had made them here."""

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from longtail.artifacts.files import remove, replace
from longtail.artifacts.lineage import FILE, Lineage
from longtail.errors import DataError
from longtail.storage.remote import Remote
from pipelines.arguments import dvc
from pipelines.copies import METRICS, ROOTS, Copy, download, find_copies, read_json, s3_url
from pipelines.expected import Expected
from pipelines.outputs import Outputs
from pipelines.runs import Run
from pipelines.server import Access


@dataclass(frozen=True)
class Adoptable:
    """The outputs of a stage, where they lie, and what the task has recorded."""

    outputs: Outputs
    copy: Copy
    metrics: dict[str, float]


def open_store(run: Run, to: Access, root: str | None, endpoint: str | None) -> Remote:
    """The folder that holds the runs' artifacts. Raises DataError if nothing of the pipeline is there."""
    usual = [place.format(namespace=to.namespace) for place in ROOTS if to.namespace or "{" not in place]
    own = root or run.root
    places = [s3_url(place) for place in ([own] if own else usual)]
    for folder in (f"{run.pipeline}/{run.id}", run.pipeline):
        for place in places:
            remote = Remote(place, endpoint=endpoint)
            if next(remote.entries(folder), None) is not None:
                return remote
    raise DataError(
        f"nothing of the run is at {' or '.join(places)}: say where with --pipeline-root (defaultPipelineRoot of the "
        "ConfigMap kfp-launcher), and in which store with --endpoint"
    )


class Chooser:
    """Finds, for every stage, what the run made or took from the cache."""

    def __init__(self, remote: Remote, run: Run, expected: Expected, find: Callable[[str], Run]) -> None:
        self.remote, self.run, self.expected = remote, run, expected
        self._find = functools.cache(find)
        self._own = find_copies(remote, run.pipeline, run.id)

    def choose(self, outputs: Outputs) -> Adoptable:
        """Raises DataError if there is nothing whole, or if it is not what this workspace would make."""
        own = [copy for copy in self._own if _made_by(copy, outputs)]
        whole = [copy for copy in own or self._earlier(outputs) if copy.is_whole(outputs.artifacts)]
        for copy in whole:
            try:
                return self._checked(copy, outputs)
            except DataError:
                if own:
                    raise
        why = "is not whole: was some of it deleted?" if own else "is missing; if it came from the cache, it is gone"
        raise DataError(
            f"what the run made in {outputs.stage} {why} ({self.remote.url}/{self.run.pipeline}/{self.run.id})"
        )

    def _earlier(self, outputs: Outputs) -> Iterator[Copy]:
        """What the cache may have given. The newest comes first, as it does in the backend."""
        for copy in self._all:
            if _made_by(copy, outputs) and self._gives(copy, outputs):
                yield copy

    def _gives(self, copy: Copy, outputs: Outputs) -> bool:
        """Whether the copy is of an earlier run, of the same graph, that the cache was told of.

        With other processes that run's weights are others, and all that is made of them.
        """
        if copy.run == self.run.id or copy.modified > self.run.finished:
            return False
        try:
            earlier = self._find(copy.run)
        except DataError:  # deleted since
            return False
        alike = not outputs.of_rounds or earlier.processes == self.run.processes
        return alike and earlier.tasks.keys() == self.run.tasks.keys() and earlier.tasks[outputs.task]

    @functools.cached_property
    def _all(self) -> list[Copy]:
        return find_copies(self.remote, self.run.pipeline)

    def _checked(self, copy: Copy, outputs: Outputs) -> Adoptable:
        record = read_json(self.remote, f"{copy.folder}/{METRICS}")
        self.expected.check_record(record)
        for artifact in outputs.artifacts:
            found = read_json(self.remote, f"{copy.folder}/{artifact}/{FILE}")
            self.expected.check_lineage(outputs.stage.partition("@")[0], Lineage.model_validate(found))
        return Adoptable(outputs, copy, record.get("metrics", {}))


def _made_by(copy: Copy, outputs: Outputs) -> bool:
    # Older versions of the backend call the folder as the dashboard calls the task.
    return copy.task in (outputs.task, outputs.stage)


def adopt(remote: Remote, chosen: list[Adoptable]) -> None:
    """Put everything into its place, and let DVC know. Raises DataError; nothing is in place before all has come."""
    folder = Path("artifacts") / ".adopted.partial"
    remove(folder)
    try:
        for one in chosen:
            for artifact in one.outputs.artifacts:
                download(remote, one.copy, artifact, folder / one.outputs.stage / artifact)
        for one in chosen:
            _place(one, folder / one.outputs.stage)
    finally:
        remove(folder)
    dvc("commit", "--force", "--quiet", *(one.outputs.target for one in chosen))


def _place(one: Adoptable, folder: Path) -> None:
    metrics = folder / "metrics.json"
    metrics.write_text(json.dumps(one.metrics, indent=1) + "\n", encoding="utf-8")
    moves = {metrics: one.outputs.metrics}
    moves |= {folder / artifact: path for artifact, path in one.outputs.artifacts.items()}
    for new, path in moves.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(new, path)
