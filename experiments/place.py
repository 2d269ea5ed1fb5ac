"""Where an experiment works, and which of its cells are done."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from experiments.matrix import Cell


@dataclass(frozen=True)
class Place:
    """Where an experiment works: `data`, an absolute path, has what its sources read; below `root` are the steps, which
    experiments share, and a directory for each.
    """

    data: Path
    root: Path
    name: str

    @property
    def steps(self) -> Path:
        """The directory of the steps' outputs: one for each directory of data."""
        return self.root / "steps" / hashlib.sha256(str(self.data).encode()).hexdigest()[:8]

    @property
    def work(self) -> Path:
        """The experiment's own directory."""
        return self.root / self.name

    def result(self, cell: Cell) -> Path:
        """The directory of a cell's result."""
        return self.work / "cells" / cell.folder

    def log(self, cell: Cell) -> Path:
        """What a cell's process said."""
        return self.work / "logs" / cell.folder.with_suffix(".log")

    def done(self, cell: Cell) -> dict[str, Any] | None:
        """The result of a cell that has run with these very parameters, or None."""
        try:
            found: dict[str, Any] = json.loads((self.result(cell) / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        try:
            same = Cell.model_validate(found.get("cell")) == cell and found.get("data") == str(self.data)
        except ValidationError:  # of another version of the harness
            return None
        return found if same else None
