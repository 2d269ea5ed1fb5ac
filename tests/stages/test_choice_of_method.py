"""Methods other than LMLE through the stages: by which classifier they are judged, and what the report then shows."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import DIGIT, run_stage

from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.network.snapshot import State, best, current, read_embeddings, read_logits
from longtail.quintuplets import load_tables
from longtail.rules.evaluation import BLENDS, Blend, choose_blend, posterior
from longtail.rules.search import mean_class_accuracy
from longtail.serving import Classifier
from longtail.stages import quintuplets
from longtail.training.outcome import head_scores

AFTER_START = ("cluster", "quintuplets", "train", "index", "evaluate")


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory, one_task: Path) -> Path:
    """The tiny pipeline with the joint method."""
    root = tmp_path_factory.mktemp("joint")
    for name in ("dataset", "split", "r0"):
        shutil.copytree(one_task / name, root / name)
    for stage in AFTER_START:
        run_stage(root, stage, **({"method": {"kind": "joint"}} if stage == "train" else {}))
    return root


def test_rounds_of_a_method_with_a_classifier_are_judged_by_it(joint: Path) -> None:
    state, table = State.read(joint / "r1/model"), Split.open(joint / "split")
    assert state.judge == "head"
    for past, model in zip(state.history, ("r0/model", "r1/model"), strict=True):
        logits = read_logits(current(joint / model), "digit")
        truth = table.scored_labels(DIGIT, "validation")
        assert logits is not None
        expected = mean_class_accuracy(truth[truth >= 0], logits[truth >= 0].argmax(1))
        assert past.scores == {"digit": pytest.approx(expected)}


def test_its_report_is_on_the_head_and_has_the_neighbours_and_both_beside_it(joint: Path) -> None:
    metrics = json.loads((joint / "report/metrics.json").read_text())["digit"]
    assert {"softmax head", "softmax head and cluster-wise kNN", "cluster-wise kNN"} <= set(metrics)
    table, logits = Split.open(joint / "split"), read_logits(best(joint / "r1/model"), "digit")
    truth = table.scored_labels(DIGIT, "test")
    assert logits is not None
    expected = mean_class_accuracy(truth[truth >= 0], logits[truth >= 0].argmax(1))
    assert metrics["softmax head"]["mean_class_accuracy"] == pytest.approx(expected)
    page = (joint / "report/report.html").read_text()
    assert "Cross-entropy and triple-header hinge, classified by the softmax head" in page


def test_the_model_that_is_served_answers_by_the_head(joint: Path) -> None:
    classifier = Classifier()
    artifacts = {"model": str(best(joint / "r1/model")), "index": str(joint / "index")}
    classifier.load_context(SimpleNamespace(artifacts=artifacts))
    table, packed = Split.open(joint / "split"), PackedDataset.open(joint / "dataset")
    rows, logits = table.samples["row"].to_numpy(), read_logits(best(joint / "r1/model"), "digit")
    assert logits is not None
    answers = classifier.predict(None, packed.images(rows))
    assert answers["digit"].tolist() == np.array(DIGIT.classes)[logits.argmax(1)].tolist()
    assert answers["digit.scores"] == pytest.approx(logits, abs=1e-4)


def test_the_next_round_goes_on_with_the_same_judge(joint: Path, tmp_path: Path) -> None:
    root = tmp_path / "next"
    shutil.copytree(joint, root)
    paths = {"model": "r1/model", "clusters": "r2/clusters", "quintuplets": "r2/quintuplets"}
    run_stage(root, "cluster", paths={name: paths[name] for name in ("model", "clusters")})
    run_stage(root, "quintuplets", paths=paths)
    changed = {"previous": "r1/model", "quintuplets": "r2/quintuplets", "model": "r2/model"}
    run_stage(root, "train", paths=changed, method={"kind": "joint"}, patience=5)
    before, after = State.read(root / "r1/model"), State.read(root / "r2/model")
    assert after.judge == "head"
    assert after.history[:2] == before.history


def test_another_kind_of_method_does_not_go_on_with_a_round(joint: Path, tmp_path: Path) -> None:
    paths = {"previous": f"{joint}/r1/model", "model": f"{tmp_path}/model"}
    with pytest.raises(DataError, match="was trained by another kind of method"):
        run_stage(joint, "train", paths=paths, method={"kind": "lmle"})


@pytest.mark.parametrize("kind", ["softmax", "triplet"])
def test_the_baselines_train(one_task: Path, tmp_path: Path, kind: str) -> None:
    report = run_stage(one_task, "train", paths={"model": f"{tmp_path}/model"}, method={"kind": kind})
    assert np.isfinite(report["final_loss"])
    assert State.read(tmp_path / "model").judge == ("head" if kind == "softmax" else "cluster_wise")


def test_a_prior_without_a_classifier_has_no_score_by_it(one_task: Path, tmp_path: Path) -> None:
    run_stage(one_task, "start", paths={"model": f"{tmp_path}/hog"}, prior="hog")
    assert head_scores(current(tmp_path / "hog"), Split.open(one_task / "split")) == {}
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
    run_stage(tmp_path, "cluster")
    shared: list[int] = []
    made = quintuplets.pooled_tables
    monkeypatch.setattr(
        quintuplets, "pooled_tables", lambda e, tasks, **how: shared.append(len(tasks)) or made(e, tasks, **how)
    )
    run_stage(tmp_path, "quintuplets")
    assert shared == [2]
    run_stage(tmp_path, "train", network=network)
    for model in ("r0/model", "r1/model"):
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
    run_stage(two_tasks, "start", paths={"split": f"{tmp_path}/split", "model": f"{tmp_path}/model"})
    assert read_logits(current(tmp_path / "model"), "digit") is None
    with pytest.raises(DataError, match="tasks names"):
        run_stage(two_tasks, "split", paths={"split": f"{tmp_path}/other"}, tasks=["hats"])


def test_image_passes_are_the_same_for_methods_whose_steps_differ(one_task: Path, tmp_path: Path) -> None:
    for kind in ("lmle", "triplet", "softmax"):
        how = {"image_passes": 400, "learning_rate": 0.01, "log_every": 1, "checkpoint_every": 1}
        run_stage(one_task, "train", paths={"model": f"{tmp_path}/{kind}"}, method={"kind": kind}, optimisation=how)
    iterations = {kind: len(State.read(tmp_path / kind).history[-1].curve) for kind in ("lmle", "triplet", "softmax")}
    assert iterations["lmle"] < iterations["triplet"] < iterations["softmax"] == round(400 / 12)


def test_a_posterior_is_the_softmax_of_the_scores() -> None:
    scores = np.array([[1.0, 2.0, -5.0], [0.0, 0.0, 0.0]], np.float32)
    expected = [[np.exp(s / 0.5) / sum(np.exp(t / 0.5) for t in row) for s in row] for row in scores.tolist()]
    assert posterior(scores, 0.5) == pytest.approx(np.array(expected))


def test_a_blend_listens_to_both_and_the_best_on_validation_is_chosen() -> None:
    logits = np.array([[3.0, 0.0], [0.1, 0.0]], np.float32)
    scores = np.array([[0.0, 0.2], [0.0, 2.0]], np.float32)
    assert Blend(head=0.5, temperature=1.0).predict(logits, scores).tolist() == [0, 1]
    blend, score = choose_blend(logits, scores, np.array([0, 1]))
    assert score == 1
    assert blend == next(b for b in BLENDS if b.predict(logits, scores).tolist() == [0, 1])
