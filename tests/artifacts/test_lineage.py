"""The tree of steps behind an artifact: what is shared is there once, and inputs of other data are refused."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import run_pipeline, run_stage, write_tiny_dataset

from longtail.artifacts.lineage import FILE, Lineage, Step, check_same_rows, extended, merged
from longtail.data.dataset import PackedDataset
from longtail.errors import DataError

NOTHING = Lineage()
DATASET = Lineage(dataset="0123")


def made(
    stage: str, params: dict[str, Any] | None = None, *, weights: Lineage | None = None, **inputs: Lineage
) -> Lineage:
    """The lineage of what a stage makes of inputs."""
    return extended(stage, params or {}, inputs, {"previous": weights} if weights else {}, NOTHING)


def models(dataset: Lineage = DATASET, seed: int = 0) -> dict[str, Lineage]:
    """Two trainings on one split, the second after the first, and a round after the first."""
    split = made("split", {"seed": seed}, dataset=dataset)
    start = made("start", {"prior": "hog"}, dataset=dataset, split=split)
    softmax = made("fit", {"name": "softmax", "batch": 8}, dataset=dataset, split=split, weights=start)
    crl = made("fit", {"name": "crl"}, dataset=dataset, split=split, weights=softmax)
    clusters = made("cluster", {"seed": seed}, split=split, model=softmax)
    r1 = made("train", {"batch": 4}, dataset=dataset, split=split, previous=softmax, clusters=clusters)
    return {"split": split, "start": start, "softmax": softmax, "crl": crl, "r1": r1}


def stages(lineage: Lineage) -> list[str]:
    return [step.stage for step in lineage.chain()]


def test_steps_that_branches_share_are_written_once() -> None:
    found = models()
    indexes = {name: made("index", split=found["split"], model=found[name]) for name in ("r1", "crl")}
    report = made("evaluate", dataset=DATASET, split=found["split"], **indexes)
    assert sorted(stages(report)) == [
        *("cluster", "evaluate", "fit", "fit", "index", "index", "split", "start", "train"),
    ]
    assert len(report.steps) == 9
    assert (report.dataset, report.split) == ("0123", found["split"].made_by)
    assert [step.stage for step in report.steps.values()].count("split") == 1


def test_every_step_comes_after_all_of_its_inputs_and_the_one_that_made_it_last() -> None:
    r1 = models()["r1"]
    chain = list(r1.chain())
    assert stages(r1) == ["split", "start", "fit", "cluster", "train"]
    for place, step in enumerate(chain):
        assert set(step.inputs.values()) <= {before.key for before in chain[:place]}
    assert chain[-1].key == r1.made_by


@given(st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=12))
def test_the_chain_of_any_tree_has_each_step_behind_it_once(behind: list[set[int]]) -> None:
    """Step number n has inputs among those before it; steps of equal parameters differ by what is behind them."""
    found: list[Lineage] = []
    for number, inputs in enumerate(behind):
        found.append(made("fit", {"n": number % 3}, **{f"i{i}": found[i] for i in inputs if i < number}))
    for lineage in found:
        chain = [step.key for step in lineage.chain()]
        assert len(chain) == len(set(chain)) == len(lineage.steps)
        assert chain[-1] == lineage.made_by
        for key in chain:
            assert lineage.steps[key].key == key
            assert set(lineage.steps[key].inputs.values()) <= set(chain[: chain.index(key)])


def test_a_key_depends_on_stage_parameters_inputs_and_data() -> None:
    step = Step(stage="fit", params={"a": 1, "b": 2}, inputs={"previous": "0", "split": "1"}, dataset="0123")
    same = Step(stage="fit", params={"b": 2, "a": 1}, inputs={"split": "1", "previous": "0"}, dataset="0123")
    assert step.key == same.key
    assert len(step.key) == 12
    others = [
        step.model_copy(update=change)
        for change in (
            {"stage": "train"},
            {"params": {"a": 1, "b": 3}},
            {"inputs": {"previous": "0", "split": "2"}},
            {"inputs": {"previous": "1", "split": "0"}},
            {"inputs": {"split": "1"}},
            {"dataset": "4567"},
            {"dataset": None},
        )
    ]
    for one, two in combinations([step, *others], 2):
        assert one.key != two.key


def test_what_changes_far_behind_changes_every_key_after_it() -> None:
    before = {step.key for found in models().values() for step in found.chain()}
    assert before == {step.key for found in models().values() for step in found.chain()}
    for other in (models(seed=1), models(Lineage(dataset="4567"))):
        assert before.isdisjoint(step.key for found in other.values() for step in found.chain())


def test_the_split_is_that_of_the_rows() -> None:
    found = models()
    assert {of_model.split for of_model in found.values()} == {found["split"].made_by}
    assert found["split"].steps[found["split"].made_by or ""].params == {"seed": 0}


def test_parameters_are_by_stage_and_those_of_fits_by_name() -> None:
    found = models()
    assert found["r1"].parameters() == {
        "split": {"seed": 0},
        "start": {"prior": "hog"},
        "fits": {"softmax": {"name": "softmax", "batch": 8}},
        "cluster": {"seed": 0},
        "train": {"batch": 4},
    }
    assert set(found["crl"].parameters()["fits"]) == {"softmax", "crl"}
    r2 = made("train", {"batch": 5}, split=found["split"], previous=found["r1"])
    assert r2.parameters()["train"] == {"batch": 5}


def test_the_training_is_the_last_one() -> None:
    found = models()
    assert found["start"].training() is None
    for name, params in (("crl", {"name": "crl"}), ("r1", {"batch": 4})):
        index = made("index", split=found["split"], model=found[name])
        training = index.training()
        assert training is not None
        assert training.params == params


def test_parameters_of_branches_are_merged_with_the_fits_of_both() -> None:
    found = models()
    r1, crl = found["r1"].parameters(), found["crl"].parameters()
    both = merged(r1, crl)
    assert set(both) == {"split", "start", "fits", "cluster", "train"}
    assert list(both["fits"]) == ["softmax", "crl"]
    assert merged({"split": {"seed": 0}}, {"split": {"seed": 1}}) == {"split": {"seed": 1}}
    assert merged({"fits": {"a": {"batch": 1}}}, {"fits": {"a": {"batch": 2}}}) == {"fits": {"a": {"batch": 2}}}
    assert merged({}, {}) == {}


def test_an_artifact_without_a_lineage_has_an_empty_one(tmp_path: Path) -> None:
    assert Lineage.read(tmp_path) == Lineage.read(tmp_path / "nothing") == NOTHING
    assert stages(NOTHING) == []
    assert NOTHING.parameters() == {}
    assert NOTHING.training() is None


def test_a_lineage_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = models()["r1"]
    found.write(tmp_path)
    assert Lineage.read(tmp_path) == found
    assert [step.key for step in Lineage.read(tmp_path).chain()] == [step.key for step in found.chain()]


@pytest.mark.parametrize(
    "damage", ["", "{", '{"stages": {"split": {}}}', '{"dataset": 3}', '{"steps": {"a": {}}}', "[]", "\udcff"]
)
def test_a_lineage_that_cannot_be_read_is_one_sentence(tmp_path: Path, damage: str) -> None:
    (tmp_path / FILE).write_bytes(damage.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=rf"^cannot read {tmp_path / FILE}: .*; run the step that made .* again$"):
        Lineage.read(tmp_path)


def test_inputs_of_the_same_rows_or_of_unknown_ones_meet() -> None:
    found = models()
    check_same_rows("train", found)
    check_same_rows("train", {**found, "unknown": NOTHING, "dataset": DATASET})
    check_same_rows("train", {})


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (models(Lineage(dataset="4567"))["softmax"], "data sets"),
        (Lineage(dataset="4567"), "data sets"),
        (models(seed=1)["softmax"], "splits"),
        (Lineage(split="4567"), "splits"),
    ],
)
def test_inputs_of_other_rows_do_not_meet(other: Lineage, says: str) -> None:
    with pytest.raises(
        DataError, match=f"^the inputs of train come from different {says}; run the steps before it again$"
    ):
        check_same_rows("train", {**models(), "other": other})


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training on another data set, which has one task of the two; its subsets have other shares."""
    root = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_TRACKING", "off")
        write_tiny_dataset(root / "dataset", seed=1)
        run_pipeline(root, stages=("split", "start", "fit"), split={"validation": 0.3}, fit={"name": "elsewhere"})
    return root


