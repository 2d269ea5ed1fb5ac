"""The photographs of a packed data set by their subset and name."""

from longtail.data.photographs import Photographs


def of_subset(photographs: Photographs, subset: str) -> list[tuple[int, str]]:
    """The number and name of each photograph of a subset, by name; names are those of the files, without folder."""
    found = [(number, _name(one.name)) for number, one in enumerate(photographs.entries) if one.subset == subset]
    return sorted(found, key=lambda pair: pair[1])


def by_name(photographs: Photographs) -> dict[str, int]:
    """The number of each photograph by its name."""
    return {_name(one.name): number for number, one in enumerate(photographs.entries)}


def _name(path: str) -> str:
    return path.rpartition("/")[2]
