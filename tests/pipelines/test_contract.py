"""A stage, its command in dvc.yaml and its section of params.yaml agree with each other."""

import importlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from longtail.artifacts.yaml_file import read_yaml
from longtail.methods.catalogue import PARTS
from longtail.parameters import PIPELINE, SHARED, read_parameters, stage_parameters
from longtail.stages import EDGE_STAGES, NAMED, STAGES
from longtail.stages.contract import artifacts, params_model
from longtail.training.declared import START, declared_trainings
from pipelines.dependencies import has_code, stage_dependencies, write_dependencies

ROOT = Path(__file__).parents[2]
PARAMS = ROOT / "params.yaml"
VALUES = read_yaml(PARAMS)
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())
# `fetch` takes the place of `ingest` where the data was made elsewhere: no step of dvc.yaml, no section by default.
LOCAL = tuple(stage for stage in STAGES if stage != "fetch")


def run_of(stage: str) -> Any:
    return importlib.import_module(f"longtail.stages.{stage}").run


def definition(stage: str) -> dict[str, Any]:
    """The stage of dvc.yaml, without the loop over the trainings or models."""
    found: dict[str, Any] = DVC["stages"][stage]
    return found.get("do", found)


def flags(stage: str) -> dict[str, str]:
    program, name, *words = shlex.split(definition(stage)["cmd"])
    assert (program, name) == ("longtail", stage)
    found = {flag.removeprefix("--"): value for flag, value in zip(words[::2], words[1::2], strict=True)}
    assert found.pop("name", None) == ("${key}" if stage in NAMED else None)
    return found


def test_dvc_runs_every_stage_but_fetch_in_order() -> None:
    assert tuple(DVC["stages"]) == LOCAL


def test_the_plot_of_the_loss_has_every_part_of_every_methods_loss() -> None:
    (curves,) = (plot for plot in DVC["plots"] if "Loss over the rounds" in plot)
    assert list(curves["Loss over the rounds"]["y"].values()) == [["loss", *PARTS]]


@pytest.mark.parametrize("stage", LOCAL)
def test_the_command_has_the_artifacts_of_run(stage: str) -> None:
    assert list(flags(stage)) == [*artifacts(run_of(stage)), "metrics"]


@pytest.mark.parametrize("stage", LOCAL)
def test_inputs_are_dependencies_and_outputs_are_outs(stage: str) -> None:
    kinds, paths = artifacts(run_of(stage)), flags(stage)
    inputs = {paths[name] for name, kind in kinds.items() if kind != "output"}
    outputs = [paths[name] for name, kind in kinds.items() if kind == "output"]
    assert {dep for dep in definition(stage)["deps"] if not dep.startswith("longtail/")} == inputs
    assert definition(stage)["outs"] == [*outputs, {paths["metrics"]: {"cache": False}}]


def test_dvc_compares_the_models_of_the_report_and_nothing_that_only_one_step_measures() -> None:
    assert DVC["metrics"] == [f"{flags('evaluate')['report']}/models"]
    assert not any("metrics" in definition(stage) for stage in LOCAL)


@pytest.mark.parametrize("stage", STAGES)
def test_run_takes_and_gives_something_by_keyword_params(stage: str) -> None:
    kinds = list(artifacts(run_of(stage)).values())
    outputs = [kind == "output" for kind in kinds]
    assert outputs == sorted(outputs)  # inputs first
    assert set(outputs) == ({True} if stage == "fetch" else {False, True})


@pytest.mark.parametrize("stage", LOCAL)
def test_the_parameters_that_a_stage_reads_are_declared(stage: str) -> None:
    """Of a training its own entry in `fits` and that of its method in the catalogue, and no other's."""
    shared = [name for name in SHARED if name in params_model(run_of(stage)).model_fields]
    found = definition(stage)["params"]
    if stage in ("fit", "train", "evaluate"):
        of_params, of_catalogue = found
        (found,) = of_params.values()
        kind = {"fit": ["${item.method.kind}"], "train": ["${train.method.kind}"], "evaluate": None}[stage]
        assert of_catalogue == {"longtail/methods/catalogue.yaml": kind}
    assert found == [*shared, f"{NAMED[stage]}.${{key}}" if stage in NAMED else stage]


@pytest.mark.parametrize("stage", LOCAL)
def test_the_defaults_are_valid_parameters(stage: str) -> None:
    model = params_model(run_of(stage))
    for name in VALUES[NAMED[stage]] if stage in NAMED else [None]:
        assert isinstance(stage_parameters(PARAMS, stage, model, name), model)


def test_every_key_of_the_parameters_is_read_by_something() -> None:
    assert set(read_parameters(PARAMS)) == {*(stage for stage in LOCAL if stage not in NAMED), *SHARED, *PIPELINE}


def test_what_the_trainings_follow_is_where_the_others_leave_it() -> None:
    trainings = declared_trainings(VALUES, "params.yaml")
    places = {
        name: flags(stage)["model"].replace("${key}", name)
        for stage, names in (("fit", trainings.fits), ("train", trainings.rounds))
        for name in names
    }
    places[START] = flags("start")["model"]
    for stage, names in (("fit", trainings.fits), ("train", trainings.rounds)):
        for name in names:
            before = flags(stage)["previous"].replace("${item.after}", trainings.after[name])
            assert before == places[trainings.after[name]]


def test_dvc_yaml_names_the_sources_that_the_imports_say(tmp_path: Path) -> None:
    """`python -m pipelines dependencies` writes them."""
    copy = Path(shutil.copy(ROOT / "dvc.yaml", tmp_path))
    write_dependencies(copy)
    assert copy.read_text(encoding="utf-8") == (ROOT / "dvc.yaml").read_text()


@pytest.mark.parametrize("stage", [*STAGES, *EDGE_STAGES])
def test_templates_are_of_the_stages_that_write_a_page(stage: str) -> None:
    """An edit of one changes the page, and nothing else."""
    names = [Path(name) for name in stage_dependencies(stage)]
    template = Path("longtail/report/templates/edges.html")
    assert sum(template.is_relative_to(name) for name in names) == (stage in ("evaluate", "score"))


@pytest.mark.parametrize("stage", LOCAL)
def test_whatever_a_stage_loads_is_among_its_dependencies(stage: str) -> None:
    loaded = "print(*(module.__file__ for name, module in sys.modules.items() if name.startswith('longtail.')))"
    code = f"import sys, longtail.stages.{stage}; {loaded}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [Path(name).relative_to(ROOT) for name in done.stdout.split() if has_code(Path(name))]
    seen = [file for file in files if file.parts[1] != "tracking"]
    assert [str(f) for f in seen if not any(f.is_relative_to(dep) for dep in definition(stage)["deps"])] == []


def test_bytecode_in_a_folder_that_a_stage_depends_on_is_no_change() -> None:
    """Python writes it while the stage runs, so a second `dvc repro` would run everything again."""
    assert "__pycache__/" in (ROOT / ".dvcignore").read_text().splitlines()
