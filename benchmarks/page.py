"""docs/benchmarks.md, made from the results."""

from pathlib import Path

from benchmarks.table import RESULTS, Aim, Table, markdown_rows, read

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
TABLES = (
    "quintuplets",
    "growth",
    "kmeans",
    "knn",
    "many_classes",
    "training_step",
    "rectification",
    "similarity",
    "granularity",
    "domains",
    "edges",
    "edge_steps",
    "pooling",
    "data_path",
    "ingest",
    "storage",
    "whole",
    "gpu",
    "gpu_tables",
)
LARGE = (
    "quintuplets",
    "growth",
    "kmeans",
    "knn",
    "training_step",
    "granularity",
    "edge_steps",
    "storage",
    "whole",
    "gpu",
    "gpu_tables",
)
HEAD = """# Benchmarks

Written by `make bench` (`make bench FULL=1`: the large sizes too) from the files in `benchmarks/results`; nothing here
is written by hand. The sides of a comparison take turns; a ratio with a range is the median over the pairs, with the
lowest and the highest; a figure without one was measured once. Times are for one machine, ratios travel better.
The photographs of the data path are crops of two that scikit-learn has or, where LONGTAIL_CLOTHING names the
directory of `clothing112.zip`, those. The steps of edges need LONGTAIL_BSDS500, the archive of BSDS500.
"""


def page() -> str:
    """The whole page: the aims, then table after table."""
    found = {name: read(file) for table in TABLES for name, file in _files(table)}
    aims = [[aim.what, aim.goal, aim.measured, "met" if aim.met else "**missed**"] for aim in _aims(found)]
    missed = [f"- **{aim.what}**: {aim.reason}" for aim in _aims(found) if not aim.met]
    parts = [HEAD, "## Aims\n", *markdown_rows(["what", "goal", "measured", ""], aims), ""]
    if missed:
        parts += ["Why some are missed:", "", *missed, ""]
    missing = [f"- {command}" for name, command in _commands() if name not in found]
    if missing:
        parts += ["Not measured yet; the commands are ready (those on a GPU need one):", "", *missing, ""]
    quick = sum(table.minutes for name, table in found.items() if not name.endswith("-full"))
    parts += [f"`make bench` took {quick:.1f} minutes.\n"]
    return "\n".join([*parts, *(_section(name, table) for name, table in found.items())])


def _commands() -> list[tuple[str, str]]:
    quick = [(table, f"`python -m benchmarks.{table}`") for table in TABLES]
    return quick + [(f"{table}-full", f"`python -m benchmarks.{table} --full`") for table in LARGE]


def _files(table: str) -> list[tuple[str, Path]]:
    return [(name, file) for name in (table, f"{table}-full") if (file := RESULTS / f"{name}.json").is_file()]


def _aims(found: dict[str, Table]) -> list[Aim]:
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
    return "\n".join([*lines, f"Machine: {about}. Code: {table.code}; {table.minutes} minutes.\n"])
