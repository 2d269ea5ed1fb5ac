"""What people call the official subsets, and where a folder of folders has them."""

import re
from collections import defaultdict
from collections.abc import Collection as Names
from dataclasses import dataclass, field
from pathlib import PurePosixPath

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


def subset_in(name: str) -> tuple[str, int] | None:
    """The one official subset that a name speaks of, and in how many words besides: `seg_train`, `TestImages`."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+", name)]
    found = [WORDS[word] for word in words if word in WORDS]
    return (found[0], len(words) - 1) if len(found) == 1 else None


def subset_of_shard(name: str) -> str | None:
    """The official subset of `data/train-00000-of-00002.parquet`, as Hugging Face's `datasets` names its files."""
    split = re.fullmatch(r"(.+)-\d{5}-of-\d{5}", PurePosixPath(name).stem)
    return subset_named(split[1]) if split else None


@dataclass(frozen=True)
class Layout:
    """For each folder of an official subset its subset and how many folders are above its class folders; empty if the
    class folders are at the top.
    """

    subsets: dict[str, tuple[str, int]] = field(default_factory=dict)

    def place(self, folders: list[str]) -> tuple[str | None, str | None]:
        """The official subset and the class folder of what is in these folders, from the top; None: there is none."""
        if not self.subsets:
            return None, folders[0] if folders else None
        subset, depth = self.subsets.get(folders[0] if folders else "", (None, 0))
        return subset, folders[depth] if subset and len(folders) > depth else None


def layout(files: Files, classes: Names[str]) -> Layout:
    """Find the folders of official subsets: of `train` or `test` at least, in any case and with words around it.

    They hold class folders, perhaps in a folder that repeats their name, as Kaggle packs them. A folder that is one of
    the declared `classes` is a class, whatever it is called. So are all where the names are chance: if two such
    folders share no class, or if only one has such a name and images lie directly in the folders beside it.
    """
    below = _folders_below(files)
    found: dict[str, tuple[str, int, int]] = {}
    for top in below[""]:
        name = subset_in(top)
        if name and top not in classes and (inner := below[top]):
            doubled = len(inner) == 1 and (subset_in(next(iter(inner))) or (None,))[0] == name[0]
            found[top] = (*name, 2 if doubled and below[f"{top}/{next(iter(inner))}"] else 1)
    kinds = {subset for subset, _, _ in found.values()}
    if not kinds & {"train", "test"} or not (_share_classes(found, below) if len(kinds) > 1 else _alone(found, files)):
        return Layout()
    fewest = {kind: min(words for subset, words, _ in found.values() if subset == kind) for kind in kinds}
    return Layout({top: (kind, depth) for top, (kind, words, depth) in found.items() if words == fewest[kind]})


def _folders_below(files: Files) -> "defaultdict[str, set[str]]":
    below: defaultdict[str, set[str]] = defaultdict(set)
    for folder in files.folders:
        if folder.count("/") <= 2:
            parent, _, name = folder.rpartition("/")
            below[parent].add(name)
    return below


def _share_classes(found: dict[str, tuple[str, int, int]], below: dict[str, set[str]]) -> bool:
    classes: dict[str, set[str]] = defaultdict(set)
    for top, (subset, _, depth) in found.items():
        inner = below[top] if depth == 1 else below[f"{top}/{next(iter(below[top]))}"]
        classes[subset] |= {name.casefold() for name in inner}
    every = list(classes.values())
    return any(one & other for i, one in enumerate(every) for other in every[i + 1 :])


def _alone(found: dict[str, tuple[str, int, int]], files: Files) -> bool:
    """Whether the only subset with class folders is named plainly, and what is beside it does not look like classes."""
    tops = [folder for folder in files.folders if "/" not in folder]
    if any(words for _, words, _ in found.values()):
        return False
    if len({subset_named(top) for top in tops} - {None}) > 1:  # another one, of images without labels
        return True
    beside = (name.split("/") for name in files.names if name.count("/") == 1 and has_image_suffix(name))
    return all(subset_in(folder) for folder, _ in beside)
