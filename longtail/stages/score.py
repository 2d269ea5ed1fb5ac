"""Score: the boundary benchmark of BSDS500 on edge maps, ODS, OIS and AP, and maps beside what was drawn."""

from pydantic import Field

from longtail import tracking
from longtail.data.dataset import PackedDataset
from longtail.errors import DataError
from longtail.problems.edges.evaluation.case import Case
from longtail.problems.edges.evaluation.evaluation import evaluate
from longtail.problems.edges.evaluation.results import FILE, PAGE, write_results
from longtail.problems.edges.evaluation.settings import Settings, Suppression
from longtail.problems.edges.photographs import by_name
from longtail.problems.edges.pictures import draw_pictures
from longtail.report.figures import style
from longtail.stages.contract import Input, Output, stage


class Params(Settings):
    """The `score` section of params.yaml."""

    nms: Suppression = Field(
        Suppression.STRUCTURED_EDGES, description="non-maximum suppression of maps before thresholds"
    )
    processes: int | None = Field(
        None, ge=1, exclude=True, description="at the same time; null: OMP_NUM_THREADS, or as many as cores"
    )


@stage
def run(dataset: Input, maps: Input, scores: Output, *, params: Params) -> dict[str, float]:
    """Write the figures, the tables, the curve and some pictures, and a page of them; return ODS, OIS and AP.

    Raises DataError if the data set has no photographs, or not those of the maps.
    """
    photographs = PackedDataset.open(dataset).photographs
    if photographs is None:
        raise DataError(f"{dataset} has no photographs with annotations; make it of the source bsds500")
    numbers = by_name(photographs)
    files = sorted(maps.glob("*.png"))
    if strange := [file for file in files if file.stem not in numbers]:
        raise DataError(f"{dataset} has no photograph of {strange[0]}; give the data set that the maps were made of")
    cases = [Case(file.stem, file, photographs.annotations(numbers[file.stem])) for file in files]
    settings = Settings(nms=params.nms, thresholds=params.thresholds)
    found = evaluate(cases, settings, processes=params.processes)
    scores.mkdir(parents=True, exist_ok=True)
    with style():
        pictures = draw_pictures(photographs, cases, found)
    write_results(found, "Edge maps", scores, pictures)
    for name in (PAGE, FILE):
        tracking.log_artifact(scores / name)
    return {"ods": found.ods.f, "ois": found.ois.f, "ap": found.ap}
