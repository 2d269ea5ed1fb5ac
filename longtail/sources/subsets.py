"""What people call the official subsets, and where a folder of folders has them."""

import re
from collections import defaultdict
from collections.abc import Collection as Names
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import PurePosixPath
from typing import NamedTuple

from longtail.sources.files import Files, has_image_suffix

NAMES = {
    "train": ("train", "training", "trainset"),
    "validation": ("val", "valid", "validation", "valset", "dev"),
    "test": ("test", "testing", "testset"),
}
WORDS = {word: subset for subset, words in NAMES.items() for word in words}


def subset_named(name: str) -> str | None:
    """The official subset that is called so, in any case: `Training`, `VAL`; None if it is none."""
    return WORDS.get(name.strip().lower())


class Named(NamedTuple):
    """The official subset of which a folder's name speaks, and the words around it."""

    subset: str
    around: tuple[str, ...]


def named_after(name: str) -> Named | None:
    """What is said by a name that speaks of one official subset: `seg_train`, `TestImages`, `val2017`."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+", name)]
    found = [WORDS[word] for word in words if word in WORDS]
    return Named(found[0], tuple(word for word in words if word not in WORDS)) if len(found) == 1 else None


def subset_of_shard(name: str) -> str | None:
    """The official subset of `data/train-00000-of-00002.parquet`, as Hugging Face's `datasets` names its files."""
    split = re.fullmatch(r"(.+)-\d{5}-of-\d{5}", PurePosixPath(name).stem)
    return subset_named(split[1]) if split else None


@dataclass(frozen=True)
class Layout:
    """For each folder of an official subset its subset and how many folders are above its class folders.

    Empty if the class folders are at the top; `inside` says whether each of them holds the folders of its subsets.
    """

    subsets: dict[str, tuple[str, int]] = field(default_factory=dict)
    inside: bool = False

    def place(self, folders: list[str]) -> tuple[str | None, str | None]:
        """The official subset and the class folder of what is in these folders, from the top; None: there is none."""
        if not self.subsets:
            subset = subset_named(folders[1]) if self.inside and len(folders) > 1 else None
            return subset, folders[0] if folders else None
        subset, depth = self.subsets.get(folders[0] if folders else "", (None, 0))
        return subset, folders[depth] if subset and len(folders) > depth else None


def layout(files: Files, classes: Names[str]) -> Layout:
    """Find the folders of official subsets: of `train` or `test` at least, in any case and with words around it.

    They hold class folders, perhaps in a folder that repeats their name, as Kaggle packs them. A folder that is one of
    the declared `classes` is a class, whatever it is called. So are all where the names may be chance. Folders of
    subsets may also be inside the class folders.
    """
    below = _folders_below(files)
    names = {top: name for top in below[""] if top not in classes and (name := named_after(top))}
    depths = {top: depth for top, name in names.items() if (depth := _depth(top, name.subset, below))}
    kinds = {names[top].subset for top in depths}
    agree = _share_classes(names, depths, below) if len(kinds) > 1 else depths and _alone(names, depths, files)
    if not agree or not kinds & {"train", "test"}:
        return Layout(inside=_subsets_inside(below))
    fewest = {kind: min(len(names[top].around) for top in depths if names[top].subset == kind) for kind in kinds}
    plainest = (top for top in depths if len(names[top].around) == fewest[names[top].subset])
    return Layout({top: (names[top].subset, depths[top]) for top in plainest})


def _folders_below(files: Files) -> "defaultdict[str, set[str]]":
    below: defaultdict[str, set[str]] = defaultdict(set)
    for folder in files.folders:
        if folder.count("/") <= 2:
            parent, _, name = folder.rpartition("/")
            below[parent].add(name)
    return below


def _subsets_inside(below: dict[str, set[str]]) -> bool:
    """Whether all folders in the class folders are of subsets."""
    inner = [{subset_named(name) for name in below[top]} for top in below[""]]
    return all(subsets and None not in subsets for subsets in inner) and {"train", "test"} <= set().union(*inner)


def _depth(top: str, subset: str, below: dict[str, set[str]]) -> int:
    """How many folders are above the class folders of a subset; 0 if it has none."""
    inner = below[top]
    again = named_after(next(iter(inner))) if len(inner) == 1 else None
    if again and again.subset == subset:
        return 2 if below[f"{top}/{next(iter(inner))}"] else 0
    return 1 if inner else 0


def _share_classes(names: dict[str, Named], depths: dict[str, int], below: dict[str, set[str]]) -> bool:
    """Whether two subsets have a class in common."""
    classes: dict[str, set[str]] = defaultdict(set)
    for top, depth in depths.items():
        inner = below[top] if depth == 1 else below[f"{top}/{next(iter(below[top]))}"]
        classes[names[top].subset] |= {name.casefold() for name in inner}
    return any(one & other for one, other in combinations(classes.values(), 2))


def _alone(names: dict[str, Named], depths: dict[str, int], files: Files) -> bool:
    """Whether the only subset with class folders is one: it repeats its name, it has a fellow of images without labels,
    or it is named plainly and no folder beside it looks like a class.
    """
    mine = [names[top] for top in depths]
    fellows = {(name.around, name.subset != one.subset) for name in names.values() for one in mine}
    if 2 in depths.values() or any((one.around, True) in fellows for one in mine):
        return True
    beside = {name.partition("/")[0] for name in files.names if name.count("/") == 1 and has_image_suffix(name)}
    return not any(one.around for one in mine) and beside <= set(names)
