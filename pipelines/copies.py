"""What the tasks of a run have left in the object store of Kubeflow Pipelines.

The backend writes an artifact to `<pipeline root>/<pipeline>/<run>/<task>/<uuid>/<artifact>`, a directory file by file
(`provisionOutputs` in backend/src/v2/driver). A task that it takes from the cache writes nothing: its artifacts are
those of the newest earlier run with the same inputs.
"""

import json
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from longtail.artifacts.lineage import FILE as LINEAGE
from longtail.errors import DataError
from longtail.storage.remote import Remote

# Of the manifests of Kubeflow Pipelines: with one user, and in a user's namespace.
ROOTS = ("minio://mlpipeline/v2/artifacts", "minio://mlpipeline/private-artifacts/{namespace}/v2/artifacts")
METRICS = "metrics"
# Not every version of the backend has had the uuid.
PLACE = re.compile(
    r"(?P<attempt>(?P<run>[^/]+)/(?P<task>[^/]+)(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?)/(?P<file>.+)"
)


@dataclass
class Copy:
    """What one attempt at a task left: `files` by their names below `folder`, with their sizes in bytes."""

    run: str
    task: str
    folder: str
    files: dict[str, int] = field(default_factory=dict)
    modified: float = 0.0  # seconds of the epoch

    def is_whole(self, artifacts: Iterable[str]) -> bool:
        """Whether the attempt got to its end: a stage writes the lineage, and then the record, last."""
        return METRICS in self.files and all(f"{artifact}/{LINEAGE}" in self.files for artifact in artifacts)


def s3_url(root: str) -> str:
    """A pipeline root as the URL of a bucket's folder. Raises DataError if it is in no S3 store."""
    scheme, _, place = root.partition("?")[0].partition("://")
    if scheme not in ("minio", "s3"):
        raise DataError(f"the run's artifacts lie at {root}; only s3:// and minio:// can be read from here")
    return f"s3://{place.rstrip('/')}"


def find_copies(remote: Remote, pipeline: str, run: str | None = None) -> list[Copy]:
    """The newest first: of one run, or of every run of the pipeline."""
    found: dict[str, Copy] = {}
    base = f"{pipeline}/{run}" if run else pipeline
    for entry in remote.entries(base):
        place = PLACE.fullmatch(entry.name.removeprefix(f"{pipeline}/"))
        if place is not None:
            copy = found.setdefault(
                place["attempt"], Copy(place["run"], place["task"], f"{pipeline}/{place['attempt']}")
            )
            copy.files[place["file"]] = entry.size
            copy.modified = max(copy.modified, entry.modified.timestamp())
    return sorted(found.values(), key=lambda copy: copy.modified, reverse=True)


def read_json(remote: Remote, name: str) -> dict[str, Any]:
    """A small object of the store. Raises DataError if it is no JSON mapping."""
    with tempfile.TemporaryDirectory() as folder:
        remote.download(name, Path(folder) / "object")
        try:
            value = json.loads((Path(folder) / "object").read_bytes())
        except ValueError as error:
            raise DataError(f"{remote.url}/{name} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{remote.url}/{name} does not hold what a step writes there")
    return value


def download(remote: Remote, copy: Copy, artifact: str, path: Path) -> None:
    """Write an artifact to the directory `path`. Raises DataError if anything of it is missing or cut short."""
    remote.download_all(f"{copy.folder}/{artifact}", path)
    for name, size in copy.files.items():
        if name.startswith(f"{artifact}/") and not name.endswith("/"):
            file = path / name.removeprefix(f"{artifact}/")
            if not file.is_file() or file.stat().st_size != size:
                raise DataError(f"{remote.url}/{copy.folder}/{name} came incomplete; run adopt again")
