"""What this workspace would make: by this a run is known to be its own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtail.artifacts.lineage import Lineage
from longtail.errors import DataError
from longtail.stages import NAMED
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

    def check_lineage(self, step: str, found: Lineage) -> None:
        """Compare the data and the parameters that an artifact of the step comes from. Raises DataError."""
        if found.dataset != self.dataset:
            raise DataError(f"the run's data is {found.dataset}, and that of {DATASET} is {self.dataset}")
        if found.made_by is None or found.steps[found.made_by].stage != step:
            raise DataError(f"the lineage of {step} does not say what it was made with")
        theirs, ours = flatten(found.parameters()), flatten(self.parameters)
        sections = {section for section in self.parameters if section in found.parameters()}
        for name in sorted({*theirs, *ours}):
            section, _, rest = name.partition(".")
            entry = rest.partition(".")[0]
            known = section in sections and (section not in NAMED.values() or entry in found.parameters()[section])
            if known and theirs.get(name) != ours.get(name):
                raise DataError(
                    f"the run was made with {name} = {theirs.get(name, 'nothing')}, and here it is "
                    f"{ours.get(name, 'nothing')}: change the parameters to the run's, or submit another run"
                )


def expected(params: Path, *, any_commit: bool) -> Expected:
    """Of the workspace as it is now. Raises DataError if its data is not what its parameters make."""
    if json.loads(dvc("status", "--json", "ingest")):
        raise DataError(f"{DATASET} is not what dvc.yaml and {params} make: run `dvc repro ingest` first")
    commit, dataset = git_state().get("commit"), Lineage.read(Path(DATASET)).dataset
    return Expected(commit, code_md5(), dataset, recorded_parameters(params), any_commit)
