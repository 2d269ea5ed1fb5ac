"""DVC's own cache as a remote: what `fetch` reads on one machine."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny import hashes, write_tiny_dataset

from longtail.errors import DataError
from longtail.stages import fetch
from longtail.storage.local_remote import LocalRemote


@pytest.fixture
def md5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A data set that DVC has put into its cache; its md5."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / ".site"))
    write_tiny_dataset(tmp_path / "dataset")
    for arguments in (("init", "--no-scm", "-q"), ("add", "-q", "dataset")):
        subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True)
    return str(yaml.safe_load((tmp_path / "dataset.dvc").read_text())["outs"][0]["md5"])


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / ".dvc" / "cache"


def run_fetch(cache: Path, md5: str, dataset: Path) -> dict[str, float]:
    return fetch.run(dataset, params=fetch.Params(remote=str(cache), md5=md5))


def test_fetch_copies_what_dvc_keeps(md5: str, cache: Path, tmp_path: Path) -> None:
    report = run_fetch(cache, md5, tmp_path / "fetched")
    assert hashes(tmp_path / "fetched") == hashes(tmp_path / "dataset")
    assert report["files"] == len(hashes(tmp_path / "dataset"))


def test_a_missing_object_is_named(md5: str, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no .*files/md5/00/0+\.dir: run `dvc push`"):
        run_fetch(cache, f"{'0' * 32}.dir", tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_a_damaged_object_is_named(md5: str, cache: Path, tmp_path: Path) -> None:
    damaged = next(file for file in (cache / "files").rglob("*") if file.is_file() and file.suffix != ".dir")
    damaged.chmod(0o644)
    damaged.write_bytes(b"something else")
    with pytest.raises(DataError, match=f"{damaged} is damaged"):
        run_fetch(cache, md5, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_an_object_that_cannot_be_copied_is_named(md5: str, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot copy"):
        LocalRemote(cache).get(md5, tmp_path / "file" / "folder")
