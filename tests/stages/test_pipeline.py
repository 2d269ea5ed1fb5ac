"""The stages one after the other on a tiny data set: what they leave behind, and that it repeats byte for byte."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import DIGIT, KIDS, ROUNDS, hashes, round_paths, run_pipeline, run_stage, write_tiny_dataset

from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.network.embedder import load_embedder
from longtail.network.snapshot import State, best, current, read_embeddings, read_logits
from longtail.quintuplets import load_tables
from longtail.rules.clusters import load_clusters
from longtail.rules.knn import load_index
from longtail.rules.search import mean_class_accuracy


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, one_task: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset")
    run_pipeline(tmp_path)
    assert hashes(tmp_path) == hashes(one_task)


def test_the_same_seed_gives_the_same_bytes_with_two_tasks(tmp_path: Path, two_tasks: Path) -> None:
    shutil.copytree(two_tasks / "dataset", tmp_path / "dataset")
    run_pipeline(tmp_path)
    assert hashes(tmp_path) == hashes(two_tasks)


@pytest.mark.parametrize("stage", ["start", "cluster", "quintuplets", "train"])
def test_another_seed_gives_other_results(tmp_path: Path, one_task: Path, stage: str) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    out = list(ROUNDS[stage].values())[-1]
    run_stage(tmp_path, stage, seed=5)
    drawn = ("embeddings-", "network.safetensors", "assignment-", "members-")
    for name, digest in hashes(tmp_path / out).items():
        if Path(name).name.startswith(drawn) and not name.startswith("best/"):
            assert digest != hashes(one_task / out)[name]


def test_nothing_but_the_declared_outputs_is_left(one_task: Path) -> None:
    declared = {path for paths in ROUNDS.values() for path in paths.values()}
    found = {str(path.relative_to(one_task)) for path in [*one_task.iterdir(), *one_task.glob("r?/*")]}
    assert found == declared | {"r0", "r1"}


def test_embeddings_lie_on_the_sphere_aligned_with_the_split(two_tasks: Path) -> None:
    table, packed = Split.open(two_tasks / "split"), PackedDataset.open(two_tasks / "dataset")
    rows = table.samples["row"].to_numpy()
    for model in ("r0/model", "r1/model"):
        expected = load_embedder(current(two_tasks / model))(packed.images(rows))
        for task in ("digit", "kids"):
            stored = read_embeddings(current(two_tasks / model), task)
            assert stored.dtype == np.float32
            assert np.linalg.norm(stored, axis=1) == pytest.approx(1, abs=1e-5)
            assert np.allclose(stored, expected[task], atol=1e-5)


def test_the_logits_of_round_0_are_stored_and_those_of_later_rounds_do_not_exist(two_tasks: Path) -> None:
    table, packed = Split.open(two_tasks / "split"), PackedDataset.open(two_tasks / "dataset")
    expected = load_embedder(current(two_tasks / "r0/model")).logits(packed.images(table.samples["row"].to_numpy()))
    for task in (DIGIT, KIDS):
        logits = read_logits(current(two_tasks / "r0/model"), task.name)
        assert logits is not None
        assert np.allclose(logits, expected[task.name], atol=1e-5)
        assert read_logits(current(two_tasks / "r1/model"), task.name) is None


def test_only_labelled_training_samples_are_clustered_and_are_anchors(two_tasks: Path) -> None:
    table = Split.open(two_tasks / "split")
    clusters, tables = load_clusters(two_tasks / "r1/clusters"), load_tables(two_tasks / "r1/quintuplets")
    for task in table.tasks:
        known = np.flatnonzero(table.train_labels(task) >= 0)
        assert np.flatnonzero(clusters[task.name].assignment >= 0).tolist() == known.tolist()
        assert tables[task.name].members[:, 0].tolist() == known.tolist()
        assert set(tables[task.name].members.ravel().tolist()) <= set(known.tolist())


def test_the_curve_has_the_hinges_and_the_loss_is_their_sum(two_tasks: Path) -> None:
    curve = State.read(two_tasks / "r1/model").history[-1].curve
    assert [point["iteration"] for point in curve] == [4, 8, 12]
    for point in curve:
        hinges = point["hinge_1"] + point["hinge_2"] + point["hinge_3"]
        assert point["loss"] == pytest.approx(hinges, rel=1e-5)


def test_the_state_tells_the_story_of_the_rounds(one_task: Path) -> None:
    state = State.read(one_task / "r1/model")
    assert [past.round for past in state.history] == [0, 1]
    scores = [past.scores["digit"] for past in state.history]
    assert (state.best_round, state.best_score, state.stopped) == (1, scores[1], False)


def test_the_validation_score_is_that_of_the_index(tmp_path: Path, two_tasks: Path) -> None:
    """Round 0's score is recomputed here with the classifier that the index stage makes of round 0."""
    run_stage(two_tasks, "index", paths={"model": "r0/model", "index": f"{tmp_path}/index"})
    table, index = Split.open(two_tasks / "split"), load_index(tmp_path / "index")
    scores = State.read(two_tasks / "r0/model").history[0].scores
    for task in table.tasks:
        truth = table.scored_labels(task, "validation")
        embeddings = read_embeddings(current(two_tasks / "r0/model"), task.name)
        predicted = index[task.name].predict(embeddings[truth >= 0])[0]
        # k and the decision of the index were searched over fewer k than those of the score.
        assert mean_class_accuracy(truth[truth >= 0], predicted) <= scores[task.name]


