"""From params.yaml to the pipeline's arguments: what a step reads of them is what it reads of params.yaml."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from workspace import merged

from longtail.artifacts.yaml_file import read_yaml
from longtail.parameters import marked, stage_parameters, unmarked
from longtail.stages import NAMED
from longtail.stages.contract import params_model
from pipelines.arguments import sections

ROOT = Path(__file__).parents[2]
CLASSES = {
    "split": {"classes": {"digit": [0, 1, 7, True, "08", 1.5]}},
}
MACHINES = {
    "quintuplets": {"device": "cpu", "memory": 2**21},
    "score": {"processes": 3},
    "train": {"optimisation": {"checkpoint_every": 300}},
}


def through_kfp(section: dict[str, Any]) -> dict[str, Any]:
    """As a component gets it: kfp knows no null, and of numbers only fractions."""
    message = json_format.ParseDict(marked(section), Struct())
    return dict(unmarked(json_format.MessageToDict(message)))


def changed(folder: Path, file: str, changes: dict[str, Any]) -> Path:
    values = read_yaml(ROOT / file)
    known = {name: section for name, section in changes.items() if name in values}
    (folder / "params.yaml").write_text(yaml.safe_dump(merged(values, known)))
    return folder / "params.yaml"


@pytest.mark.parametrize("file", ["params.yaml", "examples/edges/params.yaml"])
@pytest.mark.parametrize("changes", [{}, CLASSES, MACHINES], ids=["as they are", "classes", "machines"])
def test_a_step_understands_its_argument_as_its_section(tmp_path: Path, file: str, changes: dict[str, Any]) -> None:
    params = changed(tmp_path, file, changes)
    for name, section in sections(params).items():
        stage, _, training = name.partition("_")
        model = params_model(importlib.import_module(f"longtail.stages.{stage}").run)
        expected = stage_parameters(params, stage, model, training if stage in NAMED else None)
        assert model.model_validate(through_kfp(section)) == expected, name


def test_a_class_that_is_called_a_number_is_a_text_in_the_arguments(tmp_path: Path) -> None:
    params = changed(tmp_path, "params.yaml", CLASSES)
    assert sections(params)["split"]["classes"] == {"digit": ["0", "1", "7", "True", "08", "1.5"]}


def test_what_changes_no_result_is_in_the_arguments_too(tmp_path: Path) -> None:
    found = sections(changed(tmp_path, "examples/edges/params.yaml", MACHINES))
    assert found["quintuplets"]["device"] == "cpu"
    assert found["quintuplets"]["memory"] == 2**21
    assert found["score"]["processes"] == 3
    assert found["train"]["optimisation"]["checkpoint_every"] == 300
    assert found["train"]["optimisation"]["iterations"] == 2000
