"""The walls of the package: who imports what, and which steps run without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from longtail.stages import STAGES

PACKAGE = Path(__file__).parents[1] / "longtail"
WITHOUT_TORCH = ("ingest", "fetch", "split", "cluster", "quintuplets", "index", "evaluate")


def imported(file: Path) -> set[str]:
    """The top-level modules that a file imports, anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
    return {name.partition(".")[0] for name in names}


def importers(library: str) -> set[str]:
    """The files of the package that import a library."""
    return {str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if library in imported(file)}


def loaded(code: str, *libraries: str) -> list[str]:
    """Those of the libraries that a fresh interpreter has loaded after that code."""
    report = f"import sys; print(*[name for name in {libraries!r} if name in sys.modules], sep=',', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], check=True, capture_output=True, text=True)
    return [name for name in done.stderr.strip().splitlines()[-1:] if name]


@pytest.mark.parametrize("library", ["kfp", "dvc"])
def test_the_library_knows_no_orchestrator(library: str) -> None:
    assert importers(library) == set()


def test_only_tracking_and_serving_know_mlflow() -> None:
    assert {name for name in importers("mlflow") if not name.startswith("tracking/")} <= {"serving.py"}
    assert any(name.startswith("tracking/") for name in importers("mlflow"))


def test_only_export_knows_onnx() -> None:
    assert importers("onnx") | importers("onnxruntime") | importers("onnxscript") == {"inference/export.py"}


def test_only_the_page_of_labels_knows_flask() -> None:
    assert importers("flask") | importers("werkzeug") == {"labelling/server.py"}


def test_only_remote_knows_boto3() -> None:
    assert importers("boto3") | importers("botocore") == {"storage/remote.py"}


def test_only_fetch_loads_boto3() -> None:
    others = "\n".join(f"import longtail.stages.{stage}" for stage in STAGES if stage != "fetch")
    assert loaded(f"import longtail.__main__\n{others}", "boto3", "botocore") == []
    assert loaded("import longtail.stages.fetch", "boto3", "dvc", "dvc_data", "s3fs") == ["boto3"]


def test_only_the_step_that_follows_a_training_job_loads_the_kubernetes_client() -> None:
    assert importers("kubernetes") == {"train_job/cluster.py"}
    others = "\n".join(f"import longtail.stages.{stage}" for stage in STAGES)
    everything = f"import longtail.__main__, longtail.execution, pipelines.training\n{others}"
    assert loaded(f"{everything}\nimport longtail.train_job.manifest", "longtail.train_job.cluster") == []
    assert loaded("import longtail.train_job.launcher", "torch", "mlflow") == []


def test_images_hold_the_bytecode_of_every_library_that_steps_import() -> None:
    source = ast.parse((PACKAGE.parent / "docker" / "imports.py").read_text())
    named = {
        node.value.partition(".")[0]
        for node in ast.walk(source)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    # `longtail export` and `longtail label` are no steps, and run where their extras are.
    others = {PACKAGE / "inference/export.py", PACKAGE / "labelling/server.py"}
    files = [file for file in PACKAGE.rglob("*.py") if file not in others]
    libraries = set().union(*map(imported, files)) - sys.stdlib_module_names - {"longtail"}
    assert libraries - named <= {"PIL", "numpy", "pydantic", "urllib3"}  # which the others import


NAMED = {
    "__init__",
    "__main__",
    "environment",
    "errors",
    "execution",
    "parameters",
    "progress",
    "serving",
    "termination",
    "threads",
    "world",
    "wrong_values",
}


def test_only_the_named_modules_lie_loose() -> None:
    """The folder list is the table of contents."""
    assert {file.stem for file in PACKAGE.glob("*.py")} == NAMED


def source_of(module: str) -> Path | None:
    path = PACKAGE.parent.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def modules_imported(file: Path) -> set[Path]:
    """The files of the package that a file imports as it is loaded, not those inside functions."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inside = {
        node for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) for node in ast.walk(function)
    }
    found = set()
    for node in set(ast.walk(tree)) - inside:
        if isinstance(node, ast.Import):
            found |= {source for alias in node.names if (source := source_of(alias.name))}
        elif isinstance(node, ast.ImportFrom):
            # A package stands for itself where a name is none of its modules.
            sources = [source_of(f"{node.module}.{alias.name}") or source_of(node.module or "") for alias in node.names]
            found |= {source for source in sources if source}
    return found - {file}


@pytest.mark.parametrize("root", ["longtail", "experiments", "pipelines", "components", "benchmarks"])
def test_no_import_leads_back(root: str) -> None:
    imports = {file: modules_imported(file) for file in (PACKAGE.parent / root).rglob("*.py")}
    while leaves := {file for file, found in imports.items() if not found & imports.keys()}:
        imports = {file: found for file, found in imports.items() if file not in leaves}
    assert sorted(str(file.relative_to(PACKAGE.parent)) for file in imports) == []


def test_experiments_and_benchmarks_know_nothing_of_each_other() -> None:
    for one, other in (("experiments", "benchmarks"), ("benchmarks", "experiments")):
        assert not [file for file in (PACKAGE.parent / one).rglob("*.py") if other in imported(file)]


def test_no_relative_import_hides_from_these_tests() -> None:
    for file in PACKAGE.rglob("*.py"):
        nodes = ast.walk(ast.parse(file.read_text()))
        assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level], file


@pytest.mark.parametrize("stage", WITHOUT_TORCH)
def test_a_step_of_the_small_image_imports_no_torch(stage: str) -> None:
    assert loaded(f"import longtail.stages.{stage}", "torch", "torchvision", "mlflow", "safetensors.torch") == []


def test_what_takes_long_to_import_is_loaded_by_what_needs_it() -> None:
    steps = "import longtail.stages.ingest, longtail.stages.split, longtail.stages.cluster, longtail.stages.index"
    assert loaded(steps, "sklearn", "scipy.optimize", "matplotlib") == []


def test_help_is_quick() -> None:
    code = """
import sys
from longtail.__main__ import main
sys.argv = ["longtail", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code
"""
    assert loaded(code, "torch", "pandas", "numpy", "faiss", "mlflow", "sklearn", "matplotlib") == []
