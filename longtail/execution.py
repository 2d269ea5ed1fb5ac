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

from longtail import termination
from longtail.artifacts.lineage import Lineage, merged
from longtail.errors import DataError
from longtail.parameters import check_section, label, unmarked
from longtail.stages import DATA_STAGES, NAMED, STAGES
from longtail.stages.contract import artifacts, params_model

ARGUMENTS = "the pipeline's arguments"


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
        section = unmarked(section)
        run = importlib.import_module(f"longtail.stages.{stage}").run
        directories = {name: Path(path) for name, path in paths.items()}
        config = merged(upstream(artifacts(run), directories), own_section(stage, section))
        try:
            params = check_section(label(stage, section.get("name")), section, params_model(run), ARGUMENTS)
        except DataError:
            # The pipeline has begun: its run in MLflow must not stay open.
            with tracked(stage, directories, section, config):
                raise
        config = merged(config, own_section(stage, params.model_dump(mode="json")))
        return execute(stage, directories, params, config, finish)


def upstream(kinds: dict[str, str], paths: dict[str, Path]) -> dict[str, Any]:
    """The parameters of all steps behind the inputs, as params.yaml has them."""
    found: dict[str, Any] = {}
    for name, path in paths.items():
        if kinds[name] == "inputs":
            origins = [Lineage.read(one) for one in sorted(path.iterdir())]
        else:
            origins = [] if kinds[name] == "output" else [Lineage.read(path)]
        for origin in origins:
            found = merged(found, origin.parameters())
    return found


def own_section(stage: str, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a stage where params.yaml has them."""
    return {NAMED[stage]: {str(params.get("name")): params}} if stage in NAMED else {stage: params}


def tracked(
    stage: str, paths: dict[str, Path], params: dict[str, Any], config: dict[str, Any]
) -> AbstractContextManager[object]:
    """A tracked run of a stage, named as the orchestrator names the step."""
    from longtail import tracking

    made = [path for artifact, path in paths.items() if artifact != "data"]

    def dataset() -> str | None:
        return next((md5 for path in made if (md5 := Lineage.read(path).dataset)), None)

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
    record.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _print_anywhere() -> None:
    """Let a terminal or a log in whatever character set show what it can: names and signs are no reason to fail."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):  # also of what kfp puts in its place
            reconfigure(errors="backslashreplace")


@contextmanager
def one_sentence() -> Iterator[None]:
    """End the process with one sentence on stderr: with exit status 1 if the input is bad or the disk fails, with 128 +
    the signal's number if a signal tells it to end.
    """
    _print_anywhere()
    try:
        with termination.raised():
            yield
    except DataError as error:
        sys.exit(f"error: {error}")
    except termination.Terminated as error:
        print(f"error: {error}; nothing half-written is left, and checkpoints are kept", file=sys.stderr)
        sys.exit(error.status)
    except KeyboardInterrupt:  # typer has its own way once a command runs
        print("error: interrupted; nothing half-written is left, and checkpoints are kept", file=sys.stderr)
        sys.exit(130)
    except (MemoryError, RuntimeError) as error:
        # torch has no type of its own for a CPU's memory: "can't allocate memory", of a GPU's "out of memory".
        said = str(error).partition("\n")[0]
        if isinstance(error, RuntimeError) and not any(words in said for words in ("allocate memory", "out of memory")):
            raise
        sys.exit(f"error: there is not memory enough; lower `batch`, or the sizes of network and images ({said})")
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        # numpy names neither the file nor the reason when it could not write all of an array.
        question = "; is the disk full?" if reason.endswith(" written") else ""
        sys.exit(f"error: {reason}{question}{f': {error.filename}' if error.filename else ''}")
