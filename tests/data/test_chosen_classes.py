"""Splits of some classes of a data set."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from longtail.data.dataset import Task, write_dataset
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.stages.split import Params, run

TASKS = [
    Task(name="bird", classes=["ant", "bee", "cat", "dog"], background="ant"),
    Task(name="kids", classes=["no", "yes"]),
]
CLASSES = TASKS[0].classes


def made(root: Path, birds: list[int], groups: list[int], **params: Any) -> tuple[Split, pd.DataFrame]:
    """The split of a data set of these classes of `bird` (−1: no label), and the data set's samples."""
    labels = [CLASSES[code] if code >= 0 else None for code in birds]
    ids = [f"{place:03d}" for place in range(len(birds))]
    samples = pd.DataFrame(
        {
            "id": ids,
            "source": ids,
            "group": [str(group) for group in groups],
            "subset": None,
            "bird": labels,
            "kids": [["no", "yes", None][place % 3] for place in range(len(birds))],
        }
    )
    about: dict[str, Any] = {"image_shape": (1, 1, 1), "provenance": "", "licence": ""}
    write_dataset(root / "dataset", samples, [np.zeros((len(birds), 1, 1, 1), np.uint8)], tasks=TASKS, **about)
    run(root / "dataset", root / "split", params=Params(**{"validation": 0.3, "test": 0.3, **params}))
    return Split.open(root / "split"), samples


EVEN = [0, 1, 2, 3, -1] * 12


@pytest.mark.parametrize("rare", ["error", "background"])
@pytest.mark.parametrize(
    ("chosen", "background"), [(["dog", "bee"], None), (["ant", "dog"], "ant"), (["ant", "bee", "cat", "dog"], "ant")]
)
def test_samples_of_other_classes_are_left_out(tmp_path: Path, rare: Any, chosen: list[str], background: Any) -> None:
    split, samples = made(tmp_path, EVEN, [*range(60)], classes={"bird": chosen}, rare_classes=rare)
    assert split.tasks[0] == Task(name="bird", classes=sorted(chosen), background=background)
    kept = samples["bird"].isin(chosen) | samples["bird"].isna()
    assert sorted(split.samples["row"]) == np.flatnonzero(kept).tolist()
    assert split.labels(split.tasks[0]).max() == len(chosen) - 1
    (said,) = split.info.chosen
    assert (said.task, said.chosen, said.of, said.left_out) == ("bird", len(chosen), 4, int((~kept).sum()))
    assert said.sentence() in split.info.sentences()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9_999), rare=st.sampled_from(["error", "background"]))
@example(seed=3170, rare="error")
def test_groups_with_samples_of_both_stay_in_one_subset(
    tmp_path_factory: pytest.TempPathFactory, seed: int, rare: str
) -> None:
    groups = np.random.default_rng(seed).integers(0, 25, len(EVEN)).tolist()
    try:
        split, samples = made(
            tmp_path_factory.mktemp("set"), EVEN, groups, classes={"bird": ["bee", "dog"]}, rare_classes=rare
        )
    except DataError as error:  # such groups may leave a class out of a subset
        if "and none in" not in str(error):
            raise
        reject()
    rows = split.samples["row"].to_numpy()
    subsets = pd.DataFrame({"group": samples["group"].to_numpy()[rows], "subset": split.subset})
    assert (subsets.groupby("group")["subset"].nunique() == 1).all()
    assert not samples["bird"].to_numpy()[rows].tolist().count("cat")


def test_without_a_choice_the_bytes_stay(tmp_path: Path) -> None:
    made(tmp_path, EVEN, [*range(60)])
    assert "chosen" not in (tmp_path / "split/split.json").read_text()
    assert '"classes": {}' not in (tmp_path / "split/lineage.json").read_text()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"birds": ["ant", "bee"]}, r"names the task\(s\) \['birds'\]; the tasks are \['bird', 'kids'\]"),
        ({"bird": ["ant", "fox"]}, r"split.classes.bird names \['fox'\], which are no classes of that task"),
        ({"bird": ["ant", "ant"]}, r"split.classes.bird names \['ant'\]; choose two classes or more"),
        ({"bird": []}, "choose two classes or more"),
    ],
)
def test_a_wrong_choice_is_one_sentence(tmp_path: Path, classes: dict[str, list[str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        made(tmp_path, EVEN, [*range(60)], classes=classes)
