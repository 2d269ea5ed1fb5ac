"""A DVC remote on S3, or any folder of a bucket: the only module that knows boto3.

DVC 3 keeps an object under `files/md5/ab/cdef…`; a directory is an object whose md5 ends in `.dir`: the JSON list of
its files. Credentials come from the environment alone, as botocore reads them (AWS_ACCESS_KEY_ID and its like).
"""

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import boto3
from botocore import exceptions as boto
from botocore.config import Config
from rich.console import Console
from rich.progress import FileSizeColumn, Progress, TextColumn, TransferSpeedColumn

from longtail.errors import DataError
from longtail.storage.dvc_objects import file_md5, object_path

Item = TypeVar("Item")
Result = TypeVar("Result")

S3_URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]+[a-z0-9])(/(?P<prefix>.*))?")
# Seconds and attempts: botocore's own 60 s, five times, would leave the user before a silent terminal for minutes.
CONNECT_TIMEOUT, READ_TIMEOUT, ATTEMPTS = 5, 30, 3
CHUNK = 2**20  # bytes

CREDENTIALS = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary ones, AWS_SESSION_TOKEN"


@dataclass(frozen=True)
class Entry:
    """An object of a remote: `name` is its key below the remote's URL, `size` in bytes."""

    name: str
    size: int
    modified: datetime


class Remote:
    """A bucket, or a folder of one, at `s3://bucket/folder`.

    `endpoint` is the URL of a store other than AWS; without it AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL say which, if
    set. Every method raises DataError where the store or the credentials are of no use; a store that never answers
    is given up after a minute and a half.
    """

    def __init__(self, url: str, *, endpoint: str | None = None, workers: int = 8) -> None:
        self.url, self.workers = url.rstrip("/"), workers
        self.bucket, self.prefix = bucket_and_prefix(url)
        self._client = _client(endpoint, workers)
        self._stopped = threading.Event()
        self._progress = _progress()
        self._bar = self._progress.add_task(f"fetching from {self.url}", total=None)

    def entries(self, folder: str = "") -> Iterator[Entry]:
        """Every object below a folder of the remote, in the order of their keys."""
        top = self._key(folder)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=top and f"{top}/")
        with explained(self._client, f"{self.url}/{folder}"):
            for page in pages:
                for item in page.get("Contents", []):
                    name = item["Key"].removeprefix(self.prefix).removeprefix("/")
                    yield Entry(name, item["Size"], item["LastModified"])

    def download(self, name: str, path: Path, *, md5: str | None = None) -> None:
        """Write an object to the file `path`, which is whole or absent.

        Raises DataError if the object is missing, if its md5 is not `md5`, or if it cannot be written.
        """
        part = path.with_name(f"{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            found = self._write(name, part)
            if md5 is not None and found != md5:
                raise DataError(
                    f"{self.url}/{name} is damaged (its md5 is {found}): delete it there, because `dvc push` leaves "
                    "alone what it finds, and then run `dvc push` where the data was made"
                )
            part.rename(path)
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror}; mend that, then run the step again") from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def download_all(self, folder: str, path: Path) -> int:
        """Write every object below a folder of the remote to its place below the directory `path`; return how many.

        Raises DataError if there is none, or if a key leads out of `path`.
        """
        # Some tools mark a folder by an empty object whose key ends in a slash.
        names = [entry.name for entry in self.entries(folder) if not entry.name.endswith("/")]
        if not names:
            raise DataError(f"there is nothing at {self.url}/{folder}")
        skip = len(folder.strip("/")) + 1 if folder.strip("/") else 0
        places = {name: path / inner_path(name[skip:], self.url) for name in names}
        self._each(lambda name: self.download(name, places[name]), names)
        return len(names)

    def get(self, md5: str, folder: Path) -> bool:
        """Bring the object that DVC names by `md5` to the file `folder / md5`; False if it was there, and whole."""
        path, content = folder / md5, md5.removesuffix(".dir")
        if path.is_file() and file_md5(path) == content:
            return False
        self.download(object_path(md5), path, md5=content)
        return True

    def get_all(self, md5s: Iterable[str], folder: Path) -> int:
        """Bring several objects at once, as `get` does; return how many were not there yet."""
        return sum(self._each(lambda md5: self.get(md5, folder), sorted(set(md5s))))

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self.prefix, name.strip("/")) if part)

    def _write(self, name: str, path: Path) -> str:
        """Write an object to a file; return its md5. Where the connection breaks, another goes on from there, if the
        object is still the same, and begins anew if not.
        """
        digest, done, tag = hashlib.md5(usedforsecurity=False), 0, None
        with path.open("wb") as file, explained(self._client, f"{self.url}/{name}"):
            for attempts_left in reversed(range(ATTEMPTS)):
                rest = self._rest(name, done, tag) if done and tag else None
                if rest is None and done:
                    file.seek(0)
                    file.truncate()
                    self._progress.advance(self._bar, -done)
                    digest, done = hashlib.md5(usedforsecurity=False), 0
                answer = rest or self._client.get_object(Bucket=self.bucket, Key=self._key(name))
                tag = answer.get("ETag")
                try:
                    with closing(answer["Body"]) as body:
                        for chunk in body.iter_chunks(CHUNK):
                            if self._stopped.is_set():
                                raise CancelledError
                            digest.update(chunk)
                            file.write(chunk)
                            done += len(chunk)
                            self._progress.advance(self._bar, len(chunk))
                    break
                except (boto.IncompleteReadError, boto.ResponseStreamingError):
                    if not attempts_left:
                        raise
        return digest.hexdigest()

    def _rest(self, name: str, done: int, tag: str) -> Any:
        """The answer with the bytes from `done` on; None where the object is another or the store sends other bytes."""
        asked = {"Bucket": self.bucket, "Key": self._key(name), "Range": f"bytes={done}-", "IfMatch": tag}
        try:
            answer = self._client.get_object(**asked)
        except boto.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (412, 416):
                return None
            raise
        if str(answer.get("ContentRange", "")).startswith(f"bytes {done}-"):
            return answer
        answer["Body"].close()
        return None

    def _each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """The results of `function` in any order, several at a time; the first failure stops the others."""
        self._stopped.clear()
        with self._progress, ThreadPoolExecutor(self.workers) as pool:
            futures = [pool.submit(function, item) for item in items]
            try:
                return [future.result() for future in as_completed(futures)]
            except BaseException:
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """The two parts of `s3://bucket/prefix`. Raises DataError if it is something else."""
    found = S3_URL.fullmatch(url)
    if found is None:
        raise DataError(f"{url!r} is not an S3 remote; it must be s3://bucket or s3://bucket/folder")
    return found["bucket"], (found["prefix"] or "").strip("/")


