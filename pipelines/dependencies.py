"""Which source files each stage runs, read from the imports, and written into dvc.yaml.

    python -m pipelines dependencies

A stage depends on what its module imports, anywhere in it, and on what that imports. A training names its method in
params.yaml: it depends on that method's folder, by a template, and on what methods import beside their own folder.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Tracking and serving watch a step and change nothing of what it writes.
WATCHERS = ("longtail.tracking", "longtail.serving")


def stage_dependencies(stage: str) -> list[str]:
    """The files of the package that a stage runs, sorted; a folder that it runs whole stands for its files."""
    return _folders(imported_files(f"longtail.stages.{stage}"))


def imported_files(*modules: str) -> set[Path]:
    """The files of these modules and of all that they import, relative to the repository."""
    waiting = [file for module in modules for file in _sources(module)]
    seen: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += [source for name in _imported(file) for source in _sources(name)]
    return {file.relative_to(ROOT) for file in seen}


def _imported(file: Path) -> set[str]:
    """The package's modules that a file imports, anywhere in it; watchers left out."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.startswith("longtail.") and not name.startswith(WATCHERS)}


def _sources(module: str) -> Iterator[Path]:
    """The file of a module, and those of the packages that importing it runs; none if it is a name in a module."""
    path = ROOT.joinpath(*module.split("."))
    file = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
    if file is not None:
        yield file
        yield from (package / "__init__.py" for package in path.parents if has_code(package / "__init__.py"))


def has_code(file: Path) -> bool:
    """Whether there is more in the file than its docstring."""
    return file.is_file() and any(
        not isinstance(node, ast.Expr) for node in ast.parse(file.read_text(encoding="utf-8")).body
    )


def _folders(files: set[Path]) -> list[str]:
    """The files, or in place of all files of a folder the folder."""
    whole = {
        folder
        for file in files
        for folder in file.parents
        if len(folder.parts) > 1 and set(_sources_below(folder)) <= files
    }
    kept = {file for file in files if not whole & set(file.parents)}
    kept |= {folder for folder in whole if not whole & set(folder.parents)}
    return sorted(path.as_posix() for path in kept)


def _sources_below(folder: Path) -> Iterator[Path]:
    return (file.relative_to(ROOT) for file in (ROOT / folder).rglob("*.py") if has_code(file))


def write_dependencies(dvc_yaml: Path) -> None:
    """Replace the source files among every stage's `deps`, and leave the rest of the file as it is."""
    lines: list[str] = []
    stage = ""
    for line in dvc_yaml.read_text(encoding="utf-8").splitlines():
        heading = re.fullmatch(r"  (\w+):", line)
        stage = heading[1] if heading else stage
        if re.match(r" +- longtail/", line):
            continue
        if re.fullmatch(r" +params:.*", line) and lines:
            indent = re.match(r" +", line)
            lines += [f"{indent[0] if indent else ''}  - {path}" for path in stage_dependencies(stage)]
        lines.append(line)
    dvc_yaml.write_text("\n".join(lines) + "\n", encoding="utf-8")
