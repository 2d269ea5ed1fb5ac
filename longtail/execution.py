"""One step, tracked and with its parameters checked: for the command line, and for the components of a pipeline."""

import importlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from longtail.errors import DataError
from longtail.parameters import check_section
from longtail.stages import DATA_STAGES, STAGES
from longtail.stages.contract import artifacts, lineage, params_model


def execute(stage: str, paths: dict[str, Path], params: BaseModel, config: dict[str, Any]) -> dict[str, float]:
    """Run a stage inside a tracked run, named as the orchestrator names the step, and return its scalars.

    `paths`: artifact → directory. `config`: all parameters of the pipeline, or as many as are known here.
    """
    from longtail import tracking

    run = importlib.import_module(f"longtail.stages.{stage}").run
    made = [path for artifact, path in paths.items() if artifact != "data"]

    def dataset() -> str | None:
        return next((md5 for path in made if (md5 := lineage(path).get("dataset"))), None)

    with tracking.stage_run(
        stage,
        os.environ.get("DVC_STAGE") or os.environ.get("LONGTAIL_STEP") or stage,
        params=params.model_dump(mode="json"),
        config=config,
        dataset=dataset if stage in DATA_STAGES else dataset(),
        last=stage == STAGES[-1],
    ):
        report: dict[str, float] = run(**paths, params=params)
        tracking.log_metrics(report)
    return report


def execute_component(stage: str, paths: dict[str, str], section: dict[str, Any], record: str) -> dict[str, float]:
    """Run a stage as a component of a pipeline does and return its scalars; bad input ends the process with a sentence.

    `section`: the stage's parameters, the shared ones among them. The file `record` gets the scalars and the code's
    identity, by which `adopt` knows the run.
    """
    with one_sentence():
        run = importlib.import_module(f"longtail.stages.{stage}").run
        params = check_section(stage, section, params_model(run), "the pipeline's arguments")
        directories = {name: Path(path) for name, path in paths.items()}
        inputs = [directories[name] for name, kind in artifacts(run).items() if kind == "input"]
        config = {name: values for path in inputs for name, values in lineage(path).get("stages", {}).items()}
        report = execute(stage, directories, params, config | {stage: params.model_dump(mode="json")})
        write_record(Path(record), report)
    return report


def write_record(record: Path, report: dict[str, float]) -> None:
    """Write the scalars of a step and the code's identity."""
    from longtail.tracking.identity import code_md5, git_state

    about = {"commit": git_state().get("commit"), "code": code_md5(), "metrics": report}
    record.write_text(json.dumps(about, indent=1) + "\n")


@contextmanager
def one_sentence() -> Iterator[None]:
    """End the process with one sentence on stderr and exit status 1 if the input is bad or the disk fails."""
    try:
        yield
    except DataError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno is None:
            raise
        sys.exit(f"error: {error.strerror}: {error.filename or 'no file named'}")
