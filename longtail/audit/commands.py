"""The command `longtail audit`; what it needs is loaded when it runs."""

from pathlib import Path
from typing import Annotated

import typer


def audit(
    source: Annotated[Path, typer.Argument(help="a packed data set, stored features, or an index", show_default=False)],
    split: Annotated[Path | None, typer.Option(help="its split; a packed data set needs none")] = None,
    dataset: Annotated[Path | None, typer.Option(help="the packed data set of an index: copies are looked at")] = None,
    task: Annotated[str | None, typer.Option(help="only that one; default: every task")] = None,
    margin: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="within what the accuracy of a class is to be known")
    ] = 0.1,
    most: Annotated[int, typer.Option(min=0, help="of each kind, so many are named; all in JSON")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Find images that are there twice, labels that may be wrong, and classes that the test subset cannot measure."""
    from longtail.audit.told import look, text, values

    images, found = look(source, split, dataset, task)
    typer.echo(values(images, found, margin) if as_json else text(images, found, margin, most))
