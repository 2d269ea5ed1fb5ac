"""The commands of infra/README.md that make a job, run by a shell against a stub of kubectl."""

import os
import subprocess
from pathlib import Path

import pytest
from manifests import INFRA

# Jobs are files in the working directory; `wait` passes for one that is there, whoever made it.
KUBECTL = """#!/bin/bash
echo "$*" >> calls
make() { [ -z "$REFUSED" ] && [ ! -e "job-$1" ] && touch "job-$1" || { echo "AlreadyExists: $1" >&2; exit 1; }; }
case " $* " in
  *" create job "*" --dry-run=client "*) echo restore ;;
  *" set env "*) cat ;;
  *" apply -f - "*) read -r name; make "$name" ;;
  *" create job "*) make "${!#}" ;;
  *" delete job "*" --ignore-not-found "*) rm -f "job-$5" ;;
  *" wait "*) [ -e "job-${!##*/}" ] ;;
esac
"""
BLOCKS = [block for block in (INFRA / "README.md").read_text().split("```bash")[1:] if "create job" in block]
COMMANDS = [block.split("```")[0] for block in BLOCKS]


def calls(folder: Path, commands: str, refused: str = "") -> tuple[list[str], str]:
    """What kubectl is told when a shell runs the commands, sorted: a pipe's come at once; and what it complains of."""
    (folder / "kubectl").write_text(KUBECTL)
    (folder / "kubectl").chmod(0o755)
    (folder / "calls").unlink(missing_ok=True)
    path = {"PATH": f"{folder}:{os.environ['PATH']}", "NS": "kubeflow", "O": "local", "REFUSED": refused}
    done = subprocess.run(
        ["bash", "-c", commands], cwd=folder, env=os.environ | path, capture_output=True, text=True, check=False
    )
    return sorted((folder / "calls").read_text().splitlines()), done.stderr


def test_the_guide_has_its_jobs() -> None:
    made = "".join(COMMANDS)
    for job in ("gpu-smoke", "before-upgrade", "restore", "clean-now"):
        assert f"job/{job}" in made
    assert made.count("create job") == len(COMMANDS) == 5


@pytest.mark.parametrize("commands", COMMANDS)
def test_a_job_is_made_anew_each_time_and_waited_for(tmp_path: Path, commands: str) -> None:
    said, complaints = calls(tmp_path, commands)
    assert complaints == ""
    assert any(" wait " in call for call in said)
    assert calls(tmp_path, commands) == (said, "")


@pytest.mark.parametrize("commands", COMMANDS)
def test_no_older_job_of_the_name_is_taken_for_one_that_was_not_made(tmp_path: Path, commands: str) -> None:
    (first, *_) = (job for job in ("gpu-smoke", "before-upgrade", "restore", "clean-now") if job in commands)
    (tmp_path / f"job-{first}").touch()
    said, _ = calls(tmp_path, commands.replace("delete job", "get job"), refused="yes")
    assert not any(" wait " in call or " logs " in call for call in said)
    if first == "before-upgrade":
        assert not any("apply -k" in call for call in said)
