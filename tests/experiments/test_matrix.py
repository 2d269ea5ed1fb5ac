"""What an experiment's YAML declares: its cells, their parameters, equal budgets, and its mistakes in one sentence."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from experiments.matrix import Cell, Matrix, merge, read_matrix
from longtail.errors import DataError
from longtail.methods.catalogue import CATALOGUE
from longtail.parameters import read_parameters

OPTIMISATION = {"image_passes": 100}
MATRIX: dict[str, Any] = {
    "title": "A test",
    "seeds": [3, 4],
    "baseline": "softmax",
    "base": {
        "cluster_size": 7,
        "ingest": {"source": {"kind": "digits"}, "image_shape": [28, 28, 1]},
        "quintuplets": {"pool_fraction": 0.5},
        "split": {"imbalance": {"kind": "gaussian", "removed": 0.4}},
        "fits": {
            "softmax": {"after": "start", "optimisation": OPTIMISATION},
            "crl": {
                "after": "start",
                "method": {"kind": "class_rectification"},
                "optimisation": {"image_passes": 300},
            },
        },
        "rounds": {"r1": {"after": "softmax"}, "r2": {"after": "r1"}},
        "train": {
            "method": {"kind": "lmle", "margins": {"g1": 0, "g2": 0, "g3": 1}},
            "patience": 9,
            "optimisation": OPTIMISATION,
        },
    },
    "settings": {"none": {"split": {"imbalance": {"kind": "none"}}}, "some": {}},
    "methods": {
        "softmax": {"model": "softmax", "change": {"fits": {"softmax": {"optimisation": {"image_passes": 300}}}}},
        "triplet": {"model": "r2", "change": {"train": {"method": {"kind": "triplet"}}}},
    },
}


def cell_of(method: dict[str, Any], **change: Any) -> Cell:
    """The cell of a method alone, with a base so changed."""
    values = MATRIX | {"methods": {"tested": method}, "baseline": "tested", "base": merge(MATRIX["base"], change)}
    return Matrix.model_validate(values).cells()[0]


def test_a_cell_is_a_method_in_a_setting_with_a_seed() -> None:
    cells = Matrix.model_validate(MATRIX).cells()
    names = [f"{m}, {s}, seed {seed}" for seed in (3, 4) for s in ("none", "some") for m in ("softmax", "triplet")]
    assert [cell.name for cell in cells] == names
    assert [cell.rounds for cell in cells[:2]] == [[], ["r1", "r2"]]
    assert cells[0].sections["fits"]["softmax"]["optimisation"] == {"image_passes": 300}
    assert cells[0].sections["split"] == {"imbalance": {"kind": "none"}}
    params = cells[3].params("train")
    assert (params.method.kind, params.cluster_size, params.seed) == ("triplet", 7, 3)
    params = cells[3].params("fit", "softmax")
    assert (params.name, params.method.kind, params.cluster_size, params.seed) == ("softmax", "softmax", 7, 3)


def test_a_cell_runs_and_holds_only_what_leads_to_its_model() -> None:
    first, second = Matrix.model_validate(MATRIX).cells()[:2]
    assert first.trainings == ["softmax"]
    assert {"cluster_size", "fits", "ingest", "seed", "split"} == set(first.sections)
    assert second.trainings == ["softmax", "r1", "r2"]
    assert set(second.sections["fits"]) == {"softmax"}
    # A training that it does not have may be changed: its result stays.
    other = Matrix.model_validate(merge(MATRIX, {"base": {"fits": {"crl": {"method": {"hard": 3}}}}}))
    assert other.cells()[:2] == [first, second]


def test_a_budget_is_the_image_passes_of_all_that_leads_to_the_model() -> None:
    assert [cell.budget() for cell in Matrix.model_validate(MATRIX).cells()[:2]] == [300, 300]
    assert cell_of({"model": "crl"}).budget() == 300
    assert cell_of({"model": "r1"}).budget() == 200
    assert cell_of({"model": "start"}).budget() == 0
    again = {"crt": {"after": "r1", "trained_blocks": 0, "optimisation": {"image_passes": 7}}}
    assert cell_of({"model": "crt"}, fits=again).trainings == ["softmax", "r1", "crt"]
    assert cell_of({"model": "crt"}, fits=again).budget() == 207
    with pytest.raises(ValidationError, match=r"say image_passes in the optimisation of fits\.crl"):
        cell_of({"model": "crl"}, fits={"crl": {"optimisation": {"image_passes": None, "iterations": 9}}})
    with pytest.raises(ValidationError, match="say image_passes in the optimisation of train"):
        cell_of({"model": "r1"}, train={"optimisation": {"image_passes": None, "iterations": 9}})
    crl = {"model": "crl", "change": {"fits": {"crl": {"optimisation": {"image_passes": 299}}}}}
    with pytest.raises(ValidationError, match="differ in image passes"):
        Matrix.model_validate(MATRIX | {"methods": {"softmax": MATRIX["methods"]["softmax"], "crl": crl}})


@pytest.mark.parametrize(
    ("method", "rule"),
    [
        ({"model": "softmax"}, "head"),
        ({"model": "crl"}, "head"),
        ({"model": "r1"}, "cluster_wise"),
        ({"model": "r1", "change": {"train": {"method": {"kind": "joint"}}}}, "head"),
        ({"model": "start"}, "cluster_wise"),
    ],
)
def test_a_method_answers_by_the_rule_of_its_training_unless_it_says_another(method: dict[str, Any], rule: str) -> None:
    values = MATRIX | {"methods": {"tested": method}, "baseline": "tested"}
    adjusted = ["head_adjusted"] if rule == "head" else []  # where there is a head
    published = ["large_margin"] if rule == "cluster_wise" else []
    assert Matrix.model_validate(values).rules_of("tested") == [rule, *published, *adjusted]
    values["methods"] = {"tested": method | {"rules": ["cluster_wise", "sample_wise"]}}
    expected = ["cluster_wise", "large_margin", "sample_wise", *adjusted]
    assert Matrix.model_validate(values).rules_of("tested") == expected
    values["methods"] = {"tested": method | {"rules": [*reversed(expected)]}}
    assert Matrix.model_validate(values).rules_of("tested") == [*reversed(expected)], "each rule once"


@pytest.mark.parametrize("file", sorted(Path("experiments").glob("*.yaml")), ids=lambda file: file.stem)
def test_what_a_gain_has_to_be_seen_beside_stands_in_every_table(file: Path) -> None:
    matrix = read_matrix(file)
    for cell in matrix.cells():
        rules = matrix.rules_of(cell.method)
        method = cell.trained_by()
        heads = {"head", "head_and_knn"} & {*rules, CATALOGUE[method.kind].rule if method else ""}
        assert "head_adjusted" in rules or not heads
        assert "large_margin" in rules or "cluster_wise" not in rules


@pytest.mark.parametrize(("colours", "weight"), [(None, 0.5), (5, 0.5), (None, 0)])
def test_a_method_that_compares_colours_needs_them_counted(colours: int | None, weight: float) -> None:
    """Else its cells would fail one by one, after the data were made."""
    values = merge(MATRIX, {"base": {"ingest": {"colours": colours, "image_shape": [28, 28, 3]}}})
    silk = {"model": "softmax", "change": {"fits": {"softmax": {"method": {"kind": "silknet", "colour": weight}}}}}
    shared = {"network": {"shared_embedding": True}}
    matrix = Matrix.model_validate(merge(values, {"base": shared}) | {"methods": {"silk": silk}, "baseline": "silk"})
    cell = matrix.cells()[0]
    if colours is None and weight:
        with pytest.raises(DataError, match=r"silknet compares colours.*set `ingest.colours: 5`, or `colour: 0`"):
            cell.check([])
    else:
        cell.check([])


PRIOR = {"model": "softmax", "own_budget": True}


@pytest.mark.parametrize(
    ("prior", "passes"),
    [(PRIOR, 100), ({**PRIOR, "model": "r1"}, 200), ({**PRIOR, "model": "start"}, 0), ({**PRIOR, "model": "crl"}, 300)],
)
def test_a_row_may_have_a_budget_of_its_own_and_says_it(prior: dict[str, Any], passes: int) -> None:
    matrix = Matrix.model_validate(MATRIX | {"methods": MATRIX["methods"] | {"prior": prior}})
    assert matrix.budget("prior") == passes
    assert matrix.shown("prior") == f"prior ({passes} passes)"
    assert matrix.shown("softmax") == "softmax"
    if passes < 300:
        with pytest.raises(ValidationError, match="differ in image passes"):
            Matrix.model_validate(MATRIX | {"methods": MATRIX["methods"] | {"prior": {"model": prior["model"]}}})


def test_a_prior_shares_its_training_with_the_method_that_follows_it() -> None:
    matrix = Matrix.model_validate(MATRIX | {"methods": MATRIX["methods"] | {"prior": PRIOR}})
    prior, triplet = (next(cell for cell in matrix.cells() if cell.method == name) for name in ("prior", "triplet"))
    assert prior.params("fit", "softmax") == triplet.params("fit", "softmax")


def test_another_kind_takes_the_place_of_the_whole_section() -> None:
    assert merge({"a": {"kind": "x", "b": 1}, "c": {"d": 1}}, {"a": {"kind": "y"}, "c": {"e": 2}}) == {
        "a": {"kind": "y"},
        "c": {"d": 1, "e": 2},
    }
    assert merge({"a": {"kind": "x", "b": 1}}, {"a": {"kind": "x", "c": 2}}) == {"a": {"kind": "x", "b": 1, "c": 2}}


@pytest.mark.parametrize("rule", ["head", "head_and_knn"])
def test_a_rule_that_asks_a_classifier_which_is_not_trained_is_refused_before_anything_runs(rule: str) -> None:
    cells = Matrix.model_validate(MATRIX).cells()
    with pytest.raises(DataError, match="triplet, none, seed 3: triplet trains no classifier, so it cannot"):
        next(cell for cell in cells if cell.method == "triplet").check(["cluster_wise", rule])
    with pytest.raises(DataError, match="nothing is trained, so it cannot"):
        cell_of({"model": "start"}).check([rule])
    for model, kind in (("softmax", "lmle"), ("crl", "lmle"), ("r1", "joint")):
        cell_of({"model": model}, train={"method": {"kind": kind}}).check(["cluster_wise", rule])


def test_what_a_stage_would_refuse_is_said_before_anything_runs() -> None:
    cell = cell_of({"model": "crl"}, fits={"crl": {"method": {"kind": "class_rectification", "minning": "class"}}})
    with pytest.raises(DataError, match=r"fits.crl.*minning is not a parameter; did you mean 'mining'"):
        cell.check(["head"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"baseline": "lmle"}, "the baseline 'lmle' is none of the methods"),
        ({"paper": {"triplet": {"90 %": 1.0}}}, "['90 %'] are no settings"),
        (
            {"methods": merge(MATRIX["methods"], {"triplet": {"model": "r1"}})},
            "the cells differ in image passes",
        ),
        ({"base": merge(MATRIX["base"], {"train": {"patience": 1}})}, "set train.patience to 2, or rounds are skipped"),
        (
            {"methods": merge(MATRIX["methods"], {"softmax": {"own_budget": True}})},
            "the baseline 'softmax' has a budget of its own",
        ),
        (
            {
                "methods": merge(MATRIX["methods"], {"prior": PRIOR}),
                "settings": {"few": {"fits": {"softmax": {"optimisation": {"image_passes": 99}}}}, "some": {}},
            },
            "the settings differ in image passes, of which a row says one number: {'prior': [99, 100]}",
        ),
        ({"seeds": [1, 1]}, "a seed stands twice"),
        ({"base": merge(MATRIX["base"], {"train": {"optimisation": None}})}, "say image_passes"),
        ({"base": {**MATRIX["base"], "trian": {}}}, "['trian'] are neither stages, trainings nor shared parameters"),
        ({"settings": {"some": {"fit": {}}}}, "['fit'] are neither stages, trainings nor shared parameters"),
        ({"seed": 3}, "seed is not a parameter; did you mean 'seeds'"),
        ({"methods": {"softmax": {"model": "softmax", "rules": ["haed"]}}}, "there is no rule 'haed'; there are"),
        ({"methods": {"softmax": {"rules": ["head"]}}}, "methods.softmax.model is missing"),
        ({"methods": {"softmax": {"model": "r9"}}}, "softmax, none: evaluate.models names 'r9'; the models are"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(MATRIX | change))
    with pytest.raises(DataError) as error:
        read_matrix(file)
    assert message in str(error.value)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("after", ["softmaxx", "r2", 7, None])
def test_a_wrong_after_is_the_sentence_that_a_pipeline_says(tmp_path: Path, after: Any) -> None:
    entry = {} if after is None else {"after": after}
    base = MATRIX["base"] | {"rounds": MATRIX["base"]["rounds"] | {"r1": entry}}
    experiment, pipeline = tmp_path / "experiment.yaml", tmp_path / "params.yaml"
    experiment.write_text(yaml.safe_dump(MATRIX | {"base": base}))
    pipeline.write_text(yaml.safe_dump(base | {"evaluate": {"models": ["r2"]}}))
    with pytest.raises(DataError) as expected:
        read_parameters(pipeline)
    with pytest.raises(DataError) as error:
        read_matrix(experiment)
    sentence = str(expected.value).removeprefix(f"{pipeline}: ")
    assert str(error.value) == f"{experiment}: softmax, none: {sentence}"


@pytest.mark.parametrize("file", sorted(Path("experiments").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_experiment_of_the_repository_declares_valid_cells(file: Path) -> None:
    matrix = read_matrix(file)
    for cell in matrix.cells():
        cell.check(matrix.rules_of(cell.method))


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
    with pytest.raises(DataError, match=r"cannot read .*nothing\.yaml"):
        read_matrix(file)
    file.write_text(yaml.safe_dump(values | {"methods": str(third)}))
    with pytest.raises(DataError, match="takes from itself"):
        read_matrix(file)
    other.write_text(yaml.safe_dump({"methods": ["softmax"]}))
    for changed, section in (({"extends": str(other), "methods": {}}, "base"), ({"methods": str(other)}, "methods")):
        file.write_text(yaml.safe_dump(MATRIX | changed))
        with pytest.raises(DataError, match=f"takes `{section}` from .*which has none"):
            read_matrix(file)
