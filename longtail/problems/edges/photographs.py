"""The photographs of a packed data set by their subset and name."""

import numpy as np

from longtail.data.photographs import Photographs
from longtail.data.splits import Split


def of_subset(photographs: Photographs, table: Split, subset: str) -> list[tuple[int, str]]:
    """The number and name of each photograph of a subset, by name; names are those of the files, without folder.

    A photograph is of the subset that the split has put its patches into, which draws what the source does not have.
    Without a patch in the split it is of the source's.
    """
    subsets = [one.subset for one in photographs.entries]
    numbers, first = np.unique(photographs.places[table.samples["row"].to_numpy(), 0], return_index=True)
    for number, row in zip(numbers.tolist(), first.tolist(), strict=True):
        subsets[number] = str(table.subset[row])
    found = [(number, _name(one.name)) for number, one in enumerate(photographs.entries) if subsets[number] == subset]
    return sorted(found, key=lambda pair: pair[1])


def by_name(photographs: Photographs) -> dict[str, int]:
    """The number of each photograph by its name."""
    return {_name(one.name): number for number, one in enumerate(photographs.entries)}


def _name(path: str) -> str:
    return path.rpartition("/")[2]
