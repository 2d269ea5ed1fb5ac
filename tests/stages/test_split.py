"""The split stage: grouped, stratified, official subsets honoured, and only train thinned."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import hashes, write_tiny_dataset

from longtail.artifacts.yaml_file import read_yaml
from longtail.data.dataset import Task, write_dataset
from longtail.data.imbalance import measure
from longtail.data.injection import Gaussian
from longtail.data.splits import Split, stratify
from longtail.errors import DataError
from longtail.stages.split import Params, run

Ints = npt.NDArray[np.int64]
DIGIT = Task(name="digit", classes=["zero", "one", "two"])


def write(path: Path, tasks: list[Task] | None = None, **columns: Any) -> None:
    """A data set of 1×1 images with those columns; each image is its own group, without official subset."""
    count = len(next(iter(columns.values())))
    ids = [f"{i:04d}" for i in range(count)]
    samples = pd.DataFrame({"id": ids, "source": ids, "group": ids, "subset": None} | columns)
    images = [np.zeros((count, 1, 1, 1), np.uint8)]
    write_dataset(path, samples, images, tasks=tasks or [DIGIT], image_shape=(1, 1, 1), provenance="", licence="")


def split(root: Path, **params: Any) -> Split:
    run(root / "dataset", root / "split", params=Params(**params))
    return Split.open(root / "split")


def digits(*counts: int) -> list[str]:
    return [name for name, count in zip(DIGIT.classes, counts, strict=True) for _ in range(count)]


def shares(made: Split, total: int) -> dict[str, float]:
    return {name: len(made.positions(name)) / total for name in ("train", "validation", "test")}


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 1), st.integers(0, 30)), min_size=1, max_size=120),
    st.integers(0, 99),
)
def test_no_group_straddles(samples: list[tuple[int, int, int]], seed: int) -> None:
    one, two, raw = np.array(samples).T
    groups = np.unique(raw, return_inverse=True)[1]
    drawn = stratify([one, two], groups, {"a": 0.7, "b": 0.3}, np.random.default_rng(seed))
    for group in np.unique(groups):
        assert len(set(drawn[groups == group])) == 1


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(20, 200), min_size=2, max_size=5), st.floats(0.1, 0.5), st.integers(0, 99))
def test_every_class_has_its_share_of_every_subset(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    drawn = stratify([labels], np.arange(len(labels)), {"a": 1 - share, "b": share}, np.random.default_rng(seed))
    for code, count in enumerate(counts):
        assert abs((drawn[labels == code] == "b").sum() - share * count) <= 1


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 8), min_size=40, max_size=80), st.integers(0, 99))
def test_shares_are_met_within_a_group_or_two(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = rng.integers(0, 3, len(sizes))[groups]
    drawn = stratify([labels], groups, {"a": 0.75, "b": 0.25}, rng)
    for code in range(3):
        of_class = labels == code
        assert abs((drawn[of_class] == "b").sum() - 0.25 * of_class.sum()) <= 2 * max(sizes)


@pytest.mark.parametrize("sizes", ["one to sixty", "geometric"])
def test_other_seeds_draw_other_groups_where_groups_differ_in_size(sizes: str) -> None:
    """Of independent draws of a fifth a ninth is common to two; by the size of groups alone all was."""
    rng = np.random.default_rng(0)
    of_groups = np.arange(1, 61) if sizes == "one to sixty" else rng.geometric(0.05, 300)
    groups = np.repeat(np.arange(len(of_groups)), of_groups)
    labels = rng.integers(5, size=len(of_groups))[groups]
    drawn = []
    for seed in range(8):
        said = stratify([labels], groups, {"a": 0.8, "b": 0.2}, np.random.default_rng(seed)) == "b"
        assert said.mean() == pytest.approx(0.2, abs=0.03)
        drawn.append(set(groups[said]))
    common = [len(one & other) / len(one | other) for i, one in enumerate(drawn) for other in drawn[:i]]
    assert max(common) < 1
    assert np.mean(common) < 0.4


def test_two_tasks_with_missing_labels_are_both_stratified() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.integers(-1, 3, 3000), rng.integers(-1, 2, 3000)
    drawn = stratify([one, two], np.arange(3000), {"a": 0.8, "b": 0.2}, rng)
    for codes in (one, two):
        for code in np.unique(codes):
            assert (drawn[codes == code] == "b").mean() == pytest.approx(0.2, abs=0.02)


def test_shares_are_of_all_for_test_and_of_the_rest_for_validation(tmp_path: Path) -> None:
    write(tmp_path / "dataset", digit=digits(100, 200, 300))
    made = split(tmp_path, test=0.25, validation=0.2)
    assert shares(made, 600) == pytest.approx({"train": 0.6, "validation": 0.15, "test": 0.25}, abs=0.01)


def test_official_train_and_test_are_kept_and_validation_comes_from_train(tmp_path: Path) -> None:
    official = ["train", "train", "test"] * 100
    write(tmp_path / "dataset", digit=digits(100, 100, 100), subset=official)
    made = split(tmp_path, validation=0.25)
    test = made.samples["row"][made.subset == "test"]
    assert test.tolist() == [row for row, name in enumerate(official) if name == "test"]
    assert len(made.positions("validation")) == pytest.approx(50, abs=2)


def test_an_official_validation_is_kept_and_test_comes_from_the_rest(tmp_path: Path) -> None:
    official = [None, None, "validation"] * 100
    write(tmp_path / "dataset", digit=digits(100, 100, 100), subset=official)
    made = split(tmp_path, test=0.5)
    assert made.samples["row"][made.subset == "validation"].tolist() == list(range(2, 300, 3))
    assert len(made.positions("test")) == pytest.approx(150, abs=2), "of all samples"


def test_official_subsets_alone_leave_nothing_to_draw(tmp_path: Path) -> None:
    write(tmp_path / "dataset", digit=digits(10, 10, 10), subset=["test"] * 30)
    with pytest.raises(DataError, match="no samples are left from which to draw the validation subset"):
        split(tmp_path)


def test_a_group_in_two_official_subsets_is_named(tmp_path: Path) -> None:
    groups = [f"person {i // 2}" for i in range(30)]
    official = ["train", *["train", "train", "test", "test"] * 7, "test"]  # person 0: train; person 1: train, test
    write(tmp_path / "dataset", digit=digits(10, 10, 10), group=groups, subset=official)
    with pytest.raises(DataError, match=r"groups are in more than one official subset, the first is 'person \d+'"):
        split(tmp_path)


def test_a_class_that_cannot_be_in_every_subset_is_named_with_its_count(tmp_path: Path) -> None:
    write(tmp_path / "dataset", digit=digits(100, 100, 2))
    with pytest.raises(DataError, match="class 'two' of task 'digit' has 2 samples in 2 groups and none in"):
        split(tmp_path)
    assert not (tmp_path / "split").exists()


def test_a_class_of_one_large_group_is_named(tmp_path: Path) -> None:
    write(tmp_path / "dataset", digit=digits(50, 50, 50), group=[str(min(i, 100)) for i in range(150)])
    with pytest.raises(DataError, match="class 'two' of task 'digit' has 50 samples in 1 groups"):
        split(tmp_path)


def test_a_class_of_another_task_that_injection_empties_is_named(tmp_path: Path) -> None:
    # Train keeps one sample of class two, so one kind or the other is gone.
    kinds = ["common"] * 200 + ["odd", "even"] * 50
    tasks = [DIGIT, Task(name="kind", classes=["common", "odd", "even"])]
    write(tmp_path / "dataset", tasks, digit=digits(100, 100, 100), kind=kinds)
    with pytest.raises(DataError, match=r"class '(odd|even)' of task 'kind' has 50 samples .* none in train"):
        split(tmp_path, imbalance={"kind": "step", "factor": 1000, "minority": 0.3})


@pytest.mark.parametrize("removed", [0.2, 0.4])
def test_gaussian_thins_train_alone(tmp_path: Path, removed: float) -> None:
    write(tmp_path / "dataset", digit=digits(400, 400, 400))
    before = split(tmp_path)
    after = split(tmp_path, imbalance={"kind": "gaussian", "removed": removed})
    for name in ("validation", "test"):
        rows = [made.samples["row"][made.subset == name].tolist() for made in (before, after)]
        assert rows[0] == rows[1]
    kept = len(after.positions("train")) / len(before.positions("train"))
    assert kept == pytest.approx(1 - removed, abs=0.005)
    assert set(after.samples["id"]) < set(before.samples["id"])


def test_whole_groups_are_removed(tmp_path: Path) -> None:
    groups = [f"g{i // 5}" for i in range(600)]
    write(tmp_path / "dataset", digit=digits(200, 200, 200), group=groups)
    made = split(tmp_path, imbalance={"kind": "step", "factor": 4, "minority": 0.3})
    assert set(made.samples.groupby("group").size()) == {5}
    train = made.samples[made.subset == "train"]["digit"].value_counts()
    assert train["zero"] / train["two"] == pytest.approx(4, abs=0.6)


def test_single_samples_are_removed_on_request(tmp_path: Path) -> None:
    groups = [f"g{i // 5}" for i in range(600)]
    write(tmp_path / "dataset", digit=digits(200, 200, 200), group=groups)
    made = split(tmp_path, imbalance={"kind": "step", "factor": 7, "minority": 0.3}, imbalance_unit="sample")
    train = made.samples[made.subset == "train"]
    assert len(set(train.groupby("group").size())) > 1
    counts = train["digit"].value_counts()
    assert counts["two"] == counts["zero"] // 7  # truncated, as published


def test_the_task_whose_classes_are_thinned_can_be_chosen(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset", per_class=100, two_tasks=True)
    step = {"kind": "step", "factor": 4, "minority": 0.3}
    before, after = split(tmp_path), split(tmp_path, imbalance=step, imbalance_task="kids")
    counts = [made.info.subsets["train"].counts["kids"] for made in (before, after)]
    assert counts[1][1] < counts[0][1]
    assert counts[1][::2] == counts[0][::2]  # its background, the last, is no class of the tail
    # A missing label is no class: its samples all stay.
    missing = [int((made.train_labels(made.tasks[1])[made.positions("train")] < 0).sum()) for made in (before, after)]
    assert missing[0] == missing[1]


def test_an_unknown_task_to_thin_is_named(tmp_path: Path) -> None:
    write(tmp_path / "dataset", digit=digits(30, 30, 30))
    with pytest.raises(DataError, match="imbalance_task is 'digits'; the tasks are"):
        split(tmp_path, imbalance={"kind": "step", "factor": 2}, imbalance_task="digits")


@pytest.mark.parametrize("background", ["zero", "one", "two"])
def test_the_background_is_no_class_of_an_injected_tail(tmp_path: Path, background: str) -> None:
    sizes = {"zero": 200, "one": 200, "two": 200} | {background: 20}
    task = DIGIT.model_copy(update={"background": background})
    write(tmp_path / "dataset", tasks=[task], digit=digits(*sizes.values()))
    counts = split(tmp_path, imbalance={"kind": "exponential", "factor": 10}).info.subsets["train"].counts["digit"]
    left = dict(zip(DIGIT.classes, counts, strict=True))
    assert left.pop(background) == 14  # of 20, 0.7 · 20
    assert list(left.values()) == pytest.approx([144, 14], abs=1)


def test_without_a_name_the_first_task_that_is_learned_is_thinned(tmp_path: Path) -> None:
    one = Task(name="one", classes=["x", "y"])
    write(tmp_path / "dataset", tasks=[one, DIGIT], one=["x", *["y"] * 299], digit=digits(100, 100, 100))
    made = split(tmp_path, tasks=["digit"], imbalance={"kind": "step", "factor": 5})
    assert made.info.injected is not None
    assert made.info.injected.task == "digit"
    assert made.info.subsets["train"].counts["digit"][0] == 72


def test_missing_labels_and_the_background_count_in_no_metric(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset", two_tasks=True)
    made = split(tmp_path, test=0.25)
    kids = made.tasks[1]
    assert set(made.labels(kids)) == {-1, 0, 1, 2}
    assert set(made.scored_labels(kids, "test")) == {-1, 0, 1}
    assert set(made.train_labels(kids)) == {-1, 0, 1, 2}
    assert (made.train_labels(kids)[made.subset != "train"] == -1).all()


@pytest.mark.parametrize("tasks", [1, 9])
def test_of_how_many_images_a_label_is_missing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tasks: int
) -> None:
    rng = np.random.default_rng(0)
    names = [f"t{number}" for number in range(tasks)]
    columns = {name: rng.choice(["a", "b"], 200).astype(object) for name in [*names, "whole"]}
    for number, name in enumerate(names):
        columns[name][: 10 + number] = None
    write(tmp_path / "dataset", tasks=[Task(name=name, classes=["a", "b"]) for name in columns], **columns)
    report = run(tmp_path / "dataset", tmp_path / "split", params=Params())
    assert {key: value for key, value in report.items() if key.endswith("_missing")} == {
        f"{name}_missing": 10.0 + number for number, name in enumerate(names)
    }
    (said,) = Split.open(tmp_path / "split").info.sentences()
    assert f"split: {said}\n" in capsys.readouterr().err
    one, many = "10 of t0", "18 of t8, 17 of t7, 16 of t6, 15 of t5, 14 of t4, 13 of t3 and fewer of 3 more tasks"
    assert said == f"of 200 images some have no label: {one if tasks == 1 else many}"


def test_class_counts_and_measures_stand_beside_the_split(tmp_path: Path) -> None:
    write(tmp_path / "dataset", digit=digits(100, 200, 400))
    report = run(tmp_path / "dataset", tmp_path / "split", params=Params())
    info = json.loads((tmp_path / "split" / "split.json").read_text())
    made = Split.open(tmp_path / "split")
    for name in ("train", "validation", "test"):
        counts = np.bincount(made.labels(DIGIT)[made.positions(name)]).tolist()
        assert info["subsets"][name]["tasks"]["digit"] == measure(counts, DIGIT.classes).model_dump()
        assert report[f"samples_{name}"] == sum(counts)
    assert report["digit_IR"] == pytest.approx(4, abs=0.1)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset", two_tasks=True)
    made = []
    for seed in (1, 1, 2):
        split(tmp_path, seed=seed, imbalance={"kind": "gaussian", "removed": 0.2})
        made.append(hashes(tmp_path / "split"))
    assert made[0] == made[1]
    assert made[0]["samples.parquet"] != made[2]["samples.parquet"]


@pytest.mark.parametrize("stage_input", ["nothing", "empty", "torn"])
def test_what_is_no_packed_dataset_is_refused(tmp_path: Path, stage_input: str) -> None:
    if stage_input != "nothing":
        (tmp_path / "dataset").mkdir()
    if stage_input == "torn":
        (tmp_path / "dataset" / "dataset.json").write_text('{"format_version": 99}')
    with pytest.raises(DataError, match=r"does not exist|is not a packed dataset"):
        split(tmp_path)


def test_the_background_class_counts_in_no_measure(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset", per_class=40, two_tasks=True)
    made = split(tmp_path)
    background = made.tasks[1].background
    assert background is not None
    train = made.info.subsets["train"]
    assert len(train.counts["kids"]) == len(made.tasks[1].classes) == train.tasks["kids"].K + 1
    assert background not in train.tasks["kids"].classes


def test_a_data_set_of_ones_own_loses_nothing_to_the_parameters_as_shipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "dataset", digit=digits(300, 200, 100))
    shipped = read_yaml(Path(__file__).parents[2] / "params.yaml")["split"]
    made = split(tmp_path, **shipped)
    assert len(made.samples) == 600
    assert made.info.injected is None
    assert "injected" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "injected"),
    [
        (None, "gaussian"),  # what the data set asks for
        ({"kind": "none"}, None),
        ({"kind": "step", "factor": 4}, "step"),
    ],
)
def test_an_example_asks_for_its_imbalance_and_what_is_taken_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: dict[str, Any] | None, injected: str | None
) -> None:
    write_tiny_dataset(tmp_path / "dataset", per_class=100, imbalance=Gaussian(kind="gaussian", removed=0.3))
    report = run(tmp_path / "dataset", tmp_path / "split", params=Params(imbalance=asked))
    made = Split.open(tmp_path / "split")
    said = capsys.readouterr().err
    if injected is None:
        assert (made.info.injected, said, "injection_removed" in report) == (None, "", False)
        return
    assert made.info.injected is not None
    found = made.info.injected
    assert (found.kind, found.task) == (injected, "digit")
    assert found.of - found.removed == report["samples_train"]
    assert report["injection_removed"] == found.removed == 300 - len(made.samples)
    assert f"{found.removed} of {found.of} training samples" in said


KIND = Task(name="kind", classes=["red", "blue"])


def rare(path: Path, **columns: Any) -> None:
    """Class two has two samples: one has another label, so it is background; one has none."""
    kinds = ["red", "blue"] * 100 + ["red", None]
    write(path, [DIGIT, KIND], digit=digits(100, 100, 2), kind=kinds, **columns)


def test_a_class_that_cannot_be_in_every_subset_becomes_background_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rare(tmp_path / "dataset", subset=[None] * 200 + ["train"] * 2)
    report = run(tmp_path / "dataset", tmp_path / "split", params=Params(rare_classes="background"))
    made = Split.open(tmp_path / "split")
    assert made.tasks == [Task(name="digit", classes=["zero", "one", "background"], background="background"), KIND]
    assert len(made.samples) == 201
    of_background = made.samples[made.samples["digit"] == "background"]
    assert of_background[["row", "subset", "kind"]].to_numpy().tolist() == [[200, "train", "red"]]
    assert made.info.rare is not None
    assert made.info.rare.model_dump() == {
        "classes": [{"task": "digit", "name": "two", "samples": 2, "groups": 2}],
        "left_out": 1,
    }
    assert report["rare_classes"] == report["rare_left_out"] == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "split: labels became background where a class cannot be in every subset: 'two' of digit (2 samples, 2 groups);"
        " samples without any other label were left out: 1"
    ]


def test_sixty_twenty_twenty_by_record_of_many_tasks_with_rare_classes_and_missing_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    share = 1.0 / np.arange(1, 31) ** 2
    groups = rng.integers(0, 1500, 4000)
    tasks, columns = [], {}
    for number in range(4):
        of_groups = rng.choice(30, 1500, p=share / share.sum())
        known = rng.random(1500) < 0.5
        names = [f"c{code}" if here else None for code, here in zip(of_groups[groups], known[groups], strict=True)]
        columns[f"t{number}"] = names
        tasks.append(Task(name=f"t{number}", classes=sorted({name for name in names if name})))
    write(tmp_path / "dataset", tasks, **columns, group=[f"g{group}" for group in groups])
    with pytest.raises(DataError, match="and none in"):
        split(tmp_path, validation=0.25, test=0.2)
    made = split(tmp_path, validation=0.25, test=0.2, rare_classes="background")
    assert shares(made, len(made.samples)) == pytest.approx({"train": 0.6, "validation": 0.2, "test": 0.2}, abs=0.02)
    assert made.samples.groupby("group")["subset"].nunique().max() == 1
    assert made.info.rare is not None
    assert all(one.groups < 3 for one in made.info.rare.classes)
    for task in made.tasks:
        for code, name in enumerate(task.classes):
            found = {subset: made.info.subsets[subset].counts[task.name][code] for subset in made.info.subsets}
            assert name == task.background or min(found.values()) > 0, (task.name, name, found)


def test_official_subsets_stay_where_rare_classes_become_background(tmp_path: Path) -> None:
    official = ["train"] * 100 + ["validation"] * 50 + ["test"] * 50
    values = digits(50, 49, 1) + digits(25, 25, 0) + digits(25, 23, 2)
    kinds = ["red", "blue"] * 100
    write(tmp_path / "dataset", [DIGIT, KIND], digit=values, kind=kinds, subset=official)
    made = split(tmp_path, rare_classes="background")
    assert made.subset.tolist() == official
    assert made.tasks[0].classes == ["zero", "one", "background"]


def test_a_class_that_training_lacks_is_missing_where_it_would_be_background(tmp_path: Path) -> None:
    official = ["train"] * 100 + ["validation"] * 50 + ["test"] * 50
    values = digits(50, 50, 0) + digits(25, 25, 0) + digits(25, 23, 2)
    write(tmp_path / "dataset", [DIGIT, KIND], digit=values, kind=["red", "blue"] * 100, subset=official)
    made = split(tmp_path, rare_classes="background")
    assert made.tasks[0] == Task(name="digit", classes=["zero", "one"])
    assert made.samples["digit"].isna().sum() == 2


@pytest.mark.parametrize("params", [{}, {"rare_classes": "error", "hidden": {}}])
def test_the_defaults_leave_no_trace(tmp_path: Path, params: dict[str, Any]) -> None:
    write_tiny_dataset(tmp_path / "dataset", two_tasks=True)
    split(tmp_path, **params)
    for name in ("split.json", "lineage.json"):
        text = (tmp_path / "split" / name).read_text()
        assert not [word for word in ("rare", "hidden") if word in text]


def test_background_on_request_leaves_data_without_rare_classes_as_they_are(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset", two_tasks=True)
    split(tmp_path)
    before = hashes(tmp_path / "split")
    split(tmp_path, rare_classes="background")
    after = hashes(tmp_path / "split")
    assert [before[name] == after[name] for name in ("samples.parquet", "split.json")] == [True, True]


def test_labels_are_hidden_in_training_and_validation_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups = [f"g{i // 3}" for i in range(900)]
    rng = np.random.default_rng(0)
    kinds = np.array(KIND.classes)[rng.integers(0, 2, 900)].tolist()
    write(tmp_path / "dataset", [DIGIT, KIND], digit=digits(300, 300, 300), kind=kinds, group=groups)
    before = split(tmp_path)
    after = split(tmp_path, hidden={"kind": 0.673, "digit": 0.269})
    assert after.samples[["row", "subset"]].equals(before.samples[["row", "subset"]])
    assert after.tasks == before.tasks
    test = before.subset == "test"
    for name, share in (("kind", 0.673), ("digit", 0.269)):
        gone = after.samples[name].isna().to_numpy()
        assert not gone[test].any()
        for subset in ("train", "validation"):
            assert gone[after.subset == subset].mean() == pytest.approx(share, abs=0.02)
        assert after.samples[name][~gone].tolist() == before.samples[name][~gone].tolist()
        assert after.info.subsets["train"].counts[name] != before.info.subsets["train"].counts[name]
    # Samples without any label stay, and each task hides its own.
    unlabelled = (after.samples["digit"].isna() & after.samples["kind"].isna()).sum()
    assert unlabelled == pytest.approx(0.673 * 0.269 * (~test).sum(), rel=0.25)
    first = after.info.hidden[0]
    assert (first.task, first.share, first.of) == ("kind", 0.673, (~test).sum())
    said = capsys.readouterr().err
    assert f"split: {first.hidden} of {first.of} labels of kind were hidden in training and validation" in said


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hidden": {"digits": 0.5}}, r"split.hidden names \['digits'\]; the tasks are \['digit', 'kids'\]"),
        ({"tasks": ["digit"], "hidden": {"kids": 0.5}}, r"split.hidden names \['kids'\]; the tasks are \['digit'\]"),
        ({"tasks": ["digits"]}, r"split.tasks names \['digits'\]; the tasks are \['digit', 'kids'\]"),
    ],
)
def test_unknown_tasks_are_named(tmp_path: Path, params: dict[str, Any], message: str) -> None:
    write_tiny_dataset(tmp_path / "dataset", two_tasks=True)
    with pytest.raises(DataError, match=message):
        split(tmp_path, **params)
