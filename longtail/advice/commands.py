"""The command `longtail advise`; what it needs is loaded when it runs."""

from pathlib import Path
from typing import Annotated

import typer


def advise(
    dataset: Annotated[Path, typer.Argument(help="a packed data set, as `longtail ingest` writes", show_default=False)],
    features: Annotated[
        Path | None, typer.Option(help="stored features of its images, by which they are compared; needs --split")
    ] = None,
    split: Annotated[Path | None, typer.Option(help="its split; default: as `longtail split` divides it")] = None,
    pretraining: Annotated[
        Path | None, typer.Option(help="features of the images that the network was pretrained on, their split beside")
    ] = None,
    difference: Annotated[
        float, typer.Option(min=0.001, max=1, help="in the accuracy of a class, that the test is to tell")
    ] = 0.1,
    experiment: Annotated[Path | None, typer.Option(help="write the ladder to this YAML, for the harness")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, every class in it")] = False,
) -> None:
    """Say what to do with a data set: what its test can tell, which methods to try in which order, what to collect."""
    from longtail.advice.advice import advise
    from longtail.advice.experiment import check_place, written
    from longtail.advice.told import text, values

    if experiment is not None:
        check_place(experiment)
    found = advise(dataset, features, split, pretraining, difference=difference)
    if experiment is not None:
        content = written(found.facts, found.plan, dataset, features, split)
        experiment.write_text(content, encoding="utf-8")
    typer.echo(values(found) if as_json else text(found))
    if experiment is not None and not as_json:
        typer.echo(
            f"\nThe experiment\n  {experiment} compares these steps; DATA is where the data set's source lies:\n"
            f"  python -m experiments {experiment} --data DATA"
        )
