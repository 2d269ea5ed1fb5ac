"""Methods other than LMLE through the stages: by which rule they are scored, and what the report then shows."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tiny import DIGIT, PARAMETERS, round_paths, run_stage

from longtail.artifacts.reading import read_json
from longtail.artifacts.weights import read_weights
from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.metrics.probabilities import probabilities
from longtail.network.snapshot import State, best, current, read_embeddings, read_logits
from longtail.quintuplets.table import load_tables
from longtail.rules.probabilities import PROBABILITIES
from longtail.rules.search import Search, mean_class_accuracy
from longtail.serving import Classifier
from longtail.stages import quintuplets
from longtail.stages.train import Params
from longtail.training.outcome import Scoring, validation_scores

AFTER_FIT = ("cluster", "quintuplets", "train", "index", "evaluate")


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory, one_task: Path) -> Path:
    """The tiny pipeline with the joint method."""
    root = tmp_path_factory.mktemp("joint")
    for name in ("dataset", "split", "softmax"):
        shutil.copytree(one_task / name, root / name)
    for stage in AFTER_FIT:
        run_stage(root, stage, **({"method": {"kind": "joint"}} if stage == "train" else {}))
    return root


def test_rounds_of_a_method_with_a_classifier_are_scored_by_it(joint: Path) -> None:
    state, table = State.read(joint / "r1/model"), Split.open(joint / "split")
    assert state.rule == "head"
    for past, model in zip(state.history, ("softmax/model", "r1/model"), strict=True):
        logits = read_logits(current(joint / model), "digit")
        truth = table.scored_labels(DIGIT, "validation")
        assert logits is not None
        expected = mean_class_accuracy(truth[truth >= 0], logits[truth >= 0].argmax(1))
        assert past.scores == {"digit": pytest.approx(expected)}


def test_its_report_is_on_the_head_and_has_the_neighbours_and_both_beside_it(joint: Path) -> None:
    found = read_json(joint / "report/metrics.json")["digit"]["r1"]
    assert found["rule"] == "head"
    assert {"cluster_wise", "sample_wise", "head", "head_and_knn"} <= set(found["rules"])
    table, logits = Split.open(joint / "split"), read_logits(best(joint / "r1/model"), "digit")
    truth = table.scored_labels(DIGIT, "test")
    assert logits is not None
    expected = mean_class_accuracy(truth[truth >= 0], logits[truth >= 0].argmax(1))
    assert found["rules"]["head"]["mean_class_accuracy"] == pytest.approx(expected)
    page = (joint / "report/report.html").read_text()
    assert "Cross-entropy and triple-header hinge, answered by the softmax head" in page


def test_the_model_that_is_served_answers_by_the_head(joint: Path) -> None:
    classifier = Classifier()
    classifier.load_context(SimpleNamespace(artifacts={"index": str(joint / "index/r1")}))
    table, packed = Split.open(joint / "split"), PackedDataset.open(joint / "dataset")
    rows, logits = table.samples["row"].to_numpy(), read_logits(best(joint / "r1/model"), "digit")
    assert logits is not None
    answers = classifier.predict(None, packed.images(rows))
    assert answers["digit"].tolist() == np.array(DIGIT.classes)[logits.argmax(1)].tolist()
    head = read_json(joint / "index/r1/rules.json")["digit"]["head"]
    assert answers["digit.probabilities"] == pytest.approx(
        probabilities(logits, head[PROBABILITIES]["temperature"]), abs=1e-4
    )


def test_the_next_round_goes_on_with_the_same_rule(joint: Path, tmp_path: Path) -> None:
    root = tmp_path / "next"
    shutil.copytree(joint, root)
    changes = {"train": {"method": {"kind": "joint"}, "patience": 5}}
    for stage, paths in round_paths(2).items():
        run_stage(root, stage, paths=paths, **changes.get(stage, {}))
    before, after = State.read(root / "r1/model"), State.read(root / "r2/model")
    assert after.rule == "head"
    assert after.history[:2] == before.history


def test_another_kind_of_method_does_not_go_on_with_a_round(joint: Path, tmp_path: Path) -> None:
    paths = {"previous": f"{joint}/r1/model", "model": f"{tmp_path}/model"}
    with pytest.raises(DataError, match="was trained in rounds by another kind of method"):
        run_stage(joint, "train", paths=paths, method={"kind": "lmle"})


@pytest.mark.parametrize("kind", ["softmax", "triplet"])
def test_the_baselines_train(one_task: Path, tmp_path: Path, kind: str) -> None:
    report = run_stage(one_task, "train", paths={"model": f"{tmp_path}/model"}, method={"kind": kind})
    assert np.isfinite(report["final_loss"])
    assert State.read(tmp_path / "model").rule == ("head" if kind == "softmax" else "cluster_wise")


def test_the_prior_may_give_the_clusters_alone(one_task: Path, tmp_path: Path) -> None:
    """With `fresh` the first round begins as a network that was never trained; the next goes on with it."""
    still = {"optimisation": {**PARAMETERS["train"]["optimisation"], "learning_rate": 1e-12}}
    run_stage(one_task, "train", paths={"model": f"{tmp_path}/fresh"}, fresh=True, **still)
    run_stage(one_task, "train", paths={"model": f"{tmp_path}/continued"}, **still)
    weights = {
        name: read_weights(current(path) / "network.safetensors")["embeddings.0.weight"]
        for name, path in {
            "prior": one_task / "softmax/model",
            "fresh": tmp_path / "fresh",
            "continued": tmp_path / "continued",
        }.items()
    }
    assert torch.allclose(weights["continued"], weights["prior"], atol=1e-6)
    assert not torch.allclose(weights["fresh"], weights["prior"], atol=1e-2)
    paths = {"previous": tmp_path / "fresh", "model": tmp_path / "second"}
    run_stage(one_task, "train", paths={name: str(path) for name, path in paths.items()}, fresh=True, **still)
    second = read_weights(current(tmp_path / "second") / "network.safetensors")["embeddings.0.weight"]
    assert torch.allclose(second, weights["fresh"], atol=1e-6)


def test_patience_does_not_end_a_schedule_over_the_rounds() -> None:
    with pytest.raises(ValidationError, match="patience 2 may stop the training before its schedule of 3 rounds"):
        Params(patience=2, schedule_rounds=3)
    assert Params(patience=3, schedule_rounds=3)


def test_a_schedule_over_the_rounds_ends_with_the_last_of_them(joint: Path, tmp_path: Path) -> None:
    def goes_on(previous: str, model: str, rounds: int) -> None:
        paths = {"previous": previous, "quintuplets": "r1/quintuplets", "model": f"{tmp_path}/{model}"}
        run_stage(joint, "train", paths=paths, method={"kind": "joint"}, patience=9, schedule_rounds=rounds)

    goes_on("r1/model", "own", 1)
    goes_on("r1/model", "second", 2)
    own, second = (read_weights(current(tmp_path / name) / "network.safetensors") for name in ("own", "second"))
    assert any(not torch.equal(own[name], second[name]) for name in own)
    with pytest.raises(DataError, match=r"this is round 3, and train\.schedule_rounds ends the schedule with round 2"):
        goes_on(f"{tmp_path}/second", "third", 2)


def test_a_prior_without_a_classifier_has_no_score_by_it(one_task: Path, tmp_path: Path) -> None:
    run_stage(one_task, "start", paths={"model": f"{tmp_path}/hog"}, prior="hog")
    by_head = Scoring("head", 8, Search(), 0)
    assert validation_scores(by_head, current(tmp_path / "hog"), Split.open(one_task / "split")) == {}
    paths = {"previous": f"{tmp_path}/hog", "model": f"{tmp_path}/model"}
    run_stage(one_task, "train", paths=paths, method={"kind": "joint"})
    state = State.read(tmp_path / "model")
    assert (state.history[0].scores, state.best_round) == ({}, 1)


def test_one_embedding_for_all_tasks_and_one_product_for_their_tables(
    two_tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(two_tasks / "dataset", tmp_path / "dataset")
    shutil.copytree(two_tasks / "split", tmp_path / "split")
    network = {"embedding": 8, "shared_embedding": True}
    run_stage(tmp_path, "start", network=network)
    run_stage(tmp_path, "fit", network=network)
    run_stage(tmp_path, "cluster")
    shared: list[int] = []
    made = quintuplets.pooled_tables
    monkeypatch.setattr(
        quintuplets, "pooled_tables", lambda e, tasks, **how: shared.append(len(tasks)) or made(e, tasks, **how)
    )
    run_stage(tmp_path, "quintuplets")
    assert shared == [2]
    run_stage(tmp_path, "train", network=network)
    for model in ("start/model", "softmax/model", "r1/model"):
        first, second = (read_embeddings(current(tmp_path / model), task) for task in ("digit", "kids"))
        assert np.array_equal(first, second)
    assert set(load_tables(tmp_path / "r1/quintuplets")) == {"digit", "kids"}


def test_tasks_that_share_their_mini_batches_train(two_tasks: Path, tmp_path: Path) -> None:
    report = run_stage(two_tasks, "train", paths={"model": f"{tmp_path}/model"}, together=True)
    assert np.isfinite(report["final_loss"])


def test_a_task_alone_has_the_same_subsets(two_tasks: Path, tmp_path: Path) -> None:
    run_stage(two_tasks, "split", paths={"split": f"{tmp_path}/split"}, tasks=["kids"])
    alone, both = Split.open(tmp_path / "split"), Split.open(two_tasks / "split")
    assert [task.name for task in alone.tasks] == ["kids"]
    assert alone.samples["id"].tolist() == both.samples["id"].tolist()
    assert (alone.subset == both.subset).all()
    split = {"split": f"{tmp_path}/split"}
    run_stage(two_tasks, "start", paths=split | {"model": f"{tmp_path}/start"})
    run_stage(two_tasks, "fit", paths=split | {"previous": f"{tmp_path}/start", "model": f"{tmp_path}/model"})
    assert read_logits(current(tmp_path / "model"), "digit") is None
    assert read_logits(current(tmp_path / "model"), "kids") is not None
    with pytest.raises(DataError, match="tasks names"):
        run_stage(two_tasks, "split", paths={"split": f"{tmp_path}/other"}, tasks=["hats"])


def test_image_passes_are_the_same_for_methods_whose_steps_differ(one_task: Path, tmp_path: Path) -> None:
    for kind in ("lmle", "triplet", "softmax"):
        how = {"image_passes": 400, "learning_rate": 0.01, "log_every": 1, "checkpoint_every": 1}
        run_stage(one_task, "train", paths={"model": f"{tmp_path}/{kind}"}, method={"kind": kind}, optimisation=how)
    iterations = {kind: len(State.read(tmp_path / kind).history[-1].curve) for kind in ("lmle", "triplet", "softmax")}
    assert iterations["lmle"] < iterations["triplet"] < iterations["softmax"] == round(400 / 12)
