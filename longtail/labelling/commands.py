"""The commands `longtail propose` and `longtail label`; what they need is loaded when they run."""

from pathlib import Path
from typing import Annotated

import typer

from longtail.labelling.settings import By, Settings

QUEUE = "what `longtail propose` wrote"


def propose(
    index: Annotated[Path, typer.Option(help="what the step `index` wrote of a model, as artifacts/index/r3")],
    output: Annotated[Path, typer.Option(help="queue to write; it may not exist")],
    pool: Annotated[
        list[Path] | None, typer.Argument(help="image files, and folders of them", show_default=False)
    ] = None,
    by: Annotated[
        By, typer.Option(help="what comes first: the surest of each class, the largest prediction sets, suspects")
    ] = "confidence",
    confidence: Annotated[float, typer.Option(min=0, max=1, help="least probability of what is proposed")] = 0.5,
    task: Annotated[str | None, typer.Option(help="whose classes are proposed; needed if there are several")] = None,
    dataset: Annotated[Path | None, typer.Option(help="the packed data set of the model, for exemplars")] = None,
    split: Annotated[Path | None, typer.Option(help="the split of the model, for exemplars and some orders")] = None,
    definitions: Annotated[Path | None, typer.Option(help="YAML file of a text for each class")] = None,
    twice: Annotated[float, typer.Option(min=0, max=1, help="share that two people see")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="of what is drawn at random")] = 0,
) -> None:
    """Propose a class for each image of a pool: a queue, on which people say yes or no with `longtail label`."""
    from longtail.labelling.proposal import propose

    asked = Settings(by, confidence, task, dataset, split, definitions, twice, seed)
    typer.echo(propose(pool or [], index, output, asked))


def label(
    queue: Annotated[Path, typer.Argument(help=QUEUE, show_default=False)],
    name: Annotated[str | None, typer.Option(help="who labels; the page offers it")] = None,
    host: Annotated[str, typer.Option(help="address to listen on; another than this machine's own needs a token")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="port to listen on; 0 is any")] = 8765,
    token: Annotated[
        str | None, typer.Option(envvar="LONGTAIL_LABEL_TOKEN", help="what whoever labels has to show")
    ] = None,
    export: Annotated[Path | None, typer.Option(help="write the decisions as .csv or .json, and serve nothing")] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", help="take decisions from .csv or .json, and serve nothing")
    ] = None,
) -> None:
    """Serve a page on which people say of each image of a queue whether it is what is proposed."""
    from longtail.labelling.exchange import export_decisions, import_decisions
    from longtail.labelling.labelling import label

    if import_ is not None:
        typer.echo(import_decisions(queue, import_))
    if export is not None:
        typer.echo(export_decisions(queue, export))
    if import_ is None and export is None:
        label(queue, name=name, host=host, port=port, token=token)