def inner_path(name: str, source: str) -> PurePosixPath:
    """A relative path that stays where it is joined. Raises DataError, naming the `source`, if it leads elsewhere."""
    parts = name.split("/")
    if {"", ".", ".."} & set(parts) or "\0" in name:
        raise DataError(f"{source} names a file {name!r}, which leads out of its directory; do not use this remote")
    return PurePosixPath(*parts)


@contextmanager
def explained(client: Any, what: str) -> Iterator[None]:
    """Say in one sentence what is wrong when a request for `what` fails: DataError for all that boto3 raises."""
    endpoint = client.meta.endpoint_url
    try:
        yield
    except boto.ClientError as error:
        raise DataError(_refusal(error, what, endpoint)) from error
    except (boto.NoCredentialsError, boto.PartialCredentialsError) as error:
        raise DataError(f"no credentials for {what}: set {CREDENTIALS}") from error
    except (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"cannot reach {endpoint} for {what}: {reason}; check the endpoint and the network") from error
    except boto.BotoCoreError as error:
        raise DataError(f"cannot ask {endpoint} for {what}: {' '.join(str(error).split())}") from error
    except KeyError as error:
        raise DataError(f"{endpoint} lists {what} without the {error.args[0]} of each object; it is no S3") from error


def _refusal(error: Any, what: str, endpoint: str) -> str:
    code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    match code:
        case "NoSuchBucket":
            return f"the bucket of {what} does not exist at {endpoint}; correct the remote or the endpoint"
        case "NoSuchKey" | "404":
            return f"there is no {what}: run `dvc push` where the data was made, or correct the md5 or the remote"
        case "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken" | "InvalidClientTokenId":
            return f"{endpoint} does not accept the credentials for {what} ({code}): check {CREDENTIALS}"
        case "AccessDenied" | "403" | "AllAccessDisabled":
            # AWS also answers so for a missing object where the credentials may not list the bucket.
            return (
                f"{endpoint} denies access to {what} ({code}): these credentials must be allowed to read and to list it"
            )
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    return f"{endpoint} refuses {what}: {code or status} {message}".rstrip()


def _client(endpoint: str | None, connections: int) -> Any:
    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=connections,
        # The md5 is checked here; stores other than AWS do not all know the newer checksums.
        response_checksum_validation="when_required",
    )
    try:
        return boto3.session.Session().client("s3", endpoint_url=endpoint, config=config)
    except (ValueError, boto.BotoCoreError) as error:
        raise DataError(f"cannot use S3: {error}; check the endpoint and the AWS_… variables") from error


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), FileSizeColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, disable=not console.is_terminal)
