"""The fetch stage: what `dvc push` stored comes back byte for byte, and whatever is wrong is one sentence."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from s3_server import CREDENTIALS, S3Server, dvc, make_repository, use_credentials
from tiny import hashes, write_tiny_dataset

from longtail.artifacts.digests import write_digests
from longtail.errors import DataError
from longtail.stages.fetch import Params, run

PIPELINE = """
stages:
  ingest:
    cmd: python -c "import shutil; shutil.copytree('../made', 'artifacts/dataset')"
    outs: [artifacts/dataset]
"""
# Ends the process as `kill -9` does, in the middle of the third of four files (the listing is the first object).
KILLED_MIDWAY = """
import os, signal, sys
from longtail import __main__
from longtail.storage import remote

started = []
whole = remote.Remote._write

def write(self, name, path):
    started.append(name)
    if len(started) == 4:
        self._progress.advance = lambda bar, count: os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, name, path)

remote.Remote._write = write
__main__.main()
"""


class Pushed:
    """A packed dataset in a DVC repository and, as `dvc push` stored it, on a server."""

    def __init__(self, root: Path, server: S3Server) -> None:
        self.server, self.dataset = server, root / "made"
        write_tiny_dataset(self.dataset)
        repository = root / "repository"
        make_repository(repository, PIPELINE, server.address)
        (repository / "artifacts").mkdir()
        dvc("repro", cwd=repository)
        dvc("push", cwd=repository)
        lock = yaml.safe_load((repository / "dvc.lock").read_text())
        self.md5 = lock["stages"]["ingest"]["outs"][0]["md5"]
        client = server.client("s3")
        self.objects = {key: client.get_object(Bucket="data", Key=key)["Body"].read() for key in server.stored_keys()}

    def restore(self) -> None:
        self.server.reset()
        for key, content in self.objects.items():
            self.server.put(key, content)

    def values(self, **changes: Any) -> dict[str, Any]:
        return {"remote": "s3://data/longtail", "md5": self.md5, "endpoint": self.server.address, **changes}

    def object_of(self, file: str) -> str:
        return key_of(hashlib.md5((self.dataset / file).read_bytes()).hexdigest())

    def put_listing(self, entries: Any) -> str:
        """Store a listing of a directory, and return its md5."""
        content = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
        md5 = f"{hashlib.md5(content).hexdigest()}.dir"
        self.server.put(key_of(md5), content)
        return md5

    def listing(self) -> list[dict[str, str]]:
        entries: list[dict[str, str]] = json.loads(self.objects[key_of(self.md5)])
        return entries


def key_of(md5: str) -> str:
    return f"longtail/files/md5/{md5[:2]}/{md5[2:]}"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    server = S3Server()
    try:
        yield Pushed(tmp_path_factory.mktemp("pushed"), server)
    finally:
        server.kill()


@pytest.fixture
def pushed(stored: Pushed, monkeypatch: pytest.MonkeyPatch) -> Pushed:
    """The server as `dvc push` left it, and credentials that it takes."""
    stored.restore()
    use_credentials(monkeypatch, CREDENTIALS)
    monkeypatch.delenv("LONGTAIL_WORK", raising=False)
    return stored


def fetch(pushed: Pushed, dataset: Path, **changes: Any) -> dict[str, float]:
    return run(dataset, params=Params(**pushed.values(**changes)))


def refusal(pushed: Pushed, folder: Path, **changes: Any) -> str:
    """The sentence that the user reads; nothing is left at the output."""
    with pytest.raises(DataError) as caught:
        fetch(pushed, folder / "dataset", **changes)
    assert_nothing_left(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_nothing_left(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} <= {".dataset.work"}
    assert not list(folder.rglob("*.part"))


def command(pushed: Pushed, folder: Path, **changes: Any) -> list[str]:
    """The words of the command line after the interpreter's own."""
    params = folder.parent / f"{folder.name}.yaml"
    params.write_text(json.dumps({"fetch": pushed.values(**changes)}))
    return ["fetch", "--dataset", str(folder / "dataset"), "--params", str(params)]


def test_what_was_pushed_comes_back_byte_for_byte(pushed: Pushed, tmp_path: Path) -> None:
    report = fetch(pushed, tmp_path / "dataset")
    expected = hashes(pushed.dataset)
    assert hashes(tmp_path) == {f"dataset/{name}": digest for name, digest in expected.items()}
    size = sum(file.stat().st_size for file in pushed.dataset.iterdir())
    assert report == {"files": len(expected), "bytes": size, "fetched": len(expected)}


