"""Detect: an edge map of every photograph of a subset, by a model that was trained on patches."""

from pydantic import Field

from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.problems.edges.detector import Detector
from longtail.problems.edges.photographs import of_subset
from longtail.problems.edges.prediction import write_map
from longtail.problems.edges.settings import Settings, Subset
from longtail.progress import Advance
from longtail.stages.contract import Input, Output, stage


class Params(Settings, extra="forbid"):
    """The `detect` section of params.yaml."""

    subset: Subset = Field(Subset.TEST, description="of whose photographs maps are made")
    photographs: int | None = Field(None, ge=1, description="how many, the first by their names; null: all")


@stage
def run(dataset: Input, split: Input, index: Input, maps: Output, *, params: Params) -> dict[str, float]:
    """Write maps, PNG files of 16 bits by the photographs' names; return their number.

    Raises DataError if the split has no photograph of the subset.
    """
    photographs = PackedDataset.open(dataset).photographs
    detector = Detector.load(dataset, split, index, params)
    assert photographs is not None  # or the detector could not be loaded
    chosen = of_subset(photographs, Split.open(split), params.subset)[: params.photographs]
    if not chosen:
        raise DataError(f"{split} has no photograph of the subset {params.subset}; set `detect.subset` to another")
    for number, name in chosen:
        detector.check(photographs.entries[number].height, photographs.entries[number].width, name)
    with Advance("edges", len(chosen)) as advance:
        for number, name in chosen:
            write_map(detector.detect(photographs.pixels(number)), maps / f"{name}.png")
            advance.add()
    return {"photographs": float(len(chosen))}