@pytest.fixture(scope="module")
def transferred(tmp_path_factory: pytest.TempPathFactory, prepared: Path, elsewhere: Path) -> Path:
    """A model that was trained on one data set after a training on the other, and its index."""
    root = tmp_path_factory.mktemp("transferred")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_TRACKING", "off")
        paths = {"previous": f"{elsewhere}/softmax/model", "model": f"{root}/model"}
        run_stage(prepared, "fit", paths=paths, name="transferred")
        run_stage(prepared, "index", paths={"model": f"{root}/model", "index": f"{root}/index"})
    return root


def md5(root: Path) -> str:
    return PackedDataset.open(root / "dataset").info.md5


def test_every_stage_adds_itself(prepared: Path) -> None:
    table, split = Lineage.read(prepared / "r1/quintuplets"), Lineage.read(prepared / "split")
    assert stages(table) == ["split", "start", "fit", "cluster", "quintuplets"]
    assert {step.dataset for step in table.chain()} == {md5(prepared)} == {table.dataset}
    assert table.split == split.split == split.made_by
    *_, last = table.chain()
    assert set(last.inputs) == {"split", "model", "clusters"}
    assert last.params["pool_per_class"] == 6


def test_a_packed_data_set_says_its_md5_alone(prepared: Path) -> None:
    assert json.loads((prepared / "dataset" / FILE).read_text()) == {"dataset": md5(prepared)}
    assert Lineage.read(prepared / "dataset") == Lineage(dataset=md5(prepared))


