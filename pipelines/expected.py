"""What this workspace would make: by this a run is known to be its own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtail.errors import DataError
from longtail.stages.contract import lineage
from longtail.tracking.identity import code_md5, flatten, git_state
from pipelines.arguments import DATASET, dvc, recorded_parameters


@dataclass(frozen=True)
class Expected:
    """The identity of a result: the code, its commit, the data (md5) and every step's parameters."""

    commit: str | None
    code: str
    dataset: str | None
    parameters: dict[str, dict[str, Any]]
    any_commit: bool = False

    def check_record(self, record: dict[str, Any]) -> None:
        """Compare what a task noted of its code and its processes. Raises DataError."""
        theirs = record.get("commit") or "unknown"
        # An image may be built beside uncommitted files; what counts of them is in the code's md5.
        if not self.any_commit and theirs.removesuffix("-dirty") != self.commit:
            checkout = "" if theirs == "unknown" else f": `git checkout {theirs.removesuffix('-dirty')}`"
            raise DataError(
                f"the run was made at the commit {theirs}, and this is {self.commit or 'no git repository'}{checkout}"
                " (with --any-commit the code itself is compared, and nothing else of the commit)"
            )
        if record.get("code") != self.code:
            raise DataError(
                f"the run was made by other code than what is in longtail/ (commit {theirs}): see `git status`, and "
                "whether the images were built from uncommitted changes"
            )
        processes = record.get("metrics", {}).get("processes", 1)
        if processes != 1:
            raise DataError(f"the run trained with {processes:g} processes, and `dvc repro` with one: weights differ")

    def check_lineage(self, step: str, found: dict[str, Any]) -> None:
        """Compare the data and the parameters that an artifact of the step comes from. Raises DataError."""
        if found.get("dataset") != self.dataset:
            raise DataError(f"the run's data is {found.get('dataset')}, and that of {DATASET} is {self.dataset}")
        made_with = found.get("stages", {})
        if step not in made_with:
            raise DataError(f"the lineage of {step} does not say what it was made with")
        for name, values in made_with.items():
            if name in self.parameters and values != self.parameters[name]:
                raise DataError(_difference(name, values, self.parameters[name]))


def expected(params: Path, *, any_commit: bool) -> Expected:
    """Of the workspace as it is now. Raises DataError if its data is not what its parameters make."""
    if json.loads(dvc("status", "--json", "ingest")):
        raise DataError(f"{DATASET} is not what dvc.yaml and {params} make: run `dvc repro ingest` first")
    commit, dataset = git_state().get("commit"), lineage(Path(DATASET)).get("dataset")
    return Expected(commit, code_md5(), dataset, recorded_parameters(params), any_commit)


def _difference(step: str, theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    run, here = flatten(theirs, f"{step}."), flatten(ours, f"{step}.")
    name = next(name for name in [*here, *run] if run.get(name) != here.get(name))
    return (
        f"the run was made with {name} = {run.get(name, 'nothing')}, and here it is {here.get(name, 'nothing')}: "
        "change the parameters to the run's, or submit another run"
    )
