"""`longtail STAGE …`: one command a stage, its options from its signature; and `longtail check`, `sync`."""

import ast
import importlib
import inspect
import json
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from longtail.advice.commands import advise
from longtail.artifacts.files import written
from longtail.audit.commands import audit
from longtail.bootstrapping.commands import bootstrap, grow
from longtail.errors import DataError, Faults
from longtail.execution import execute, one_sentence
from longtail.granularity.commands import granularity
from longtail.labelling.commands import label, propose
from longtail.parameters import CLUSTER, checked_sections, read_parameters, stage_parameters
from longtail.problems.edges.commands import edges
from longtail.stages import EDGE_STAGES, NAMED, PARALLEL, STAGES
from longtail.stages.contract import artifacts, params_model
from longtail.transfer.commands import similarity
from longtail.world import ALONE, World, first_speaks

DESCRIPTIONS = {
    "input": "input directory",
    "weights": "model directory whose weights are taken",
    "inputs": "directory of an input for each model, by its name",
    "output": "output directory",
}
app = typer.Typer(
    help="Train image classifiers on class-imbalanced data, step by step; `longtail STAGE --help` tells more.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; bad input is one sentence on stderr and exit status 1."""
    asked = next((word for word in sys.argv[1:] if word != "--"), "")
    with one_sentence():
        for name in (*STAGES, *EDGE_STAGES):
            # Only the stage that was asked for is imported: the others may need torch, which takes seconds.
            app.command(name, help=_summary(name))(_command(name) if name == asked else _nothing)
        with first_speaks(World.from_environment() if asked in PARALLEL else ALONE):
            app()


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"longtail {metadata.version('longtail')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    """What stands before a command."""


@app.command()
def sync() -> None:
    """Deliver to MLflow what steps logged while the tracking server could not be reached."""
    from longtail import tracking

    typer.echo(f"delivered {tracking.sync()} runs")


@app.command()
def promote(
    name: Annotated[str | None, typer.Option(help="registered model; needed if several have a challenger")] = None,
    insist: Annotated[bool, typer.Option("--insist", help="whatever the paired tests say")] = False,
) -> None:
    """Make MLflow's challenger the champion, if paired tests show that it beats the baseline and the champion."""
    from longtail import tracking

    typer.echo(tracking.promote(name, insist=insist))


@app.command()
def check(
    params: Annotated[Path, typer.Option(help="YAML file of parameters")] = Path("params.yaml"),
) -> None:
    """Check all parameters before anything runs: every section, every training and what each follows, where the data
    lies.
    """
    from longtail.stages.ingest import check_data
    from longtail.training.declared import check_said, schedule_warnings

    values, sections, faults = read_parameters(params), {}, Faults()
    with faults.collected():
        # `fetch` has a section where a pipeline is submitted alone.
        asked = [stage for stage in STAGES if stage != "fetch"] + [stage for stage in EDGE_STAGES if stage in values]
        sections = checked_sections(params, asked)
    with faults.collected():
        check_said(values, str(params))
    with faults.collected():
        check_data(str(params), values.get("data"), sections.get(("ingest", None)))
    faults.settle()
    for warning in schedule_warnings(values, str(params)):
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{params}: all parameters are right")


@app.command()
def predict(
    files: Annotated[list[Path], typer.Argument(help="image files, and folders of them", show_default=False)],
    index: Annotated[Path, typer.Option(help="what the step `index` wrote of a model, as artifacts/index/r3")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON lines, all probabilities among them")] = False,
    out: Annotated[Path | None, typer.Option(help="write the JSON lines to this file")] = None,
    refuse: Annotated[bool, typer.Option("--refuse", help="no class for what is unlike anything trained on")] = False,
) -> None:
    """Answer image files by a trained model: class, probability, nearest cluster, whether it is like the training."""
    from longtail.inference.prediction import predict

    predict(files, index, as_json=as_json, out=out, refuse=refuse)


@app.command()
def export(
    index: Annotated[Path, typer.Option(help="what the step `index` wrote of a model, as artifacts/index/r3")],
    onnx: Annotated[Path, typer.Option(help="file to write")],
) -> None:
    """Write a trained model as one ONNX file: from uint8 images to classes and probabilities."""
    from longtail.inference.export import export

    typer.echo(export(index, onnx))


@app.command()
def add(
    folder: Annotated[Path, typer.Argument(help="a folder of images for each new class", show_default=False)],
    index: Annotated[Path, typer.Option(help="what the step `index` wrote of a model, as artifacts/index/r3")],
    output: Annotated[Path, typer.Option(help="new index to write; it may not exist")],
    task: Annotated[str | None, typer.Option(help="of which the classes are; needed if there are several")] = None,
) -> None:
    """Add classes to a trained model without training, from a few images each: a new index, which `predict` reads."""
    from longtail.inference.addition import add

    typer.echo(add(folder, index, output, task))


@app.command()
def register(
    index: Annotated[Path, typer.Option(help="an index that `evaluate` does not register, as one of `longtail add`")],
    name: Annotated[str | None, typer.Option(help="under which; default: longtail- and the name of its data")] = None,
) -> None:
    """Log a trained model in MLflow and register it, as the challenger."""
    from longtail.inference.registration import register

    typer.echo(register(index, name))


app.command()(propose)
app.command()(label)
app.command()(grow)
app.command()(bootstrap)
app.command()(granularity)
app.command()(audit)
app.command()(similarity)
app.add_typer(edges, name="edges")
app.command()(advise)


def _command(stage: str) -> Callable[..., None]:
    """A function with one option for each artifact of the stage, and --params and --metrics."""
    run = importlib.import_module(f"longtail.stages.{stage}").run
    kinds = artifacts(run)

    def command(params: Path, metrics: Path | None, name: str | None = None, **paths: Path) -> None:
        check_metrics(metrics)
        values = stage_parameters(params, stage, params_model(run), name)
        config = {key: value for key, value in read_parameters(params).items() if key != CLUSTER}
        execute(stage, paths, values, config, lambda report: write_metrics(metrics, report))

    options = [_option("name", str, f"which entry of `{NAMED[stage]}`")] if stage in NAMED else []
    options += [_option(artifact, Path, DESCRIPTIONS[kind]) for artifact, kind in kinds.items()]
    options.append(_option("params", Path, "YAML file of parameters", Path("params.yaml")))
    options.append(_option("metrics", Path | None, "JSON file for the step's scalars", None))
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    command.__annotations__ = {option.name: option.annotation for option in options}
    return command


def check_metrics(file: Path | None) -> None:
    """Raise DataError, or OSError, before a step begins whose scalars could not be written at its end."""
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_dir():
            raise DataError(f"{file} of --metrics is a folder; name a file")


def write_metrics(file: Path | None, report: dict[str, float]) -> None:
    """Write the scalars as JSON, whole; not those of a training's other processes, which have none."""
    if file and report:
        with written(file) as new:
            new.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _option(name: str, kind: Any, text: str, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    annotation = Annotated[kind, typer.Option(f"--{name}", help=text)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _summary(name: str) -> str:
    """The first line of the stage's docstring, read without importing the stage."""
    source = (Path(__file__).parent / "stages" / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]


def _nothing() -> None:
    """Stands for a stage that was not asked for."""


if __name__ == "__main__":
    main()
