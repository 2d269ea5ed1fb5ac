"""One step, tracked and with its parameters checked: for the command line, and for the components of a pipeline."""

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from longtail.errors import DataError
from longtail.parameters import check_section
from longtail.stages import DATA_STAGES, STAGES
from longtail.stages.contract import artifacts, lineage, params_model


def execute(
    stage: str,
    paths: dict[str, Path],
    params: BaseModel,
    config: dict[str, Any],
    finish: Callable[[dict[str, float]], None] = lambda report: None,
) -> dict[str, float]:
    """Run a stage inside a tracked run and return its scalars.

    `paths`: artifact → directory. `config`: all parameters of the pipeline, or as many as are known here. `finish` gets
    the scalars, and belongs to the step: the run has failed if it fails.
    """
    from longtail import tracking

    with tracked(stage, paths, params.model_dump(mode="json"), config):
        report: dict[str, float] = importlib.import_module(f"longtail.stages.{stage}").run(**paths, params=params)
        tracking.log_metrics(report)
        finish(report)
    return report


def execute_component(
    stage: str,
    paths: dict[str, str],
    section: dict[str, Any],
    record: str,
    show: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Run a stage as a component of a pipeline does and return its scalars; bad input ends the process with a sentence.

    `section`: the stage's parameters, the shared ones among them. The file `record` gets the scalars and the code's
    identity, by which `adopt` knows the run. `show` writes what the component adds for the dashboard.
    """

    def finish(report: dict[str, float]) -> None:
        show()
        write_record(Path(record), report)

    with one_sentence():
        run = importlib.import_module(f"longtail.stages.{stage}").run
        directories = {name: Path(path) for name, path in paths.items()}
        inputs = [directories[name] for name, kind in artifacts(run).items() if kind == "input"]
        config = {name: values for path in inputs for name, values in lineage(path).get("stages", {}).items()}
        try:
            params = check_section(stage, section, params_model(run), "the pipeline's arguments")
        except DataError:
            # The pipeline has begun: its run in MLflow must not stay open.
            with tracked(stage, directories, section, config | {stage: section}):
                raise
        return execute(stage, directories, params, config | {stage: params.model_dump(mode="json")}, finish)


def tracked(
    stage: str, paths: dict[str, Path], params: dict[str, Any], config: dict[str, Any]
) -> AbstractContextManager[None]:
    """A tracked run of a stage, named as the orchestrator names the step."""
    from longtail import tracking

    made = [path for artifact, path in paths.items() if artifact != "data"]

    def dataset() -> str | None:
        return next((md5 for path in made if (md5 := lineage(path).get("dataset"))), None)

    return tracking.stage_run(
        stage,
        os.environ.get("DVC_STAGE") or os.environ.get("LONGTAIL_STEP") or stage,
        params=params,
        config=config,
        dataset=dataset if stage in DATA_STAGES else dataset(),
        last=stage == STAGES[-1],
    )


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
        reason = error.strerror or " ".join(str(error).split())
        # numpy names neither the file nor the reason when it could not write all of an array.
        question = "; is the disk full?" if reason.endswith(" written") else ""
        sys.exit(f"error: {reason}{question}{f': {error.filename}' if error.filename else ''}")
