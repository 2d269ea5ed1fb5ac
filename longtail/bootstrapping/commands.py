"""The commands `longtail bootstrap` and `longtail grow`; what they need is loaded when they run."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from longtail.errors import DataError

BEGIN = "to begin: "


class Order(StrEnum):
    """What people see first."""

    CONFIDENCE = "confidence"
    PREDICTION_SET = "prediction_set"
    RANDOM = "random"


def bootstrap(
    directory: Annotated[Path, typer.Argument(help="of all turns; with nothing else, go on there", show_default=False)],
    dataset: Annotated[Path | None, typer.Option(help=f"{BEGIN}packed data set, the seed")] = None,
    split: Annotated[Path | None, typer.Option(help=f"{BEGIN}split of it")] = None,
    pool: Annotated[list[Path] | None, typer.Option(help=f"{BEGIN}image file or folder of them; several")] = None,
    params: Annotated[Path | None, typer.Option(help=f"{BEGIN}YAML file of parameters, which are kept")] = None,
    training: Annotated[str | None, typer.Option(help=f"{BEGIN}the one of `fits` or `rounds` that proposes")] = None,
    parts: Annotated[int | None, typer.Option(min=1, help=f"{BEGIN}of the pool, one a turn; default 4")] = None,
    confidence: Annotated[
        float | None, typer.Option(min=0, max=1, help=f"{BEGIN}least probability of what is asked; default 0.5")
    ] = None,
    by: Annotated[Order | None, typer.Option(help=f"{BEGIN}what people see first; default confidence")] = None,
    task: Annotated[str | None, typer.Option(help=f"{BEGIN}the task that grows; needed if there are several")] = None,
    twice: Annotated[
        float | None, typer.Option(min=0, max=1, help=f"{BEGIN}share that two people see; default 0")
    ] = None,
    definitions: Annotated[Path | None, typer.Option(help=f"{BEGIN}YAML file of a text for each class")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help=f"{BEGIN}of what is drawn at random; default 0")] = None,
    enough: Annotated[
        bool, typer.Option("--enough", help="go on with what is decided; the rest is asked again with the last part")
    ] = False,
    simulate: Annotated[
        Path | None, typer.Option(help="let simulated people decide: a CSV of the columns `file` and `class`")
    ] = None,
    error_rate: Annotated[
        float | None, typer.Option(min=0, max=1, help="how often simulated people err; default 0")
    ] = None,
) -> None:
    """Let a data set grow: train, propose images of a pool, let people say yes or no, add what they said, and again."""
    from longtail.bootstrapping.loop import Simulation, bootstrap
    from longtail.bootstrapping.plan import begun

    given = {
        "dataset": dataset,
        "split": split,
        "pool": pool,
        "training": training,
        "parts": parts,
        "confidence": confidence,
        "by": by and by.value,
        "task": task,
        "twice": twice,
        "definitions": definitions,
        "seed": seed,
    }
    plan = begun(directory, given, params)
    if error_rate is not None and simulate is None:
        raise DataError("--error-rate is that of simulated people; give --simulate too")
    simulation = Simulation(simulate, error_rate or 0.0) if simulate else None
    typer.echo(bootstrap(directory, plan, simulation, enough=enough))


def grow(
    queue: Annotated[list[Path], typer.Argument(help="queues of `longtail propose`, decided", show_default=False)],
    dataset: Annotated[Path, typer.Option(help="packed data set")],
    split: Annotated[Path, typer.Option(help="split of it, whose subsets stay")],
    pool: Annotated[list[Path], typer.Option(help="where the images are: a file or folder; several")],
    output: Annotated[Path, typer.Option(help="packed data set to write")],
    task: Annotated[str | None, typer.Option(help="of the queues; needed if there are several")] = None,
) -> None:
    """Add to a data set what people decided: a yes with its label, a no as a hard negative, for training alone."""
    from longtail.bootstrapping.growing import grow
    from longtail.bootstrapping.pool import files_by_digest

    grown = grow(dataset, split, queue, files_by_digest(pool), output, task)
    typer.echo(
        f"{output}: {grown.accepted} images more, and {grown.rejected} hard negatives; {grown.there} were there already"
    )