@pytest.mark.parametrize("artifact", ["model", "index"])
def test_a_training_may_follow_one_on_other_data_and_says_so(
    prepared: Path, elsewhere: Path, transferred: Path, artifact: str
) -> None:
    lineage = Lineage.read(transferred / artifact)
    assert lineage.dataset == md5(prepared) != md5(elsewhere)
    assert lineage.split == Lineage.read(prepared / "split").made_by
    chain = list(lineage.chain())
    assert {step.dataset for step in chain} == {md5(prepared), md5(elsewhere)}
    assert [step.dataset for step in chain if step.stage == "split"].count(md5(elsewhere)) == 1
    assert list(lineage.parameters()["fits"]) == ["elsewhere", "transferred"]
    training = lineage.training()
    assert training is not None
    assert training.params["name"] == "transferred"
    assert training.dataset == md5(prepared)


@pytest.mark.parametrize("artifact", ["model", "index"])
def test_the_parameters_shown_are_those_of_its_own_data(prepared: Path, transferred: Path, artifact: str) -> None:
    found = Lineage.read(transferred / artifact).parameters()
    assert found["split"] == Lineage.read(prepared / "split").parameters()["split"]
    assert found["split"]["validation"] == 0.25
    # Nothing else of its own has begun: this is what the other training followed.
    assert found["start"]["prior"] == "random"


@pytest.mark.parametrize(("stage", "model"), [("cluster", "model"), ("train", "previous"), ("index", "model")])
def test_rows_of_a_model_on_other_data_are_refused(
    tmp_path: Path, prepared: Path, elsewhere: Path, stage: str, model: str
) -> None:
    output = {"cluster": "clusters", "train": "model", "index": "index"}[stage]
    paths = {model: f"{elsewhere}/softmax/model", output: f"{tmp_path}/out"}
    with pytest.raises(DataError, match=f"^the inputs of {stage} come from different data sets; run the steps before"):
        run_stage(prepared, stage, paths=paths)
    assert list(tmp_path.iterdir()) == []


def test_a_training_may_follow_one_on_another_split_of_the_same_data(tmp_path: Path, prepared: Path) -> None:
    run_stage(prepared, "split", paths={"split": f"{tmp_path}/split"}, seed=1)
    paths = {"split": f"{tmp_path}/split", "previous": "softmax/model", "model": f"{tmp_path}/model"}
    run_stage(prepared, "fit", paths=paths, name="again")
    lineage = Lineage.read(tmp_path / "model")
    assert lineage.split == Lineage.read(tmp_path / "split").made_by
    assert stages(lineage).count("split") == 2
    assert lineage.parameters()["split"]["seed"] == 1
    for stage, output in (("index", "index"), ("cluster", "clusters")):
        with pytest.raises(DataError, match=f"the inputs of {stage} come from different splits"):
            run_stage(prepared, stage, paths={"model": f"{tmp_path}/model", output: f"{tmp_path}/out"})


def test_a_training_follows_no_model_that_cannot_be_read(tmp_path: Path, prepared: Path) -> None:
    with pytest.raises(DataError, match=r"the input 'previous' does not exist: .*; run the step that makes it first"):
        run_stage(prepared, "fit", paths={"previous": "nowhere", "model": f"{tmp_path}/model"})
