"""The experiment of a seed that grows: its turns, and what each counts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from few_digits import MATRIX
from hypothesis import given
from hypothesis import strategies as st
from tiny import DIGIT

from experiments.bootstrapping import arms, draw, gains, means, run
from experiments.matrix import Matrix, experiment_file, read_matrix
from experiments.place import Place
from experiments.turns import LEAST, Way, check, divided, grown
from longtail.data.splits import Split, make_split
from longtail.errors import DataError

WAY = Way(parts=2, share=0.1, confidence=0.05)


def few(monkeypatch: pytest.MonkeyPatch, folder: Path, **base: Any) -> Path:
    """The YAML of few digits on stored features, with a method that makes a class of hard negatives."""
    import json

    fit = MATRIX["base"]["fits"]["softmax"] | {"on": "frozen"}
    sections = {
        **{name: MATRIX["base"][name] for name in ("cluster_size", "network")},
        "ingest": {"source": {"kind": "digits", "copies": 1}, "image_shape": [28, 28, 1]},
        "features": {"frozen": {"after": "start"}},
        "fits": {"softmax": fit},
        "index": {"rules": ["head_adjusted", "cluster_wise"]},
        **base,
    }
    methods = {
        "softmax": {"model": "softmax"},
        "HNS": {"model": "softmax", "change": {"fits": {"softmax": {"negatives": "single"}}}},
    }
    matrix = {"title": "Few", "seeds": [0], "baseline": "softmax", "base": sections, "settings": {"all": {}}}
    (folder / "few.yaml").write_text(json.dumps(matrix | {"methods": methods}))
    monkeypatch.chdir(folder)
    return folder / "few.yaml"


def split_of(labels: list[int], subset: list[str]) -> Split:
    import pandas as pd

    names = [f"{number}" for number in range(len(labels))]
    samples = pd.DataFrame({"id": names, "group": names})
    samples["digit"] = pd.Categorical.from_codes(labels, categories=DIGIT.classes)
    return make_split(samples, np.array(subset), [DIGIT])


@given(st.data())
def test_seed_and_parts_divide_the_training_samples(data: Any) -> None:
    labels = [*data.draw(st.lists(st.integers(-1, 2), min_size=6, max_size=60)), 0, 1, 2]
    subset = [data.draw(st.sampled_from(["train", "test"])) for _ in labels[3:]] + ["train"] * 3
    table, parts = split_of(labels, subset), data.draw(st.integers(1, 5))
    first, others = divided(table, Way(parts, data.draw(st.floats(0.01, 0.9)), 0.5), seed=0)
    together = np.concatenate([first, *others])
    assert sorted(together) == table.positions("train").tolist()
    codes = table.labels(DIGIT)
    assert (codes[first] >= 0).all()  # a stranger is nobody's seed
    there = np.bincount(codes[table.positions("train")][codes[table.positions("train")] >= 0], minlength=3)
    assert (np.bincount(codes[first], minlength=3) >= np.minimum(LEAST, there)).all()
    assert max(map(len, others)) - min(map(len, others)) <= 1


@given(st.data())
def test_labels_change_in_training_alone(data: Any) -> None:
    labels = data.draw(st.lists(st.integers(-1, 2), min_size=4, max_size=30))
    table = split_of(labels, [data.draw(st.sampled_from(["train", "validation", "test"])) for _ in labels])
    new = np.array([data.draw(st.integers(-1, 2)) for _ in labels])
    rejected = np.where(new < 0, np.array([data.draw(st.integers(-1, 2)) for _ in labels]), -1)
    made, train = grown(table, new, rejected), table.subset == "train"
    assert made.train_labels(DIGIT)[train].tolist() == new[train].tolist()
    assert made.negatives(DIGIT)[train].tolist() == rejected[train].tolist()
    assert made.labels(DIGIT)[~train].tolist() == table.labels(DIGIT)[~train].tolist()
    assert (made.negatives(DIGIT)[~train] == -1).all()
    assert made.samples["row"].tolist() == table.samples["row"].tolist()


@pytest.mark.slow
def test_turns_count_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAIL_TRACKING", "off")
    file, place = few(monkeypatch, tmp_path), Place(tmp_path, tmp_path / "work", "few")
    table = run(str(file), place, ["8", "9"], WAY, ["confidence", "random"], [0.0, 0.2], [])
    assert len(table) == 2 * 2 * 2 * 3
    assert (table["asked"] == table["yes"] + table["no"]).all()
    for _, arm in table.groupby(["method", "queue", "errors"]):
        assert (arm["images"].diff().dropna() == arm["yes"].diff().dropna()).all()
        kept = arm["no"] if arm["negatives kept"].all() else 0
        assert (arm["negatives"] == kept).all()
        wrong = arm["wrong"].to_numpy()
        assert (wrong > 0).any() == (arm["errors"] == "20%").all()
    first = table[table["turn"] == 1].groupby("method")[["own rule"]].nunique()
    assert (first == 1).all(axis=None)
    draw(table, tmp_path / "labels-asked.svg")
    assert (tmp_path / "labels-asked.svg").stat().st_size > 1000
    assert set(gains(table)) == {"seed alone", "all turns", "gain", "sd"}
    assert len(means(table)) == len(table)
    again = run(str(file), place, ["8", "9"], WAY, ["confidence", "random"], [0.0, 0.2], [])
    assert again.equals(table)


def test_softmax_has_hard_negatives_where_it_makes_classes_of_them() -> None:
    for name in ("digits_bootstrapping", "clothing_bootstrapping"):
        matrix = read_matrix(experiment_file(name))
        for cell in matrix.cells():
            check(cell)
            expected = {"Softmax": {False}, "Triplet-A": {False, True}}.get(cell.method, {True})
            assert {arm.negatives for arm in arms(cell, ["random"], [0.0])} == expected


def test_other_methods_are_tried_with_and_without() -> None:
    matrix = Matrix.model_validate(MATRIX)
    cell = next(one for one in matrix.cells() if one.method == "crl")
    assert [arm.negatives for arm in arms(cell, ["random"], [0.0])] == [False, True]


def test_rounds_are_refused() -> None:
    cell = next(one for one in Matrix.model_validate(MATRIX).cells() if one.method == "joint")
    with pytest.raises(DataError, match="trainings must be of `fits`"):
        check(cell)