def test_the_index_holds_the_clusters_of_the_best_round_on_train_alone(one_task: Path) -> None:
    table = Split.open(one_task / "split")
    index, clusters = load_index(one_task / "index")["digit"], load_clusters(one_task / "index/clusters")["digit"]
    embeddings = read_embeddings(best(one_task / "r1/model"), "digit")
    assert (np.flatnonzero(clusters.assignment >= 0) == table.positions("train")).all()
    for number, point in enumerate(index.points):
        mean = embeddings[clusters.assignment == number].mean(0)
        assert np.allclose(point, mean / np.linalg.norm(mean), atol=1e-5)


def test_search_json_keeps_every_k_that_was_tried(two_tasks: Path) -> None:
    tried = json.loads((two_tasks / "index/search.json").read_text())
    for task in ("digit", "kids"):
        for kind in ("cluster_wise", "sample_wise"):
            curve = tried[task][kind]["curve"]
            assert tried[task][kind]["score"] == max(point["score"] for point in curve)
        assert {point["decision"] for point in tried[task]["cluster_wise"]["curve"]} == {"large_margin", "vote"}
        assert {point["decision"] for point in tried[task]["sample_wise"]["curve"]} == {"vote"}


def test_the_index_is_chosen_on_validation_alone(two_tasks: Path) -> None:
    table, tried = Split.open(two_tasks / "split"), json.loads((two_tasks / "index/search.json").read_text())
    for task in table.tasks:
        embeddings = read_embeddings(best(two_tasks / "r1/model"), task.name)
        index, truth = load_index(two_tasks / "index")[task.name], table.scored_labels(task, "validation")
        for point in tried[task.name]["cluster_wise"]["curve"]:
            classifier = replace(index, k=point["k"], decision=point["decision"])
            predicted = classifier.predict(embeddings[truth >= 0])[0]
            assert point["score"] == mean_class_accuracy(truth[truth >= 0], predicted)
        curve = tried[task.name]["cluster_wise"]["curve"]
        top = max(point["score"] for point in curve)
        assert index.k == min(point["k"] for point in curve if point["score"] == top)


def test_the_report_compares_the_classifiers_on_the_same_embedding(two_tasks: Path) -> None:
    metrics = json.loads((two_tasks / "report/metrics.json").read_text())
    assert set(metrics) == {"digit", "kids"}
    for task in metrics:
        assert len(metrics[task]) == 4
    predictions = pd.read_parquet(two_tasks / "report/predictions-kids.parquet")
    table = Split.open(two_tasks / "split")
    assert predictions["id"].tolist() == table.samples["id"][table.subset == "test"].tolist()
    missing = table.labels(KIDS)[table.positions("test")] < 0
    assert (predictions["true"].isna() == missing).all()
    assert (two_tasks / "report/report.html").read_text().startswith("<!")


def test_every_output_says_where_it_comes_from(two_tasks: Path) -> None:
    md5 = PackedDataset.open(two_tasks / "dataset").info.md5
    origin = json.loads((two_tasks / "report/lineage.json").read_text())
    assert origin["dataset"] == md5
    assert set(origin["stages"]) == set(ROUNDS)


def test_a_longer_training_classifies_by_its_softmax_head(tmp_path: Path, one_task: Path) -> None:
    run_stage(
        one_task,
        "start",
        paths={"model": f"{tmp_path}/model"},
        optimisation={"iterations": 60, "learning_rate": 0.02},
        cost=False,
        sampling="natural",
    )
    table = Split.open(one_task / "split")
    logits = read_logits(current(tmp_path / "model"), "digit")
    assert logits is not None
    test = table.positions("test")
    assert (logits.argmax(1) == table.labels(DIGIT))[test].mean() > 0.9


