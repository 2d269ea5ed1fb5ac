"""From params.yaml, dvc.lock and DVC's configuration to the pipeline's arguments, checked before anything runs."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from longtail.artifacts.lineage import merged
from longtail.errors import DataError
from longtail.execution import own_section
from longtail.parameters import CLUSTER, check_section, checked_sections, read_parameters
from longtail.stages import DATA_STAGES, EDGE_STAGES, STAGES
from longtail.stages.contract import params_model
from longtail.training.declared import Trainings, declared_trainings
from pipelines.resources import Kubernetes

STEPS = tuple(stage for stage in STAGES if stage not in DATA_STAGES)
DATASET = "artifacts/dataset"


def trainings_of(params: Path) -> Trainings:
    """The trainings that params.yaml declares. Raises DataError for whatever is wrong with one."""
    return declared_trainings(read_parameters(params), str(params))


def has_edges(params: Path) -> bool:
    """Whether maps of photographs are asked for: whether the parameters have the sections of those steps."""
    return any(stage in read_parameters(params) for stage in EDGE_STAGES)


def sections(params: Path) -> dict[str, dict[str, Any]]:
    """For every parameter of the pipeline but `fetch` its section of the parameters, with the shared values. Raises
    DataError.
    """
    found = checked_sections(params, (*STEPS, *(EDGE_STAGES if has_edges(params) else ())))
    return {f"{step}_{training}" if training else step: section for (step, training), section in found.items()}


def recorded_parameters(params: Path) -> dict[str, dict[str, Any]]:
    """For every step but `fetch` its parameters as the lineage of an artifact has them. Raises DataError."""
    recorded: dict[str, dict[str, Any]] = {}
    for parameter, section in sections(params).items():
        step = parameter.partition("_")[0]
        values = _model(step).model_validate(section).model_dump(mode="json")
        recorded = merged(recorded, own_section(step, values))
    return recorded


def _model(step: str) -> Any:
    return params_model(importlib.import_module(f"longtail.stages.{step}").run)


def kubernetes_settings(params: Path) -> Kubernetes:
    """The section `kubernetes` of the parameters. Raises DataError naming each wrong value."""
    section = read_parameters(params).get(CLUSTER)
    return check_section(CLUSTER, {} if section is None else section, Kubernetes, str(params))  # type: ignore[no-any-return]


def fetch_section(lock: Path, remote: str | None = None, endpoint: str | None = None) -> dict[str, Any]:
    """Where `fetch` finds the data: on `remote`, by default on DVC's own. Raises DataError if that is not known.

    The endpoint of DVC's own remote is for that one only: another may be on AWS itself.
    """
    md5 = dataset_md5(lock)
    config = _dvc_config()
    own = f"remote.{config.get('core.remote')}"
    own_url = config.get(f"{own}.url")
    remote = remote or own_url
    if not remote:
        raise DataError("no remote to fetch the data from: `dvc remote add --default store s3://…`, or give --remote")
    if own_url and remote.rstrip("/") == own_url.rstrip("/"):
        endpoint = endpoint or config.get(f"{own}.endpointurl")
    section = {"remote": remote, "md5": md5} | ({"endpoint": endpoint} if endpoint else {})
    check_section("fetch", section, _model("fetch"), "the pipeline's arguments")
    return section


def dataset_md5(lock: Path) -> str:
    """The md5 of the packed dataset, as the last `dvc repro` left it. Raises DataError if there is none."""
    try:
        outputs = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]["ingest"]["outs"]
        return next(str(out["md5"]) for out in outputs if out["path"] == DATASET)
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
        raise DataError(f"{lock} has no md5 of {DATASET}: run `dvc repro ingest`, then `dvc push`") from error


def default_endpoint() -> str | None:
    """Where S3 is from here, if it is not AWS itself: as the environment says, else as DVC's own remote does."""
    named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    config = _dvc_config()
    return named or config.get(f"remote.{config.get('core.remote')}.endpointurl")


def dvc_cache() -> Path:
    """DVC's cache on this machine, which is laid out as a remote is. Raises DataError if this is no DVC repository."""
    return Path(dvc("cache", "dir").strip())


def _dvc_config() -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in dvc("config", "--list").splitlines() if "=" in line)


def dvc(*arguments: str) -> str:
    """What a dvc command prints. Raises DataError if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode:
        raise DataError(f"dvc {' '.join(arguments)} failed: {' '.join(done.stderr.split())}")
    return done.stdout
