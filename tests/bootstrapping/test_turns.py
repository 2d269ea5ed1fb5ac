"""The loop end to end, on the tiny data set: turns, people through the real journal, what is asked again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from growing_set import PARAMETERS, POOL, begin, decide, pool_files, write_growing_set
from tiny import DIGIT, hashes

from longtail.artifacts.digests import check_artifact
from longtail.artifacts.lineage import Lineage
from longtail.bootstrapping.loop import Simulation, bootstrap
from longtail.bootstrapping.verdicts import undecided, verdicts
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.labelling.decisions import decisions
from longtail.labelling.journal import read_journal
from longtail.labelling.queue import Queue

IMAGES = 4 * POOL


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("loop")
    write_growing_set(root)
    return root


@pytest.fixture(scope="module")
def begun(seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One call: the first turn waits for people. Only copied."""
    root = shutil.copytree(seed, tmp_path_factory.mktemp("begun") / "root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_TRACKING", "off")
        said = bootstrap(root / "loop", begin(root), None, enough=False)
    assert "longtail label" in said
    return root


@pytest.fixture(scope="module")
def finished(begun: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both turns, with simulated people who err. Only read."""
    root = shutil.copytree(begun, tmp_path_factory.mktemp("finished") / "root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTAIL_TRACKING", "off")
        bootstrap(root / "loop", begin(root), Simulation(root / "truth.csv", 0.1), enough=False)
    return root


def go_on(root: Path, *, enough: bool = False) -> str:
    return bootstrap(root / "loop", begin(root), None, enough=enough)


def truth(root: Path) -> dict[str, str]:
    table = pd.read_csv(root / "truth.csv", keep_default_na=False).set_index("file")["class"]
    return {item: table[f"pool/{file.name}"] for item, file in pool_files(root).items()}


def answers(root: Path, queue: Path) -> dict[str, str]:
    right = truth(root)
    return {item: "yes" if right[item] == one.proposed else "no" for item, one in Queue.open(queue).items.items()}


def test_two_turns_grow_by_what_was_decided(finished: Path) -> None:
    loop = finished / "loop"
    table = pd.read_csv(loop / "summary.csv").set_index("turn")
    for turn in (1, 2):
        row, after = table.loc[turn], table.loc[turn + 1]
        assert row["asked"] == row["yes"] + row["no"] + row["unsure"] + row["undecided"]
        assert after["images"] - row["images"] == row["yes"]
        assert after["negatives"] - row["negatives"] == row["no"]
        assert row["asked"] == len(read_journal(loop / f"turn-{turn}/queue/journal.jsonl"))
    assert table["yes"].sum() > IMAGES / 3
    assert table["no"].sum() > 0
    by_turn = pd.read_csv(loop / "classes.csv").groupby("turn")
    assert by_turn["images"].sum().tolist() == table["images"].tolist()
    ratios = by_turn["images"].max() / by_turn["images"].min()
    assert table["imbalance"].tolist() == pytest.approx(ratios.tolist(), abs=0.05)
    assert by_turn["negatives"].sum().tolist() == table["negatives"].tolist()


def test_simulated_people_decide_by_the_journal_and_err(finished: Path) -> None:
    wrong = total = 0
    for turn in (1, 2):
        queue = finished / f"loop/turn-{turn}/queue"
        right = answers(finished, queue)
        for entry in read_journal(queue / "journal.jsonl"):
            assert entry.who == "simulated 1"
            assert entry.shown.proposed == Queue.open(queue).items[entry.item].proposed
            total += 1
            wrong += entry.decision != right[entry.item]
    assert 0 < wrong < 0.3 * total


def test_a_turn_never_learns_of_a_test_image(finished: Path) -> None:
    files = pool_files(finished)
    before = Split.open(finished / "split")
    for turn in (2, 3):
        table = Split.open(finished / f"loop/turn-{turn}/split")
        assert all(table.info.subsets[name] == before.info.subsets[name] for name in ("validation", "test"))
        added = table.samples["id"][len(before.samples) :]
        assert not any(files[item].name.startswith("tested") for item in added)
        assert set(table.subset[len(before.samples) :]) == {"train"}


def test_every_part_is_asked_once(finished: Path) -> None:
    pool = pd.read_parquet(finished / "loop/pool/images.parquet")
    counts = json.loads((finished / "loop/pool/counts.json").read_text())
    assert counts == {"looked_at": IMAGES + 12, "unreadable": 1, "there": 10, "twice": 1, "images": IMAGES}
    assert pool["part"].value_counts().tolist() == [IMAGES // 2, IMAGES // 2]
    for turn in (1, 2):
        assert set(Queue.open(finished / f"loop/turn-{turn}/queue").items) <= set(
            pool["item"][pool["part"] == turn - 1]
        )


def test_turns_have_digests_and_a_lineage_down_to_the_seed(finished: Path) -> None:
    for artifact in ("dataset", "split", "plain/model", "index"):
        check_artifact(finished / "loop/turn-3" / artifact)
    steps = list(Lineage.read(finished / "loop/turn-3/index").chain())
    last = [step for step in steps if step.stage == "grow"][-1]
    made_by = {name: next(step for step in steps if step.key == key) for name, key in last.inputs.items()}
    assert {name: step.stage for name, step in made_by.items()} == {
        "split": "split",
        "queue_1": "propose",
        "queue_2": "propose",
    }
    assert made_by["split"].key == Lineage.read(finished / "split").split  # from the seed, whatever the turn


def test_a_call_that_has_nothing_to_do_changes_nothing(finished: Path) -> None:
    before = hashes(finished / "loop")
    assert "all 2 parts are decided" in go_on(finished)
    assert hashes(finished / "loop") == before


def test_it_waits_until_all_is_decided_or_is_enough_and_asks_the_rest_again(begun: Path, tmp_path: Path) -> None:
    root = shutil.copytree(begun, tmp_path / "root")
    queue = root / "loop/turn-1/queue"
    right = answers(root, queue)
    some = dict(list(right.items())[:10])
    decide(queue, some)
    assert f"{len(right) - 10} of {len(right)} images of turn 1 wait" in go_on(root)
    assert not (root / "loop/turn-2").exists()
    assert "images of turn 2 wait" in go_on(root, enough=True)
    assert not (root / "loop/turn-3").exists()  # enough of the first turn, and not of the second
    again = set(Queue.open(root / "loop/turn-2/queue").items) & set(right)
    assert again
    assert again <= set(undecided(queue))
    late = next(iter(again))
    decide(queue, {late: right[late]})
    decide(queue, {next(iter(some)): "unsure"})  # a decision that was changed
    second = answers(root, root / "loop/turn-2/queue")
    decide(root / "loop/turn-2/queue", {item: said for item, said in second.items() if item != late})
    assert "all 2 parts are decided" in go_on(root, enough=True)
    used = {one.item for one in verdicts([queue, root / "loop/turn-2/queue"], DIGIT)}
    assert late in used
    assert next(iter(some)) not in used
    decided = {item for q in (1, 2) for item, one in decisions(root / f"loop/turn-{q}/queue").items() if one.by_person}
    assert used == decided - {next(iter(some))}
    table = Split.open(root / "loop/turn-3/split")
    assert set(table.samples["id"][len(Split.open(root / "split").samples) :]) == used


def test_where_the_model_is_sure_of_nothing_nobody_is_asked(seed: Path, tmp_path: Path) -> None:
    root = shutil.copytree(seed, tmp_path / "root")
    said = bootstrap(root / "loop", begin(root, confidence=1.0), None, enough=False)
    assert "all 2 parts are decided" in said
    table = Split.open(root / "loop/turn-3/split")
    assert table.info == Split.open(root / "split").info


def test_a_round_after_stored_features_proposes_too(seed: Path, tmp_path: Path) -> None:
    root = shutil.copytree(seed, tmp_path / "root")
    fit = PARAMETERS["fits"]["plain"]
    trained = {"batch": 12, "optimisation": fit["optimisation"]}
    more = {
        "features": {"stored": {"after": "start"}},
        "fits": {"before": fit | {"on": "stored"}},
        "rounds": {"plain": {"after": "before", "on": "stored"}},
        "quintuplets": {"pool_per_class": 4},
        "train": {"method": {"kind": "lmle"}, **trained},
    }
    (root / "params.yaml").write_text(json.dumps(PARAMETERS | more))
    assert "images of turn 1 wait" in bootstrap(root / "loop", begin(root), None, enough=False)
    steps = [step.stage for step in Lineage.read(root / "loop/turn-1/index").chain()]
    assert {"features", "fit", "cluster", "quintuplets", "train"} <= set(steps)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"parts": 3}, "was begun with another parts"),
        ({"training": "other"}, "was begun with another training"),
        ({"seed": 5}, "was begun with another seed"),
    ],
)
def test_what_was_begun_stays_as_it_was(finished: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        begin(finished, **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dataset": None}, "give --dataset"),
        ({"training": "absent"}, "'absent'"),
        ({"dataset": Path("nowhere")}, "there is nothing at"),
        ({"pool": [Path("/")]}, "lies in the pool"),
        ({"parts": 1000}, "1000 parts were asked"),
        ({"task": "letter"}, "no task 'letter'"),
        ({"definitions": Path("absent.yaml")}, "absent.yaml"),
    ],
)
def test_what_cannot_be_begun_is_refused(seed: Path, tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    root = shutil.copytree(seed, tmp_path / "root")
    with pytest.raises(DataError, match=sentence):
        bootstrap(root / "loop", begin(root, **changes), None, enough=False)
    assert not (root / "loop").exists() or not list((root / "loop").iterdir())


def test_a_call_with_the_directory_alone_goes_on(begun: Path, tmp_path: Path) -> None:
    from longtail.bootstrapping.plan import begun as plan_of

    moved = shutil.copytree(begun, tmp_path / "moved")
    plan = plan_of(moved / "loop", {"dataset": None, "pool": []}, None)
    assert "images of turn 1 wait" in bootstrap(moved / "loop", plan, None, enough=False)


@pytest.mark.parametrize("of_the_user", ["pool", "pool/images", "turn-1"])
def test_a_beginning_leaves_what_is_there(seed: Path, tmp_path: Path, of_the_user: str) -> None:
    root = shutil.copytree(seed, tmp_path / "root")
    shutil.move(root / "pool", root / "loop" / of_the_user)
    before = hashes(root / "loop")
    with pytest.raises(DataError, match="begin in another directory"):
        bootstrap(root / "loop", begin(root, pool=[root / "loop" / of_the_user]), None, enough=False)
    assert hashes(root / "loop") == before


def test_a_folder_in_the_place_of_the_list_stays(seed: Path, tmp_path: Path) -> None:
    root = shutil.copytree(seed, tmp_path / "root")
    (root / "loop/pool").mkdir(parents=True)
    (root / "loop/pool/precious.txt").write_text("mine")
    with pytest.raises(DataError, match="no step has written it"):
        bootstrap(root / "loop", begin(root), None, enough=False)
    assert (root / "loop/pool/precious.txt").read_text() == "mine"


def test_a_queue_that_is_missing_is_not_forgotten(begun: Path, tmp_path: Path) -> None:
    root = shutil.copytree(begun, tmp_path / "root")
    decide(root / "loop/turn-1/queue", answers(root, root / "loop/turn-1/queue"))
    go_on(root)
    decide(root / "loop/turn-2/queue", answers(root, root / "loop/turn-2/queue"))
    shutil.rmtree(root / "loop/turn-1/queue")
    with pytest.raises(DataError, match=r"turn-1/queue is missing, with what people decided"):
        go_on(root)
    assert not (root / "loop/turn-3/dataset").exists()
