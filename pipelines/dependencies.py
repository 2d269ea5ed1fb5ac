"""Which source files each stage runs, read from the imports, and written into dvc.yaml.

    python -m pipelines dependencies

A stage depends on what its module imports, anywhere in it, and on what that imports. A training depends on its method's
folder by a template, since params.yaml names the method, and on what methods import beside their own folders.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from longtail.methods.catalogue import CATALOGUE, PARTS

ROOT = Path(__file__).parents[1]
# Tracking and serving watch a step and change nothing of what it writes.
WATCHERS = ("longtail.tracking", "longtail.serving")


RULES = Path("longtail/rules")
# Which stages load rules by name: every file of that folder may be one.
RULES_OF = dict.fromkeys(
    ("index", "evaluate", "detect"), tuple(f"longtail.rules.{file.stem}" for file in (ROOT / RULES).glob("*.py"))
)
# What a page is rendered from, which no import names.
PAGE, TEMPLATES = Path("longtail/report/page.py"), Path("longtail/report/templates")
# Where params.yaml names the method of a training.
METHOD_OF = {"fit": "${item.method.kind}", "train": "${train.method.kind}"}


def stage_dependencies(stage: str) -> list[str]:
    """The files of the package that a stage runs, sorted; a folder that it runs whole stands for its files.

    Only the method's own folder, and the rules by which trainings are scored or models answer, are loaded by name. So
    are the templates, all of which are of a stage that writes a page.
    """
    if stage in METHOD_OF:
        kinds = [kind for kind, entry in CATALOGUE.items() if stage == "train" or not entry.needs_table]
        methods = [f"longtail.methods.{kind}" for kind in kinds]
        rules = {CATALOGUE[kind].rule for kind in kinds}
        files = imported_files(f"longtail.stages.{stage}", *methods, *(f"longtail.rules.{rule}" for rule in rules))
        own = [Path(*method.split(".")) for method in methods]
        shared = {file for file in files if not any(file.is_relative_to(folder) for folder in own)}
        return sorted([*_folders(shared), f"longtail/methods/{METHOD_OF[stage]}"])
    files = imported_files(f"longtail.stages.{stage}", *RULES_OF.get(stage, ()))
    # As a folder: a new rule is in it, and changes no line of dvc.yaml.
    found = _folders(files | (set(_sources_below(RULES)) if stage in RULES_OF else set()))
    among = any(TEMPLATES.is_relative_to(path) for path in found)
    return sorted([*found, TEMPLATES.as_posix()]) if PAGE in files and not among else found


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
    """Replace the source files among every stage's `deps` and the parts of the loss in the plot; leave the rest."""
    lines: list[str] = []
    stage = ""
    for line in dvc_yaml.read_text(encoding="utf-8").splitlines():
        heading = re.fullmatch(r"  (\w+):", line)
        stage = heading[1] if heading else stage
        if re.match(r" +- longtail/", line):
            continue
        if parameters := re.fullmatch(r"( +)params:.*", line):
            lines += [f"{parameters[1]}  - {path}" for path in stage_dependencies(stage)]
        loss = re.fullmatch(r"( +y: .*/loss.csv: ).*", line)
        lines.append(f"{loss[1]}[{', '.join(['loss', *PARTS])}]}}" if loss else line)
    dvc_yaml.write_text("\n".join(lines) + "\n", encoding="utf-8")
