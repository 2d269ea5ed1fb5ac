"""SILKNOW's label tables as published with its image-centred multimodal task, and images where a user has them."""

from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from longtail.data.preprocessing import Fit
from longtail.errors import DataError
from longtail.sources.classes import found_classes, make_task, without_empty_classes
from longtail.sources.collection import Collection, Request, Source
from longtail.sources.files import open_files
from longtail.sources.lookup import around
from longtail.sources.quoting import shown
from longtail.sources.silknow_tables import IMAGE, RECORD, Collected, read_tables
from longtail.sources.spool import blocks, spool_files


class SilkNow(Source):
    """SILKNOW: the label tables in a folder, zip or tar at `path`, and the `images`, which are not published with them.

    Every variable of the tables, as place or timespan, is a task; `nan` is a missing label. The images of a record are
    a group. A row's image is the file of its name in `images`; what no row names is passed over. With `official` the
    three master files are the subsets; without, the split draws them. Both paths are relative to the data.
    """

    kind: Literal["silknow"]
    path: str = "."
    images: str | None = Field(None, description="a folder, zip or tar")
    official: bool = True
    fit: Fit = "stretch"
    licence: str = Field(
        "tables: BSD 3-Clause, LUH; images: see each museum", description="of the images; the report and MLflow show it"
    )

    def load(self, root: Path, request: Request) -> Collection:
        """See `Source.load`."""
        tables = read_tables(root / self.path, request)
        rows = pd.concat([self._samples(table) for table in tables], ignore_index=True)
        variables = tables[0].variables
        tasks = [make_task(name, found_classes(rows[name].dropna(), f"column {name!r}")) for name in variables]
        if self.images is None:
            request.problems.stop_before_decoding()
            raise DataError(_without_images(tables, rows))
        files = around(open_files(root / self.images, request), rows["id"])
        files.report_faults(request.problems)
        found = [table.rows.find_files(IMAGE, "", files, ["*"]) for table in tables]
        places = [table.place(line) for table, names in zip(tables, found, strict=True) for line in names.index]
        names = [name for of_table in found for name in of_table]
        _check_once(names, places)
        samples = pd.concat([self._samples(table) for table in tables], ignore_index=True).assign(source=names)
        where = [f"{place}: {files.path}/{name}" for place, name in zip(places, names, strict=True)]
        pixels, good = spool_files(files, names, where, request, self.fit)
        samples = samples[good]
        tasks = [
            without_empty_classes(samples, task, f"SILKNOW, column {task.name!r}", request.problems) for task in tasks
        ]
        provenance = f"SILKNOW, {len(samples)} images of {samples['group'].nunique()} records"
        return Collection(samples, tasks, blocks(pixels, good), provenance, self.licence, fit=self.fit)

    def _samples(self, table: Collected) -> pd.DataFrame:
        left = table.rows.left
        labels = {name: left[name] for name in table.variables}
        subset = table.subset if self.official else None
        return pd.DataFrame({"id": left[IMAGE], "group": left[RECORD], "subset": subset, **labels}, dtype=object)


def _check_once(names: list[str], places: list[str]) -> None:
    """Raise DataError if an image is in two tables."""
    first: dict[str, str] = {}
    for name, place in zip(names, places, strict=True):
        if first.setdefault(name, place) != place:
            raise DataError(f"{shown(name)!r} is in two tables ({first[name]}, and {place}); take it out of one")


def _without_images(tables: list[Collected], rows: pd.DataFrame) -> str:
    """What the tables hold, and how to add the images."""
    of_subset = ", ".join(f"{len(table.rows.left):,} of {table.subset}" for table in tables)
    missing = ", ".join(f"{name} {rows[name].isna().mean():.1%}" for name in tables[0].variables)
    return (
        f"SILKNOW's tables have {len(rows):,} rows of {rows['group'].nunique():,} records ({of_subset}; without a "
        f"label: {missing}) and no images; name with `images` the folder, zip or tar of files such as "
        f"{shown(rows['id'].iloc[0] if len(rows) else '<museum>__<record>__<image>.jpg')!r}"
    )
