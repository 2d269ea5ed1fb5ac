"""What an experiment's YAML declares: its cells, their parameters, equal budgets, and its mistakes in one sentence."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from experiments.matrix import Matrix, Method, merge, read_matrix
from longtail.errors import DataError
from longtail.stages import train

OPTIMISATION = {"image_passes": 100}
MATRIX: dict[str, Any] = {
    "title": "A test",
    "seeds": [3, 4],
    "rounds": 2,
    "baseline": "softmax",
    "base": {
        "cluster_size": 7,
        "ingest": {"source": {"kind": "digits"}, "image_shape": [28, 28, 1]},
        "quintuplets": {"pool_fraction": 0.5},
        "split": {"imbalance": {"kind": "gaussian", "removed": 0.4}},
        "start": {"optimisation": OPTIMISATION},
        "train": {
            "method": {"kind": "lmle", "margins": {"g1": 0, "g2": 0, "g3": 1}},
            "patience": 9,
            "optimisation": OPTIMISATION,
        },
    },
    "settings": {"none": {"split": {"imbalance": {"kind": "none"}}}, "some": {}},
    "methods": {
        "softmax": {"rounds": 0, "classifiers": ["head"], "change": {"start": {"optimisation": {"image_passes": 300}}}},
        "triplet": {"change": {"train": {"method": {"kind": "triplet"}}}},
    },
}


def test_a_cell_is_a_method_in_a_setting_with_a_seed() -> None:
    cells = Matrix.model_validate(MATRIX).cells()
    names = [f"{m}, {s}, seed {seed}" for seed in (3, 4) for s in ("none", "some") for m in ("softmax", "triplet")]
    assert [cell.name for cell in cells] == names
    assert [cell.rounds for cell in cells[:2]] == [0, 2]
    assert cells[0].sections["start"]["optimisation"] == {"image_passes": 300}
    assert cells[0].sections["split"] == {"imbalance": {"kind": "none"}}
    params = cells[3].params("train", train.Params, "a test")
    assert (params.method.kind, params.cluster_size, params.seed) == ("triplet", 7, 3)


def test_a_method_without_rounds_has_the_budget_of_fit_and_a_head() -> None:
    values = MATRIX | {"seeds": [3], "methods": {"softmax": MATRIX["methods"]["softmax"], "crl": {"trained_by": "fit"}}}
    with pytest.raises(ValidationError, match="say image_passes in the optimisation of fit"):
        Matrix.model_validate(values)
    fit = {"fit": {"optimisation": {"image_passes": 300}}}
    cell = Matrix.model_validate(values | {"base": values["base"] | fit}).cells()[1]
    assert (cell.trained_by, cell.rounds, cell.budget()) == ("fit", 0, 300)
    cell.check(["head", "cluster_wise"])
    with pytest.raises(ValidationError, match="differ in image passes"):
        Matrix.model_validate(values | {"base": values["base"] | {"fit": {"optimisation": {"image_passes": 299}}}})
    with pytest.raises(ValidationError, match="`fit` trains without rounds"):
        Method(trained_by="fit", rounds=2)


def test_another_kind_takes_the_place_of_the_whole_section() -> None:
    assert merge({"a": {"kind": "x", "b": 1}, "c": {"d": 1}}, {"a": {"kind": "y"}, "c": {"e": 2}}) == {
        "a": {"kind": "y"},
        "c": {"d": 1, "e": 2},
    }
    assert merge({"a": {"kind": "x", "b": 1}}, {"a": {"kind": "x", "c": 2}}) == {"a": {"kind": "x", "b": 1, "c": 2}}


def test_a_classifier_that_is_not_trained_is_refused_before_anything_runs() -> None:
    cells = Matrix.model_validate(MATRIX).cells()
    with pytest.raises(DataError, match="triplet trains no classifier"):
        next(cell for cell in cells if cell.method == "triplet").check(["cluster_wise", "head"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"baseline": "lmle"}, "the baseline 'lmle' is none of the methods"),
        ({"paper": {"triplet": {"90 %": 1.0}}}, "['90 %'] are no settings"),
        ({"rounds": 3}, "the cells differ in image passes"),
        ({"base": merge(MATRIX["base"], {"train": {"patience": 1}})}, "set train.patience to 2, or rounds are skipped"),
        ({"seeds": [1, 1]}, "a seed stands twice"),
        ({"base": {"train": {}}}, "say image_passes"),
        ({"base": {**MATRIX["base"], "trian": {}}}, "['trian'] are neither stages nor shared parameters"),
        ({"seed": 3}, "seed: Extra inputs"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(MATRIX | change))
    with pytest.raises(DataError) as error:
        read_matrix(file)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", sorted(Path("experiments").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_experiment_of_the_repository_declares_valid_cells(file: Path) -> None:
    for cell in read_matrix(file).cells():
        cell.check(read_matrix(file).methods[cell.method].classifiers)


def test_an_experiment_begins_with_the_base_and_has_the_methods_of_another(tmp_path: Path) -> None:
    other, file = tmp_path / "other.yaml", tmp_path / "this.yaml"
    other.write_text(yaml.safe_dump(MATRIX))
    own = {"cluster_size": 9}
    values = MATRIX | {"extends": str(other), "base": own, "methods": str(other)}
    file.write_text(yaml.safe_dump(values))
    found = read_matrix(file)
    assert found.base == MATRIX["base"] | own
    assert found.methods == Matrix.model_validate(MATRIX).methods
    third = tmp_path / "third.yaml"
    third.write_text(yaml.safe_dump(values | {"extends": str(file), "base": {}}))
    assert read_matrix(third).base == found.base
    file.write_text(yaml.safe_dump(values | {"methods": "nothing"}))
    with pytest.raises(DataError, match="cannot read the experiment"):
        read_matrix(file)
    file.write_text(yaml.safe_dump(values | {"methods": str(third)}))
    with pytest.raises(DataError, match="takes from itself"):
        read_matrix(file)
    other.write_text(yaml.safe_dump({"methods": ["softmax"]}))
    for changed, section in (({"extends": str(other), "methods": {}}, "base"), ({"methods": str(other)}, "methods")):
        file.write_text(yaml.safe_dump(MATRIX | changed))
        with pytest.raises(DataError, match=f"takes `{section}` from .*which has none"):
            read_matrix(file)