def test_an_older_output_gives_way(pushed: Pushed, tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "stale").write_text("")
    write_digests(tmp_path / "dataset")
    fetch(pushed, tmp_path / "dataset", workers=1)
    assert hashes(tmp_path / "dataset") == hashes(pushed.dataset)


def test_the_command_line_fetches(pushed: Pushed, tmp_path: Path) -> None:
    words = [*command(pushed, tmp_path), "--metrics", str(tmp_path / "metrics.json")]
    done = subprocess.run([sys.executable, "-m", "longtail", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert hashes(tmp_path / "dataset") == hashes(pushed.dataset)
    assert json.loads((tmp_path / "metrics.json").read_text())["files"] == len(hashes(pushed.dataset))


def test_what_came_before_a_kill_is_used_again(pushed: Pushed, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    words = command(pushed, tmp_path / "out", workers=1)
    done = subprocess.run([sys.executable, "-c", KILLED_MIDWAY, *words], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "dataset").exists()
    assert list((tmp_path / "out").rglob("*.part"))
    report = fetch(pushed, tmp_path / "out" / "dataset")
    assert (report["files"], report["fetched"]) == (4, 2)
    assert hashes(tmp_path / "out") == {f"dataset/{name}": value for name, value in hashes(pushed.dataset).items()}


def test_work_on_a_volume_is_found_again_from_another_output(
    pushed: Pushed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAIL_WORK", str(tmp_path / "volume"))
    pushed.server.delete(pushed.object_of("samples.parquet"))
    with pytest.raises(DataError):
        fetch(pushed, tmp_path / "first" / "dataset", workers=1)
    came = [path for path in (tmp_path / "volume").rglob("*") if len(path.name) == 32]
    pushed.restore()
    report = fetch(pushed, tmp_path / "second" / "dataset")
    assert report["fetched"] == 4 - len(came)
    assert hashes(tmp_path / "second" / "dataset") == hashes(pushed.dataset)
    assert not hashes(tmp_path / "volume")


def test_another_file_system_needs_no_hard_links(
    pushed: Pushed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    fetch(pushed, tmp_path / "dataset")
    assert hashes(tmp_path / "dataset") == hashes(pushed.dataset)


def test_an_md5_that_was_never_pushed(pushed: Pushed, tmp_path: Path) -> None:
    message = refusal(pushed, tmp_path, md5="0" * 32 + ".dir")
    assert "there is no s3://data/longtail/files/md5/00/" in message
    assert "dvc push" in message


def test_a_push_that_was_not_finished(pushed: Pushed, tmp_path: Path) -> None:
    pushed.server.delete(pushed.object_of("samples.parquet"))
    assert f"there is no s3://data/{pushed.object_of('samples.parquet')}" in refusal(pushed, tmp_path)


@pytest.mark.parametrize("content", [b"", b"damaged"])
def test_a_damaged_object(pushed: Pushed, tmp_path: Path, content: bytes) -> None:
    key = pushed.object_of("images-00000.npy")
    pushed.server.put(key, content)
    assert f"s3://data/{key} is damaged" in refusal(pushed, tmp_path)


def test_a_damaged_listing(pushed: Pushed, tmp_path: Path) -> None:
    pushed.server.put(key_of(pushed.md5), json.dumps(pushed.listing()[:-1]).encode())
    assert f"s3://data/{key_of(pushed.md5)} is damaged" in refusal(pushed, tmp_path)


@pytest.mark.parametrize("path", ["../escaped", "/tmp/escaped", "a/../../escaped", "a//b", "", ".", "a\0b"])
def test_a_listing_that_leads_out_of_the_directory(pushed: Pushed, tmp_path: Path, path: str) -> None:
    entries = [*pushed.listing(), {"md5": pushed.listing()[0]["md5"], "relpath": path}]
    md5 = pushed.put_listing(entries)
    message = refusal(pushed, tmp_path, md5=md5)
    assert f"{md5} in s3://data/longtail names a file {path!r}, which leads out of its directory" in message


@pytest.mark.parametrize(
    "entries",
    [b"not JSON", {"md5": "x"}, 7, ["a"], [{"relpath": "dataset.json"}], [{"md5": "../../x", "relpath": "a"}]],
)
def test_a_listing_that_is_none(pushed: Pushed, tmp_path: Path, entries: Any) -> None:
    md5 = pushed.put_listing(entries)
    assert f"{md5} in s3://data/longtail " in refusal(pushed, tmp_path, md5=md5)


def test_a_listing_with_a_file_for_a_directory(pushed: Pushed, tmp_path: Path) -> None:
    entries = [*pushed.listing(), {**pushed.listing()[0], "relpath": "dataset.json/below"}]
    assert "cannot write" in refusal(pushed, tmp_path, md5=pushed.put_listing(entries))


def test_the_md5_of_a_model_is_refused_before_it_is_downloaded(pushed: Pushed, tmp_path: Path) -> None:
    md5 = pushed.put_listing([{"md5": "0" * 32, "relpath": "state.json"}])
    message = refusal(pushed, tmp_path, md5=md5)
    assert f"{md5} in s3://data/longtail is no packed dataset; take the md5 that dvc.lock holds" in message


def test_a_dataset_of_another_format(pushed: Pushed, tmp_path: Path) -> None:
    info = json.loads((pushed.dataset / "dataset.json").read_text())
    content = json.dumps({**info, "format_version": 2}).encode()
    other = hashlib.md5(content).hexdigest()
    pushed.server.put(key_of(other), content)
    entries = [{**entry, "md5": other} if entry["relpath"] == "dataset.json" else entry for entry in pushed.listing()]
    message = refusal(pushed, tmp_path, md5=pushed.put_listing(entries))
    assert "is no packed dataset that this version reads" in message
    assert "dataset.json: format_version: Input should be 1" in message
    assert not list(tmp_path.iterdir())


def test_a_missing_bucket(pushed: Pushed, tmp_path: Path) -> None:
    assert "the bucket of s3://datum/longtail" in refusal(pushed, tmp_path, remote="s3://datum/longtail")


def test_an_endpoint_that_is_not_there(pushed: Pushed, tmp_path: Path) -> None:
    assert "cannot reach http://127.0.0.1:1 " in refusal(pushed, tmp_path, endpoint="http://127.0.0.1:1")


def test_wrong_credentials(pushed: Pushed, tmp_path: Path) -> None:
    pushed.server.check_credentials(on=True)
    assert "does not accept the credentials" in refusal(pushed, tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"md5": "0" * 32}, "fetch.md5: '0+' is not the md5 of a directory"),
        ({"md5": "../../etc.dir"}, "fetch.md5: .* take the one that dvc.lock holds for artifacts/dataset"),
        ({"md5": "A" * 32 + ".dir"}, "fetch.md5: .* is not the md5"),
        ({"md5": ""}, "fetch.md5: .* is not the md5"),
        ({"remote": "gs://data/longtail"}, "fetch.remote: .*'gs://data/longtail' is not an S3 remote"),
        ({"workers": 0}, "fetch.workers is 0; "),
        ({"endpoint": "nonsense"}, "fetch.endpoint: .*'nonsense' is no address of a store"),
        ({"endpoint": "http://[::1"}, "fetch.endpoint: .* is no address of a store"),
        ({"endpoint": "ftp://store"}, "fetch.endpoint: .* is no address of a store"),
        ({"edpoint": "x"}, "fetch.edpoint is not a parameter; did you mean 'endpoint'"),
    ],
)
def test_parameters_that_cannot_be(pushed: Pushed, tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    from longtail.parameters import stage_parameters

    (tmp_path / "p.yaml").write_text(json.dumps({"fetch": pushed.values(**changes)}))
    with pytest.raises(DataError, match=sentence):
        stage_parameters(tmp_path / "p.yaml", "fetch", Params)


def limited(size: int) -> None:
    # Python ignores SIGXFSZ, so that a file that grows over the limit is an OSError, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_file_that_cannot_be_written_whole(pushed: Pushed, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "longtail", *command(pushed, tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: limited(20_000),
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: cannot write ")
    assert "File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert_nothing_left(tmp_path / "out")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; the tiny data set has about twice that."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = shutil.which("mount")
    if mount is None or subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "none", path], check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield path
    subprocess.run(["umount", path], check=True)


def test_a_full_disk(pushed: Pushed, small_disk: Path) -> None:
    message = refusal(pushed, small_disk)
    assert f"cannot write {small_disk}" in message
    assert "No space left on device" in message
