"""`longtail edges …`; what a command needs is loaded when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from longtail.problems.edges.evaluation.settings import Settings, Suppression
from longtail.problems.edges.settings import NEIGHBOURS, PATCHES, Transferred

edges = typer.Typer(
    help="Edge maps: made by a trained model, and how good they are.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@edges.callback()
def options() -> None:
    """Edge maps: made by a trained model, and how good they are."""


@edges.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="folder of maps: grey PNG, or .mat with `ucm2`")],
    ground_truth: Annotated[Path, typer.Argument(help="folder of annotations: .mat as BSDS500 has them")],
    output: Annotated[Path, typer.Option("--output", "-o", help="folder to write; it may not exist")],
    nms: Annotated[Suppression, typer.Option(help="non-maximum suppression before thresholds")] = Suppression.NONE,
    thresholds: Annotated[int, typer.Option(min=1, max=999, help="how many, evenly spaced between 0 and 1")] = 99,
    processes: Annotated[
        int | None, typer.Option(min=1, help="at the same time; default: OMP_NUM_THREADS, or as many as cores")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the figures as JSON")] = False,
) -> None:
    """Measure edge maps against annotators, by the boundary benchmark of BSDS500: ODS, OIS, AP and the curve."""
    from longtail.problems.edges.evaluation.folders import evaluate_folders

    settings = Settings(nms=nms, thresholds=thresholds)
    typer.echo(evaluate_folders(predictions, ground_truth, output, settings, processes=processes, as_json=as_json))


@edges.command()
def predict(
    files: Annotated[list[Path], typer.Argument(help="image files", show_default=False)],
    index: Annotated[Path, typer.Option(help="what the step `index` wrote of a model, as artifacts/index/r3")],
    output: Annotated[Path, typer.Option("--output", "-o", help="folder to write; it may not exist")],
    dataset: Annotated[Path, typer.Option(help="what `ingest` wrote, with the annotations")] = Path(
        "artifacts/dataset"
    ),
    split: Annotated[Path, typer.Option(help="what `split` wrote of it")] = Path("artifacts/split"),
    stride: Annotated[int, typer.Option(min=1, help="pixels between the centres of patches")] = 2,
    side: Annotated[int, typer.Option(min=1, help="pixels of the windows that are transferred, a side")] = 16,
    transfer: Annotated[Transferred | None, typer.Option(help="default: as the model answers")] = None,
    rule: Annotated[str | None, typer.Option(help="whose class probabilities; default: the model's own")] = None,
    neighbours: Annotated[int | None, typer.Option(min=1, help=f"nearest clusters; default: {NEIGHBOURS}")] = None,
    patches: Annotated[
        int | None, typer.Option(min=1, help=f"nearest training patches in those clusters; default: {PATCHES}")
    ] = None,
    precision: Annotated[str, typer.Option(help="of the network: float32 or bfloat16")] = "float32",
    scale: Annotated[list[float], typer.Option(min=0.01, max=10, help="of the image; several are averaged")] = [1.0],  # noqa: B006
) -> None:
    """Write edge maps of image files as grey PNG files of 16 bits, by a model that was trained on patches."""
    from longtail.problems.edges.prediction import predict_files

    settings: dict[str, object] = {
        **{"stride": stride, "side": side, "transfer": transfer, "rule": rule},
        **{"neighbours": neighbours, "patches": patches, "precision": precision, "scales": scale},
    }
    typer.echo(predict_files(files, dataset, split, index, output, settings))
