"""A walk over folders that ends: each is read once, whatever leads to it, and only regular files are files."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from longtail.sources.quoting import printable

# What systems and NAS put beside people's files, in lower case.
LITTER = {
    *("__macosx", "icon\r", "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini", "system volume information"),
    *("$recycle.bin", "#recycle", "@recycle", "@eadir", "@__thumb", "@tmp", "#snapshot"),
}


class Entry(NamedTuple):
    """Something in a folder. `key` is where a file or a folder is really, or else why the entry is neither."""

    name: str
    kind: Literal["file", "folder", "link to a folder", "fault"]
    key: str


@dataclass
class Listing:
    """What a walk finds, by its path relative to the start: the keys of files, the folders, and what is neither."""

    files: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)


Children = Callable[[str], Iterable[Entry]]


def walk(start: str, children: Children) -> Listing:
    """List all below the folder with the key `start`. Hidden entries and litter are passed over.

    Keys are paths with "/" that hold no link. A link to a folder is followed if nothing else leads there: real folders
    come first, then links in the order of their depth and name. Any other, and one to a folder above, is a fault.
    """
    listing = Listing()
    read_as = {start: ""} | {str(above): "" for above in PurePosixPath(start).parents}
    pending = deque([("", start)])
    links: deque[tuple[str, str]] = deque()
    while pending or links:
        if not pending:
            name, key = links.popleft()
            _enter(name, key, read_as, pending, listing)
            continue
        folder, key = pending.popleft()
        for entry in sorted(_listed(children, folder, key, listing)):
            name = folder + printable(entry.name)
            if is_hidden(entry.name):
                continue
            if name in listing.files or name in listing.faults:
                listing.faults[f"{name} (again)"] = "two entries of one name"
            elif entry.kind == "file":
                listing.files[name] = entry.key
            elif entry.kind == "folder":
                _enter(name, entry.key, read_as, pending, listing)
            elif entry.kind == "link to a folder":
                links.append((name, entry.key))
            else:
                listing.faults[name] = entry.key
    return listing


def is_hidden(name: str) -> bool:
    """Whether an entry of a folder is hidden, or litter of a system."""
    return name.startswith(".") or name.lower() in LITTER


def _enter(name: str, key: str, read_as: dict[str, str], pending: deque[tuple[str, str]], listing: Listing) -> None:
    if key in read_as:
        there = f"{read_as[key]!r}, which is read already" if read_as[key] else "a folder above"
        listing.faults[name] = f"a link to {there}"
        return
    read_as[key] = name
    listing.folders.append(name)
    pending.append((f"{name}/", key))


def _listed(children: Children, folder: str, key: str, listing: Listing) -> list[Entry]:
    try:
        return list(children(key))
    except OSError as error:
        listing.faults[folder.rstrip("/") or "."] = f"a folder that cannot be listed: {error.strerror}"
        return []
