"""The members of an archive as a tree: names as people mean them, links resolved inside the archive."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from longtail.sources.quoting import shown
from longtail.sources.tree import Entry

LINKS = 40  # that lead on to each other; Linux gives up there, too


@dataclass
class Members:
    """Files, links with their targets, and what is neither with the reason, by path; folders with their entries.

    `outside` are members that have no place in the tree, by name.
    """

    files: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    folders: dict[str, set[str]] = field(default_factory=lambda: {"": set()})
    outside: dict[str, str] = field(default_factory=dict)

    def add_folder(self, raw: str) -> None:
        """List a folder by its name in the archive, and the folders that it is in."""
        path = self._place(raw)
        if path is not None:
            self._enter(path)

    def add(self, raw: str, *, link: str | None = None, fault: str = "") -> str | None:
        """List a file, a link by its target, or else what the member is, and return its path.

        None if its name leads out of the archive. A backslash is a slash, as Windows writes it; an absolute name begins
        at the archive's root. Of two members of one name the last is read, as when an archive is unpacked.
        """
        path = self._place(raw)
        if not path:
            return None
        parent, _, name = path.rpartition("/")
        self._enter(parent)
        if path in self.files or path in self.links:
            self.outside[f"{path} (again)"] = "two members of one name; the last is read"
            self.files.discard(path)
            self.links.pop(path, None)
        self.folders[parent].add(name)
        if link is not None:
            self.links[path] = link
        elif fault:
            self.faults[path] = fault
        else:
            self.files.add(path)
        return path

    def children(self, folder: str) -> Iterator[Entry]:
        """The entries of a folder, whose key is "/" and its path."""
        for name in self.folders[folder.strip("/")]:
            path = f"{folder.strip('/')}/{name}".lstrip("/")
            target = self.resolve(path) if path in self.links else path
            if path in self.folders:
                yield Entry(name, "folder", f"/{path}")
                if path in self.files or path in self.links:
                    yield Entry(f"{name} (again)", "fault", "a file or a link, beside a folder of that name")
            elif path in self.faults:
                yield Entry(name, "fault", self.faults[path])
            elif target in self.files:
                yield Entry(name, "file", target)
            elif target in self.folders:
                yield Entry(name, "link to a folder", f"/{target}")
            else:
                yield Entry(name, "fault", f"a link to {shown(self.links[path])!r}, which is no file in the archive")

    def resolve(self, path: str) -> str | None:
        """The path without `.`, `..` and links; None if it leads out of the archive or round in a circle."""
        ahead, done, hops = path.split("/")[::-1], "", 0
        while ahead:
            part = ahead.pop()
            here = f"{done}/{part}" if done else part
            if part == "..":
                if not done:
                    return None
                done = done.rpartition("/")[0]
            elif here in self.links:
                hops += 1
                if hops > LINKS:
                    return None
                target = self.links[here].replace("\\", "/")
                done = "" if target.startswith("/") else done
                ahead += target.split("/")[::-1]
            elif part not in ("", "."):
                done = here
        return done

    def _place(self, raw: str) -> str | None:
        done: list[str] = []
        for part in re.sub(r"^[A-Za-z]:(?=/)", "", raw.replace("\\", "/")).split("/"):
            if part == "..":
                if not done:
                    self.outside[raw] = "its name leads out of the archive"
                    return None
                done.pop()
            elif part not in ("", "."):
                done.append(part)
        return "/".join(done)

    def _enter(self, path: str) -> None:
        missing = []
        while path not in self.folders:
            missing.append(path)
            path = path.rpartition("/")[0]
        for folder in reversed(missing):
            parent, _, name = folder.rpartition("/")
            self.folders[folder] = set()
            self.folders[parent].add(name)
