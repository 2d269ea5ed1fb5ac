"""A directory in which `dvc repro` runs the pipeline: the code, dvc.yaml, and DVC itself."""

import shutil
import subprocess
from pathlib import Path

from longtail.artifacts.files import remove
from longtail.errors import DataError

ROOT = Path(__file__).parents[1]


def put_code(workspace: Path) -> None:
    """Make the workspace, or take the code in it anew: DVC's cache stays, so what has not changed is not run again.

    Raises DataError where this code itself lies, which would be deleted.
    """
    if (workspace / "longtail").resolve() == ROOT / "longtail":
        raise DataError(f"{workspace} is where this code lies; name another directory")
    remove(workspace / "longtail")
    workspace.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "longtail", workspace / "longtail", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "dvc.yaml", workspace / "dvc.yaml")
    if not (workspace / ".dvc").is_dir():
        subprocess.run(["dvc", "init", "--quiet", "--no-scm"], cwd=workspace, check=True)
