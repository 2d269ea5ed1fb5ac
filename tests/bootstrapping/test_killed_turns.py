"""The real process, killed in the middle of a turn: what is there is whole, and the end is the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from growing_set import arguments, write_growing_set
from tiny import hashes

from longtail.artifacts.digests import check_artifact
from longtail.labelling.journal import read_journal

# Once this is there the process is killed: in a training, in deciding, in growing, after the split, in the last index.
MOMENTS = {
    "training": "turn-1/plain/.model.work/*",
    "deciding": "turn-1/queue/journal.jsonl",
    "growing": "turn-2/.dataset.partial",
    "split": "turn-2/split",
    "training again": "turn-3/plain/.model.work/*",
    "finishing": "turn-3/.index.partial",
}
ENVIRONMENT = {**os.environ, "LONGTAIL_TRACKING": "off", "OMP_NUM_THREADS": "1"}


SIMULATED = ["--simulate", "root/truth.csv", "--error-rate", "0.1"]
COMMAND = [sys.executable, "-m", "longtail", *arguments(Path("root")), *SIMULATED]


def run(root: Path) -> None:
    subprocess.run(COMMAND, check=True, capture_output=True, env=ENVIRONMENT, cwd=root.parent)


def kill_when_there(root: Path, pattern: str) -> None:
    """Kill the bootstrapping as soon as a file or folder is there; it must not have ended before."""
    process = subprocess.Popen(
        COMMAND, env=ENVIRONMENT, cwd=root.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not any((root / "loop").glob(pattern)):
        assert process.poll() is None
        time.sleep(0.0005)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def content(root: Path) -> dict[str, str]:
    """The digests of all files but those with times and a random name."""
    return {
        name: digest
        for name, digest in hashes(root / "loop").items()
        if not name.endswith(("journal.jsonl", "bootstrap.json"))
    }


@pytest.mark.slow
def test_a_killed_bootstrapping_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    write_growing_set(tmp_path / "seed")
    whole, killed = (shutil.copytree(tmp_path / "seed", tmp_path / name / "root") for name in ("whole", "killed"))
    run(whole)
    said: list[str] = []
    for pattern in MOMENTS.values():
        kill_when_there(killed, pattern)
        for artifact in (killed / "loop").glob("turn-*/*"):
            if artifact.is_dir() and not artifact.name.startswith("."):
                check_artifact(artifact)
        journals = sorted((killed / "loop").glob("turn-*/queue/journal.jsonl"))
        now = [entry.item for journal in journals for entry in read_journal(journal)]
        assert now[: len(said)] == said  # nothing that was decided is lost
        said = now
    run(killed)
    assert content(killed) == content(whole)
    for turn in (1, 2):
        journals = [read_journal(root / f"loop/turn-{turn}/queue/journal.jsonl") for root in (whole, killed)]
        assert {(e.item, e.decision) for e in journals[0]} == {(e.item, e.decision) for e in journals[1]}
        assert len(journals[0]) == len(journals[1])
