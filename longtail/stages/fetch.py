"""Fetch: the packed dataset from a DVC remote, by its md5."""

import json
import os
import re
import shutil
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator

from longtail.artifacts.files import remove
from longtail.artifacts.work import work_directory
from longtail.data.dataset import PackedDataset
from longtail.errors import DataError
from longtail.stages.contract import Output, stage
from longtail.storage.local_remote import LocalRemote
from longtail.storage.remote import Remote, bucket_and_prefix, inner_path

MD5 = re.compile(r"[0-9a-f]{32}")


class Params(BaseModel, extra="forbid"):
    """Where the data lies. The credentials are no parameters: botocore reads them from the environment.

    Nothing of this is in the lineage, which comes with the data.
    """

    remote: str = Field(description="url of the DVC remote: s3://bucket/folder, or a directory's absolute path")
    md5: str = Field(description="what dvc.lock holds for artifacts/dataset: 32 hexadecimal digits and .dir")
    endpoint: str | None = Field(None, exclude=True, description="URL of a store that is not AWS itself")
    workers: int = Field(8, ge=1, le=64, exclude=True, description="objects that are fetched at once")

    @field_validator("remote")
    @classmethod
    def _is_known(cls, url: str) -> str:
        try:
            if not url.startswith("/"):
                bucket_and_prefix(url)
        except DataError as error:
            raise ValueError(str(error)) from error
        return url

    @field_validator("endpoint")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        try:
            known = url is None or (urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname))
        except ValueError:  # [::1 without its end
            known = False
        if not known:
            raise ValueError(f"{url!r} is no address of a store; give one such as https://s3.example.org:9000")
        return url

    @field_validator("md5")
    @classmethod
    def _is_of_a_directory(cls, md5: str) -> str:
        if not md5.endswith(".dir") or not MD5.fullmatch(md5.removesuffix(".dir")):
            raise ValueError(
                f"{md5!r} is not the md5 of a directory (32 hexadecimal digits and .dir); take the one that dvc.lock "
                "holds for artifacts/dataset"
            )
        return md5


@stage(keeps_lineage=True)
def run(dataset: Output, *, params: Params) -> dict[str, float]:
    """Write the packed dataset, byte for byte as `ingest` wrote it, its lineage included.

    What an interrupted attempt has brought is used again. Returns the number of files and of bytes, and how many
    objects came now. Raises DataError for whatever is wrong with the remote, or if the md5 names something else.
    """
    remote = _open(params)
    work = work_directory(dataset, params.md5.removesuffix(".dir"))
    remote.get(params.md5, work)
    source = f"{params.md5} in {remote.url}"
    files = read_listing(work / params.md5, source)
    fetched = remote.get_all(files.values(), work)
    _assemble(files, work, dataset)
    _check(dataset, source, work)
    sizes = [(dataset / path).stat().st_size for path in files]
    return {"files": float(len(sizes)), "bytes": float(sum(sizes)), "fetched": float(fetched)}


def _open(params: Params) -> Remote | LocalRemote:
    if params.remote.startswith("/"):
        return LocalRemote(Path(params.remote))
    return Remote(params.remote, endpoint=params.endpoint, workers=params.workers)


def read_listing(file: Path, source: str) -> dict[PurePosixPath, str]:
    """The md5 of every file of a directory, by its path, from DVC's list of them.

    Raises DataError, naming the `source`, if it is no such list, if a path leads out of the directory, or if no packed
    dataset is among the files.
    """
    try:
        entries = json.loads(file.read_bytes())
        files = {inner_path(entry["relpath"], source): entry["md5"] for entry in entries}
        whole = len(files) == len(entries) and all(MD5.fullmatch(md5) for md5 in files.values())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{source} is not DVC's list of a directory; take the md5 from dvc.lock") from error
    if not whole:
        raise DataError(f"{source} lists a file twice, or without its md5; run `dvc push` again from a new `dvc repro`")
    # Before hours go into what is, say, a model.
    if PurePosixPath("dataset.json") not in files:
        raise DataError(f"{source} is no packed dataset; take the md5 that dvc.lock holds for artifacts/dataset")
    return files


def _assemble(files: dict[PurePosixPath, str], work: Path, dataset: Path) -> None:
    """Give every object its place in the output; the work keeps its own name for it until the stage has succeeded."""
    for path, md5 in files.items():
        target = dataset / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(work / md5, target)
        except OSError as error:
            raise DataError(f"cannot write {target}: {error.strerror}; mend that, then run the step again") from error


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(file, target)


def _check(dataset: Path, source: str, work: Path) -> None:
    try:
        PackedDataset.open(dataset)
    except DataError as error:
        remove(work)  # whole, and of no use to another attempt
        raise DataError(f"{source} is no packed dataset that this version reads: {error}") from error