def test_a_stopped_round_passes_everything_through(tmp_path: Path, one_task: Path) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    state = State.read(tmp_path / "r1/model")
    state.model_copy(update={"stopped": True}).write(tmp_path / "r1/model")
    paths = round_paths(2)
    for stage in ("cluster", "quintuplets", "train"):
        report = run_stage(tmp_path, stage, paths=paths[stage])
        assert report["stopped"] == 1
        assert (tmp_path / list(paths[stage].values())[-1]).is_dir()
    before, after = hashes(tmp_path / "r1/model"), hashes(tmp_path / "r2/model")
    del before["lineage.json"], after["lineage.json"]  # which gains the parameters of the skipped round
    assert before == after
    for name, model in (("index-1", "r1/model"), ("index-2", "r2/model")):
        run_stage(tmp_path, "index", paths={"model": model, "index": name})
    assert hashes(tmp_path / "index-1") == hashes(tmp_path / "index-2")


def test_a_worse_round_keeps_the_best_one_beside_it(tmp_path: Path, one_task: Path) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    state = State.read(tmp_path / "r1/model")
    state.model_copy(update={"best_score": 2.0}).write(tmp_path / "r1/model")  # no round can be better
    for number, stopped in ((2, 0), (3, 1)):
        for stage, paths in round_paths(number).items():
            last = run_stage(tmp_path, stage, paths=paths, **({"patience": 2} if stage == "train" else {}))
        assert (last["round"], last["best_round"], last["stopped"]) == (number, 1, stopped)
        assert hashes(tmp_path / f"r{number}/model/best") == hashes(tmp_path / "r1/model/current")


def test_a_better_round_is_the_best_one(tmp_path: Path, one_task: Path) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    state = State.read(tmp_path / "r1/model")
    state.model_copy(update={"best_score": -1.0}).write(tmp_path / "r1/model")
    for stage, paths in round_paths(2).items():
        last = run_stage(tmp_path, stage, paths=paths)
    assert (last["best_round"], last["stopped"]) == (2, 0)
    assert not (tmp_path / "r2/model/best").exists()


def test_a_round_begins_with_the_network_of_the_one_before(tmp_path: Path, one_task: Path) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    still = {"iterations": 1, "learning_rate": 1e-12, "weight_decay": 0, "freeze_batch_norm": True}
    run_stage(tmp_path, "train", optimisation=still)
    before, after = (read_embeddings(current(tmp_path / f"r{i}/model"), "digit") for i in (0, 1))
    assert np.allclose(before, after, atol=1e-5)


def test_inputs_of_different_data_are_refused(tmp_path: Path, one_task: Path) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    write_tiny_dataset(tmp_path / "dataset", seed=1)
    with pytest.raises(DataError, match="the inputs of train come from different data sets"):
        run_stage(tmp_path, "train")


def test_inputs_of_different_splits_are_refused(tmp_path: Path, one_task: Path) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    run_stage(tmp_path, "split", seed=1)
    for stage in ("cluster", "quintuplets", "train", "index", "evaluate"):
        with pytest.raises(DataError, match=f"the inputs of {stage} come from different splits"):
            run_stage(tmp_path, stage)


@pytest.mark.parametrize("stage", list(ROUNDS))
def test_a_missing_input_is_named_and_nothing_is_written(tmp_path: Path, one_task: Path, stage: str) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    *inputs, output = ROUNDS[stage].values()
    shutil.rmtree(tmp_path / output)
    shutil.rmtree(tmp_path / inputs[-1])
    before = hashes(tmp_path)
    with pytest.raises(DataError, match=f"does not exist: {tmp_path / inputs[-1]}; run the step that makes it first"):
        run_stage(tmp_path, stage)
    assert hashes(tmp_path) == before


@pytest.mark.parametrize(("stage", "broken"), [("cluster", "r0/model"), ("start", "split"), ("start", "dataset")])
def test_an_input_that_is_something_else_is_refused(tmp_path: Path, one_task: Path, stage: str, broken: str) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / broken)
    (tmp_path / broken).mkdir()
    with pytest.raises(DataError, match=rf"{tmp_path / broken} is not a .*; make it with `longtail \w+`"):
        run_stage(tmp_path, stage)
