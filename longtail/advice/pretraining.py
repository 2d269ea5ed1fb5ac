"""How similar a data set is to what its network was pretrained on."""

from dataclasses import dataclass
from pathlib import Path

from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.transfer.domain import SPLIT, read_domain
from longtail.transfer.settings import LEAST
from longtail.transfer.similarity import domain_distance, similarity


@dataclass(frozen=True)
class Pretraining:
    """The Earth Mover's Distance of the first tasks of two data sets, and their similarity, in (0, 1]."""

    distance: float
    similarity: float


def to_pretraining(features: Path | None, split: Path | None, source: Path | None) -> Pretraining | None:
    """Of stored features of both, those of the source beside their split; None without a source. Classes of the source
    that are too small for `longtail similarity` are dropped, unless all of them are.

    Raises DataError where the features of the data set are missing, or the two cannot be compared.
    """
    if source is None:
        return None
    if features is None or split is None:
        raise DataError("--pretraining compares features: give those of the data set too, with --features and --split")
    own, other = (
        read_domain(at, table, Split.open(table).tasks[0].name)
        for at, table in ((features, split), (source, source.parent / SPLIT))
    )
    if other.counts.max() >= LEAST:
        other = other.of_at_least(LEAST)
    distance = domain_distance(other, own)
    return Pretraining(distance, float(similarity(distance)))
