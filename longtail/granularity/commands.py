"""The command `longtail granularity`; what it needs is loaded when it runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Subset = Literal["train", "validation", "test", "all"]


def granularity(
    source: Annotated[
        Path, typer.Argument(help="stored features, a model or its index, or a packed data set", show_default=False)
    ],
    split: Annotated[Path | None, typer.Option(help="its split; a packed data set needs none")] = None,
    task: Annotated[str | None, typer.Option(help="only that one; default: every task")] = None,
    subset: Annotated[Subset, typer.Option(help="whose images are compared")] = "all",
    pairs: Annotated[int, typer.Option(min=0, help="pairs of classes to name, the finest first")] = 10,
    exact: Annotated[
        bool | None, typer.Option(help="RS and Rank, which take the square of the images; default: up to 10,000")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, every class in it")] = False,
) -> None:
    """Measure how fine the classes are, and name the pairs that are hardest to tell apart."""
    from longtail.granularity.told import measured, text, values

    found = measured(source, split, task, subset, exact=exact, pairs=pairs)
    typer.echo(values(found) if as_json else text(found))
