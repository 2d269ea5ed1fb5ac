"""The command `longtail similarity`; what it needs is loaded when it runs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from longtail.transfer.settings import GAMMA, LEAST

STORED = "what the step `features` wrote, as artifacts/frozen; its split lies beside it as `split`, or after a colon"


def similarity(
    source: Annotated[str, typer.Argument(help=f"features to transfer from: {STORED}", show_default=False)],
    targets: Annotated[list[str], typer.Argument(help="features of each domain to transfer to", show_default=False)],
    gamma: Annotated[float, typer.Option(min=0, help="γ of exp(−γ·d), relative to the features' scale")] = GAMMA,
    least: Annotated[int, typer.Option(min=1, help="source classes of fewer training images are dropped")] = LEAST,
    normalise: Annotated[bool, typer.Option("--normalise", help="bring every image's features to length 1")] = False,
    task: Annotated[str | None, typer.Option(help="of the source, whose classes; needed if there are several")] = None,
    target_task: Annotated[str | None, typer.Option(help="of the targets, likewise")] = None,
    select: Annotated[
        list[int] | None, typer.Option(min=1, help="select so many classes for every target; once, or once a target")
    ] = None,
    classes: Annotated[Path | None, typer.Option(help="write the selected classes to this file, as YAML")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, the similarity of every class in it")] = False,
) -> None:
    """Say how similar a data set is to others (Earth Mover's Distance), and which of its classes to pretrain on."""
    from longtail.errors import DataError
    from longtail.transfer.comparison import classes_in_yaml, compare
    from longtail.transfer.domain import read_domain

    if classes is not None and not select:
        raise DataError("--classes has nothing to write: say with --select how many classes are selected")
    found = compare(
        read_domain(*_paths(source), task, normalise=normalise),
        [read_domain(*_paths(target), target_task, normalise=normalise) for target in targets],
        gamma=gamma,
        least=least,
        select=select or (),
    )
    if classes is not None:
        classes.write_text(classes_in_yaml(found), encoding="utf-8")
    typer.echo(json.dumps(found.as_json(), indent=1, ensure_ascii=False) if as_json else found.text())


def _paths(words: str) -> tuple[Path, Path | None]:
    """The features, and their split where it is said."""
    features, _, split = words.partition(":")
    return Path(features), Path(split) if split else None
