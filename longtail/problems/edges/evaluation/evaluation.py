"""The benchmark on many images: in several processes, and gone on with where a killed run ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from longtail.artifacts.files import written
from longtail.artifacts.reading import read_array
from longtail.errors import DataError
from longtail.problems.edges.evaluation.case import Case, key
from longtail.problems.edges.evaluation.counts import Counts, count, count_annotators, thresholds
from longtail.problems.edges.evaluation.scores import Point, average_precision, best, optimal_image_scale
from longtail.problems.edges.evaluation.settings import Settings
from longtail.problems.edges.evaluation.suppression import suppressed
from longtail.problems.edges.processes import mapped
from longtail.progress import Advance
from longtail.sources.quoting import listed
from longtail.threads import budget
from longtail.tracking.identity import code_md5


@dataclass(frozen=True)
class Evaluation:
    """Of N images the counts at each of T thresholds, N×T, and those of the annotators against each other, N."""

    settings: Settings
    names: list[str]
    counts: Counts
    annotators: Counts

    @cached_property
    def total(self) -> Counts:
        """The counts of all images, T: the curve."""
        return self.counts.total()

    @cached_property
    def ods(self) -> Point:
        """The best point with one threshold for all images."""
        total = self.total
        return best(thresholds(self.settings.thresholds), total.recall, total.precision)

    @cached_property
    def ois(self) -> Point:
        """The point with the best threshold of each image."""
        return optimal_image_scale(self.counts)

    @cached_property
    def images(self) -> list[Point]:
        """Of each image its best point, interpolated between thresholds as the official table has it."""
        at = thresholds(self.settings.thresholds)
        each = zip(self.counts.recall, self.counts.precision, strict=True)
        return [best(at, recall, precision) for recall, precision in each]

    @cached_property
    def ap(self) -> float:
        """The area under the curve."""
        return average_precision(self.total.recall, self.total.precision)

    @cached_property
    def human(self) -> Point | None:
        """Each annotator against the others of the image; None if no image has two."""
        total = self.annotators.total()
        return Point.of(total) if total.annotated > 0 else None


def evaluate(
    cases: Sequence[Case], settings: Settings, *, work: Path | None = None, processes: int | None = None
) -> Evaluation:
    """Evaluate every case. In the directory `work` the counts of each image stay, and are found again by its content
    and this code.

    Raises DataError, before anything is counted, of the first case that is none.
    """
    _check(cases)
    if work:
        work /= code_md5()[:12]
        work.mkdir(parents=True, exist_ok=True)
    one = partial(counted, settings=settings, work=work)
    rows: list[Counts] = []
    with Advance("evaluate", len(cases)) as advance:
        for row in mapped(one, cases, processes or budget()):
            rows.append(row)
            advance.add()
    both = Counts.stacked(rows).fields()
    counts, annotators = (Counts(*(values[:, part] for values in both)) for part in (slice(-1), -1))
    return Evaluation(settings, [case.name for case in cases], counts, annotators)


def counted(case: Case, *, settings: Settings, work: Path | None) -> Counts:
    """The counts of an image at each threshold and, at the end, of its annotators against each other."""
    edge_map, boundaries = case.read()
    file = work / f"{key(case.name, edge_map, boundaries, settings.model_dump_json())}.npy" if work else None
    if file and (kept := _kept(file, settings.thresholds + 1)):
        return kept
    at_thresholds = count(suppressed(edge_map, settings.nms), boundaries, thresholds(settings.thresholds))
    pairs = zip(at_thresholds.fields(), count_annotators(boundaries).fields(), strict=True)
    counts = Counts(*(np.append(values, last) for values, last in pairs))
    if file:
        with written(file) as new, new.open("wb") as content:
            np.save(content, np.stack(counts.fields()))
    return counts


def _kept(file: Path, length: int) -> Counts | None:
    """Counts that an earlier run has left; None where there are none, or the file is damaged."""
    if not file.exists():
        return None
    try:
        fields = read_array(file)
    except DataError:
        return None
    whole = fields.shape == (4, length) and fields.dtype.kind == "i"
    return Counts(*fields) if whole else None


def _check(cases: Sequence[Case]) -> None:
    names = [case.name for case in cases]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"several maps have the name {listed(twice)}; give each image once")
    if not cases:
        raise DataError("there is no map to evaluate")
    for case in cases:
        case.read()
