"""A challenger beside the present champion: the paired test of a report, on the same test samples alone."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtail import tracking
from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.metrics.answers import answered, answers_of

NAME = "longtail-photos"
CONFIG = {"ingest": {"source": {"kind": "folder", "path": "data/photos"}}}
BETTER = {"baseline": "softmax", "mean": 0.03, "low": 0.01, "high": 0.05, "p": 0.01}
TASK = Task(name="kind", classes=["a", "b"])
SAMPLES = 40


def evaluate(right: int | None, *, data: str = "0f343b09", samples: int = SAMPLES) -> None:
    """The last step, of a model that is right on so many of each class's samples; None: one without answers."""
    import pandas as pd

    Path("index").mkdir(exist_ok=True)
    with tracking.stage_run("evaluate", "evaluate", params={}, config=CONFIG, dataset=data, last=True):
        if right is not None:
            truth = np.arange(samples) % 2
            said = np.where(np.arange(samples) // 2 < right, truth, 1 - truth)
            ids = pd.DataFrame({"id": range(samples), "group": range(samples)})
            file = Path(tracking.ANSWERS)
            answers_of(data, ids, answered(TASK.name, TASK.classes, truth, said)).to_parquet(file, index=False)
            tracking.log_artifact(file)
        example = np.zeros((1, 4, 4, 1), np.uint8)
        tracking.log_model(Path("index"), tasks=[TASK], example=example, comparison=dict(BETTER), parent=True)


@pytest.mark.parametrize(
    ("champion", "challenger", "why"),
    [
        ({"right": 10}, {"right": 10}, r"to the champion \(version 1\) is not above 0 .*\+0.0 to \+0.0, p = 1\)"),
        ({"right": 10}, {"right": 11}, r"to the champion \(version 1\) is not above 0"),
        # The bootstrap's interval of four images is above 0.
        (
            {"right": 10},
            {"right": 12},
            r"to the champion \(version 1\) is not above 0 .*interval \+.* to \+.*, p = 0.12",
        ),
        ({"right": 18}, {"right": 8}, r"to the champion \(version 1\) is not above 0 .*interval -.* to -.*, p = "),
        (
            {"right": 5, "data": "77777777"},
            {"right": 20},
            r"\(version 1\), which was tested on other samples or labels",
        ),
        ({"right": 5}, {"right": 19, "samples": 38}, r"\(version 1\), which was tested on other samples or labels"),
        ({"right": None}, {"right": 20}, r"\(version 1\): the run of version 1 has no answers.parquet"),
        ({"right": 5}, {"right": None}, r"\(version 1\): the run of version 2 has no answers.parquet"),
    ],
)
def test_a_challenger_that_does_not_beat_the_champion_stays_one_unless_the_user_insists(
    client: Any, champion: dict[str, Any], challenger: dict[str, Any], why: str
) -> None:
    evaluate(**champion)
    tracking.promote()
    evaluate(**challenger)
    with pytest.raises(DataError, match=f"version 2 of {NAME} stays the challenger: .*{why}.*--insist") as refused:
        tracking.promote()
    assert "\n" not in str(refused.value)
    assert client.get_registered_model(NAME).aliases == {"champion": 1, "challenger": 2}
    assert "version 2 of longtail-photos is the champion, although" in tracking.promote(insist=True)
    assert client.get_registered_model(NAME).aliases == {"champion": 2}


def test_a_challenger_that_beats_the_champion_takes_its_place(client: Any) -> None:
    for right in (8, 18):
        evaluate(right)
        tracking.promote()
    assert client.get_registered_model(NAME).aliases == {"champion": 2}


def test_a_champion_whose_run_is_gone_can_be_compared_with_nothing(client: Any) -> None:
    evaluate(8)
    tracking.promote()
    run = client.get_model_version_by_alias(NAME, "champion").run_id
    shutil.rmtree(Path(client.get_run(run).info.artifact_uri.removeprefix("file://")))
    evaluate(18)
    with pytest.raises(DataError, match=r"the run of version 1 has no answers\.parquet"):
        tracking.promote()
