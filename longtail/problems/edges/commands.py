"""`longtail edges …`; what a command needs is loaded when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from longtail.problems.edges.evaluation.settings import Settings, Suppression

edges = typer.Typer(help="Edge maps: how good they are.", no_args_is_help=True, pretty_exceptions_enable=False)


@edges.callback()
def options() -> None:
    """Edge maps: how good they are."""


@edges.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="folder of maps: grey PNG, or .mat with `ucm2`")],
    ground_truth: Annotated[Path, typer.Argument(help="folder of annotations: .mat as BSDS500 has them")],
    output: Annotated[Path, typer.Option("--output", "-o", help="folder to write; it may not exist")],
    nms: Annotated[Suppression, typer.Option(help="non-maximum suppression before thresholds")] = Suppression.NONE,
    thresholds: Annotated[int, typer.Option(min=1, max=999, help="how many, evenly spaced between 0 and 1")] = 99,
    processes: Annotated[int | None, typer.Option(min=1, help="at the same time; as many as cores")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
) -> None:
    """Measure edge maps against annotators, by the boundary benchmark of BSDS500: ODS, OIS, AP and the curve."""
    from longtail.problems.edges.evaluation.folders import evaluate_folders

    settings = Settings(nms=nms, thresholds=thresholds)
    typer.echo(evaluate_folders(predictions, ground_truth, output, settings, processes=processes, as_json=as_json))
