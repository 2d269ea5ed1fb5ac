"""What makes two steps belong to the same pipeline execution, and how values are spelled for MLflow."""

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import longtail

# MLflow's own limits (mlflow/utils/validation.py).
KEY_LENGTH = 250
VALUE_LENGTH = 6000


def fingerprint(config: dict[str, Any], dataset: str | None, code: str) -> str:
    """16 hex digits that change when a parameter, the data or the code changes."""
    identity = json.dumps([config, dataset, code], sort_keys=True, default=str)
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def code_md5() -> str:
    """The md5 of the package's own files, their names and their bytes; bytecode is none of them."""
    package = Path(longtail.__file__).parent
    digest = hashlib.md5(usedforsecurity=False)
    sources = (file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    for file in sorted(sources):
        digest.update(f"{file.relative_to(package).as_posix()}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


WRITTEN = ("dvc.lock", "metrics")  # DVC takes metrics away before a step, and locks what it has run


def git_state() -> dict[str, str]:
    """The commit of the working directory and whether tracked files differ from it, but those that a pipeline itself
    writes or is about to: dvc.lock and metrics/. Empty without git.

    In an image it is the commit that the image was built from, LONGTAIL_COMMIT, which ends with "-dirty" if need be.
    """
    if built_from := os.environ.get("LONGTAIL_COMMIT"):
        return {"commit": built_from, "dirty": str(built_from.endswith("-dirty")).lower()}
    try:
        commit = _git("rev-parse", "HEAD")
        own = [f":(exclude,top){path}" for path in WRITTEN]
        dirty = bool(_git("status", "--porcelain", "--untracked-files=no", "--", ":(top)", *own))
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit, "dirty": str(dirty).lower()}


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, encoding="utf-8", errors="replace", timeout=5, check=True
    )
    return done.stdout.strip()


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested parameters as `section.name: value`; lists as JSON; a value too long for MLflow ends with "…"."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            flat[valid_key(f"{prefix}{name}")] = text if len(text) <= VALUE_LENGTH else text[: VALUE_LENGTH - 1] + "…"
    return flat


def valid_key(name: str) -> str:
    """The name with every character that MLflow refuses in a key replaced by "_"."""
    parts = [part for part in re.sub(r"[^\w/.\- ]", "_", name).split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[:KEY_LENGTH] or "_"
