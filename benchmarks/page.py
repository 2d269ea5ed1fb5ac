"""docs/benchmarks.md, made from the results."""

from pathlib import Path

from benchmarks.table import RESULTS, Table, markdown_rows, read

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
TABLES = (
    "quintuplets",
    "growth",
    "kmeans",
    "knn",
    "training_step",
    "data_path",
    "ingest",
    "whole",
    "gpu",
    "gpu_tables",
)
HEAD = """# Benchmarks

Written by `make bench` (`make bench FULL=1`: the large sizes too) from the files in `benchmarks/results`; nothing here
is written by hand. Both sides of a comparison run in one process and take turns; a ratio is the median over the pairs,
with the lowest and the highest. Times are for one machine, ratios travel better.
"""


def page() -> str:
    """The whole page: the aims, then table after table."""
    found = {name: read(file) for table in TABLES for name, file in _files(table)}
    aims = [[aim.what, aim.goal, aim.measured, "met" if aim.met else "**missed**"] for aim in _aims(found)]
    missed = [f"- **{aim.what}**: {aim.reason}" for aim in _aims(found) if not aim.met]
    parts = [HEAD, "## Aims\n", *markdown_rows(["what", "goal", "measured", ""], aims), ""]
    if missed:
        parts += ["Why some are missed:", "", *missed, ""]
    missing = [
        f"- `python -m benchmarks.{table}`"
        for table in TABLES
        if not any(n.removesuffix("-full") == table for n in found)
    ]
    if missing:
        parts += ["Not measured, for want of the machine; the commands are ready:", "", *missing, ""]
    return "\n".join([*parts, *(_section(name, table) for name, table in found.items())])


def _files(table: str) -> list[tuple[str, Path]]:
    return [(name, file) for name in (table, f"{table}-full") if (file := RESULTS / f"{name}.json").is_file()]


def _aims(found: dict[str, Table]) -> list:  # type: ignore[type-arg]
    return [aim for table in found.values() for aim in table.aims]


def _section(name: str, table: Table) -> str:
    module, full = name.removesuffix("-full"), " --full" if name.endswith("-full") else ""
    settings = "; ".join(f"{key} {value}" for key, value in table.settings.items())
    about = ", ".join(f"{key} {value}" for key, value in table.machine.items())
    lines = [f"## {table.title}\n", f"`python -m benchmarks.{module}{full}`. {table.about}\n"]
    lines += [table.markdown(), ""]
    if table.figure:
        lines += [f"![{table.title}]({table.figure})\n"]
    lines += [f"Settings: {settings}.\n"] if settings else []
    return "\n".join([*lines, f"Machine: {about}.\n"])
