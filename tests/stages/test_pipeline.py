"""The stages one after the other on a tiny data set: what they leave behind, and that it repeats byte for byte."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from tiny import (
    ARTIFACTS,
    DIGIT,
    KIDS,
    evaluate_models,
    hashes,
    round_paths,
    run_pipeline,
    run_stage,
    write_tiny_dataset,
)

from longtail.artifacts.digests import write_digests
from longtail.artifacts.lineage import Lineage
from longtail.artifacts.reading import read_json
from longtail.data.dataset import PackedDataset
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.network.embedder import load_embedder
from longtail.network.snapshot import State, best, current, read_embeddings, read_logits
from longtail.quintuplets.table import load_tables
from longtail.rules.base import rule_class
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.clusters import load_clusters
from longtail.rules.registry import RULES
from longtail.rules.search import mean_class_accuracy

# The rules that ask no trained classifier.
WITHOUT_HEAD = [rule for rule in RULES if not rule_class(rule).needs_logits]


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, one_task: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset")
    run_pipeline(tmp_path)
    assert hashes(tmp_path) == hashes(one_task)


def test_the_same_seed_gives_the_same_bytes_with_two_tasks(tmp_path: Path, two_tasks: Path) -> None:
    shutil.copytree(two_tasks / "dataset", tmp_path / "dataset")
    run_pipeline(tmp_path)
    assert hashes(tmp_path) == hashes(two_tasks)


@pytest.mark.parametrize("stage", ["start", "fit", "cluster", "quintuplets", "train"])
def test_another_seed_gives_other_results(tmp_path: Path, one_task: Path, stage: str) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    out = list(ARTIFACTS[stage].values())[-1]
    run_stage(tmp_path, stage, seed=5)
    drawn = ("embeddings-", "network.safetensors", "assignment-", "members-")
    for name, digest in hashes(tmp_path / out).items():
        if Path(name).name.startswith(drawn) and not name.startswith("best/"):
            assert digest != hashes(one_task / out)[name]


def test_nothing_but_the_declared_outputs_is_left(one_task: Path) -> None:
    declared = {path for paths in ARTIFACTS.values() for path in paths.values()}
    folders = {"start", "softmax", "r1", "index"}
    inside = [path for folder in folders for path in (one_task / folder).iterdir()]
    assert {str(path.relative_to(one_task)) for path in [*one_task.iterdir(), *inside]} == declared | folders


def test_embeddings_lie_on_the_sphere_aligned_with_the_split(two_tasks: Path) -> None:
    table, packed = Split.open(two_tasks / "split"), PackedDataset.open(two_tasks / "dataset")
    rows = table.samples["row"].to_numpy()
    for model in ("start/model", "softmax/model", "r1/model"):
        expected = load_embedder(current(two_tasks / model))(packed.images(rows))
        for task in ("digit", "kids"):
            stored = read_embeddings(current(two_tasks / model), task)
            assert stored.dtype == np.float32
            assert np.linalg.norm(stored, axis=1) == pytest.approx(1, abs=1e-5)
            assert np.allclose(stored, expected[task], atol=1e-5)


def test_the_logits_of_a_method_that_trains_its_classifiers_are_stored_and_no_others(two_tasks: Path) -> None:
    table, packed = Split.open(two_tasks / "split"), PackedDataset.open(two_tasks / "dataset")
    rows = table.samples["row"].to_numpy()
    expected = load_embedder(current(two_tasks / "softmax/model")).logits(packed.images(rows))
    for task in (DIGIT, KIDS):
        logits = read_logits(current(two_tasks / "softmax/model"), task.name)
        assert logits is not None
        assert np.allclose(logits, expected[task.name], atol=1e-5)
        for model in ("start/model", "r1/model"):
            assert read_logits(current(two_tasks / model), task.name) is None


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


def test_what_rounds_start_from_is_scored_by_the_rule_of_the_rounds(tmp_path: Path, two_tasks: Path) -> None:
    """Which is that of the index, given as much to try."""
    assert State.read(two_tasks / "softmax/model").rule == "head"
    state = State.read(two_tasks / "r1/model")
    assert state.rule == "cluster_wise"
    for model, past in zip(("softmax/model", "r1/model"), state.history, strict=True):
        index = f"{tmp_path}/{model}"
        run_stage(two_tasks, "index", paths={"model": model, "index": index}, search={})
        tried = read_json(Path(index) / "rules.json")
        assert past.scores == {task: tried[task]["cluster_wise"]["score"] for task in ("digit", "kids")}


def test_what_was_tried_on_validation_is_not_scored_better_than_its_answers(tmp_path: Path, two_tasks: Path) -> None:
    run_stage(two_tasks, "index", paths={"model": "softmax/model", "index": f"{tmp_path}/index"})
    table, before = Split.open(two_tasks / "split"), State.read(two_tasks / "r1/model").history[0]
    for task in table.tasks:
        truth = table.scored_labels(task, "validation")
        embeddings = read_embeddings(tmp_path / "index/snapshot", task.name)
        rule = ClusterWise.load(tmp_path / "index/rules", task.name)
        predicted = rule.predict(embeddings[truth >= 0], None)[0]
        score = mean_class_accuracy(truth[truth >= 0], predicted)
        assert score == rule.score
        # k and the decision of the index were searched over fewer k than those of the round's score.
        assert score <= before.scores[task.name]


def test_the_index_holds_the_clusters_of_the_best_round_on_train_alone(one_task: Path) -> None:
    table, rule = Split.open(one_task / "split"), ClusterWise.load(one_task / "index/r1/rules", "digit")
    embeddings = read_embeddings(best(one_task / "r1/model"), "digit")
    assert (np.flatnonzero(rule.clusters.assignment >= 0) == table.positions("train")).all()
    for number, point in enumerate(rule.neighbours.points):
        mean = embeddings[rule.clusters.assignment == number].mean(0)
        assert np.allclose(point, mean / np.linalg.norm(mean), atol=1e-5)


def test_the_index_has_all_that_answers_for_the_model(two_tasks: Path) -> None:
    index, model = two_tasks / "index/r1", two_tasks / "r1/model"
    assert {path.name for path in index.iterdir()} == {
        "snapshot",
        "state.json",
        "rules.json",
        "rules",
        "lineage.json",
        "digests.json",
    }
    assert hashes(index / "snapshot") == hashes(best(model))
    assert State.read(index) == State.read(model)
    # Hinges train no classifier that the other rules could ask.
    fitted = {task: list(rules) for task, rules in read_json(index / "rules.json").items()}
    assert fitted == {"digit": WITHOUT_HEAD, "kids": WITHOUT_HEAD}


def test_the_rules_to_fit_can_be_chosen_and_a_models_own_is_fitted_in_any_case(tmp_path: Path, one_task: Path) -> None:
    for rules, expected in (([], ["cluster_wise", "head"]), (["sample_wise"], ["cluster_wise", "sample_wise", "head"])):
        paths = {"model": "softmax/model", "index": f"{tmp_path}/index"}
        report = run_stage(one_task, "index", paths=paths, rules=rules)
        fitted = read_json(tmp_path / "index/rules.json")["digit"]
        assert list(fitted) == expected
        assert {key: report[f"digit_validation_{key}"] for key in expected} == {
            key: rule["score"] for key, rule in fitted.items()
        }
    with pytest.raises(ValidationError, match="there is no rule 'heads'; there are cluster_wise, "):
        run_stage(one_task, "index", paths=paths, rules=["heads"])


def test_a_rule_that_a_classifier_does_not_allow_is_left_out_and_said_where_it_is_asked_for(
    tmp_path: Path, one_task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dataset", "split", "start"):
        (tmp_path / name).symlink_to(one_task / name)
    run_stage(tmp_path, "fit", method={"kind": "ldam"}, sampling="natural", cost=False)
    paths = {"model": "softmax/model", "index": "index"}
    for asked in ({}, {"rules": ["head_tau_normalised", "head_adjusted"]}):
        capsys.readouterr()
        run_stage(tmp_path, "index", paths=paths, **asked)
        fitted, said = read_json(tmp_path / "index/rules.json")["digit"], capsys.readouterr().err
        assert "head_adjusted" in fitted
        assert "head_tau_normalised" not in fitted
        sentence = "index: digit has no rule head_tau_normalised: the classifier is no linear layer with biases"
        assert (sentence in said) == bool(asked)


def test_rules_json_keeps_every_k_that_was_tried(two_tasks: Path) -> None:
    tried = read_json(two_tasks / "index/r1/rules.json")
    for task in ("digit", "kids"):
        for rule in ("cluster_wise", "sample_wise"):
            curve = tried[task][rule]["curve"]
            assert tried[task][rule]["score"] == max(point["score"] for point in curve)
        assert {point["decision"] for point in tried[task]["cluster_wise"]["curve"]} == {"large_margin", "vote"}
        assert {point["decision"] for point in tried[task]["sample_wise"]["curve"]} == {"vote"}


def test_the_index_is_chosen_on_validation_alone(two_tasks: Path) -> None:
    table, tried = Split.open(two_tasks / "split"), read_json(two_tasks / "index/r1/rules.json")
    for task in table.tasks:
        embeddings = read_embeddings(best(two_tasks / "r1/model"), task.name)
        index = ClusterWise.load(two_tasks / "index/r1/rules", task.name).neighbours
        truth = table.scored_labels(task, "validation")
        curve = tried[task.name]["cluster_wise"]["curve"]
        for point in curve:
            classifier = replace(index, k=point["k"], decision=point["decision"])
            predicted = classifier.predict(embeddings[truth >= 0])[0]
            assert point["score"] == mean_class_accuracy(truth[truth >= 0], predicted)
        top = max(point["score"] for point in curve)
        assert index.k == min(point["k"] for point in curve if point["score"] == top)


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory, two_tasks: Path) -> Path:
    """The round and the training before it in one report."""
    root = tmp_path_factory.mktemp("side_by_side")
    shutil.copytree(two_tasks, root, dirs_exist_ok=True)
    evaluate_models(root, "r1", "softmax", baseline="softmax")
    return root


def test_the_report_compares_the_rules_of_a_model_on_the_same_embedding(two_tasks: Path) -> None:
    metrics = read_json(two_tasks / "report/metrics.json")
    assert set(metrics) == {"digit", "kids"}
    for of_task in metrics.values():
        assert list(of_task) == ["r1"]
        assert of_task["r1"]["rule"] == "cluster_wise"
        assert of_task["r1"]["difference"] is None
        assert list(of_task["r1"]["rules"]) == WITHOUT_HEAD
    predictions = pd.read_parquet(two_tasks / "report/predictions-kids.parquet")
    table = Split.open(two_tasks / "split")
    assert list(predictions) == ["id", "true", *(f"r1.{rule}" for rule in WITHOUT_HEAD)]
    assert predictions["id"].tolist() == table.samples["id"][table.subset == "test"].tolist()
    missing = table.labels(KIDS)[table.positions("test")] < 0
    assert (predictions["true"].isna() == missing).all()
    assert (two_tasks / "report/report.html").read_text().startswith("<!")


def test_a_report_sets_models_side_by_side_and_each_beside_the_baseline(side_by_side: Path) -> None:
    metrics = read_json(side_by_side / "report/metrics.json")
    for task, of_task in metrics.items():
        assert [(model, found["rule"]) for model, found in of_task.items()] == [
            ("r1", "cluster_wise"),
            ("softmax", "head_adjusted"),
        ]
        assert list(of_task["softmax"]["rules"]) == [rule for rule in RULES if rule != "head_thresholds"]
        assert of_task["softmax"]["difference"] is None
        gained = [found["rules"][found["rule"]]["mean_class_accuracy"] for m, found in of_task.items()]
        assert of_task["r1"]["difference"]["mean"] == pytest.approx(gained[0] - gained[1])
        predictions = pd.read_parquet(side_by_side / f"report/predictions-{task}.parquet")
        known = predictions[predictions["true"].notna() & (predictions["true"] != "unsure")]
        right = known["true"] == known["softmax.head_adjusted"]
        assert gained[1] == pytest.approx(right.groupby(known["true"]).mean().mean())


def test_a_baseline_that_is_not_evaluated_is_refused(one_task: Path) -> None:
    with pytest.raises(ValidationError, match="the baseline 'softmax' is none of the models"):
        run_stage(one_task, "evaluate", baseline="softmax")


def test_every_output_says_where_it_comes_from(two_tasks: Path) -> None:
    md5 = PackedDataset.open(two_tasks / "dataset").info.md5
    origin = Lineage.read(two_tasks / "report")
    assert origin.dataset == md5
    assert [step.stage for step in origin.chain()] == list(ARTIFACTS)
    assert {step.dataset for step in origin.chain()} == {md5}


def test_a_report_of_several_models_says_where_each_comes_from(side_by_side: Path) -> None:
    origin = Lineage.read(side_by_side / "report")
    # What the models share is there once.
    assert sorted(step.stage for step in origin.chain()) == sorted([*ARTIFACTS, "index"])
    *_, last = origin.chain()
    assert {origin.steps[key].stage for key in last.inputs.values()} == {"split", "index"}
    assert set(last.inputs) == {"split", "indexes/r1", "indexes/softmax"}


def test_a_longer_training_classifies_by_its_softmax_head(tmp_path: Path, one_task: Path) -> None:
    run_stage(
        one_task,
        "fit",
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
    write_digests(tmp_path / "r1/model")
    paths = round_paths(2)
    for stage in ("cluster", "quintuplets", "train"):
        report = run_stage(tmp_path, stage, paths=paths[stage])
        assert report["stopped"] == 1
        assert (tmp_path / list(paths[stage].values())[-1]).is_dir()
    before, after = hashes(tmp_path / "r1/model"), hashes(tmp_path / "r2/model")
    for one in (before, after):  # the lineage gains the skipped round
        del one["lineage.json"], one["digests.json"]
    assert before == after
    for name, model in (("index-1", "r1/model"), ("index-2", "r2/model")):
        run_stage(tmp_path, "index", paths={"model": model, "index": name})
    before, after = hashes(tmp_path / "index-1"), hashes(tmp_path / "index-2")
    for one in (before, after):
        del one["lineage.json"], one["digests.json"]
    assert before == after


def score_the_round(model: Path, score: float) -> None:
    """Let the only round of a model have that score on validation."""
    state = State.read(model)
    scored = state.history[1].model_copy(update={"scores": {"digit": score}})
    state.model_copy(update={"history": [state.history[0], scored]}).write(model)
    write_digests(model)


def test_a_worse_round_keeps_the_best_one_beside_it(tmp_path: Path, one_task: Path) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    score_the_round(tmp_path / "r1/model", 2.0)  # no round can be better
    for number, stopped in ((2, 0), (3, 1)):
        for stage, paths in round_paths(number).items():
            last = run_stage(tmp_path, stage, paths=paths, **({"patience": 2} if stage == "train" else {}))
        assert (last["round"], last["best_round"], last["stopped"]) == (number, 1, stopped)
        assert hashes(tmp_path / f"r{number}/model/best") == hashes(tmp_path / "r1/model/current")


def test_a_better_round_is_the_best_one(tmp_path: Path, one_task: Path) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    score_the_round(tmp_path / "r1/model", -1.0)
    for stage, paths in round_paths(2).items():
        last = run_stage(tmp_path, stage, paths=paths)
    assert (last["best_round"], last["stopped"]) == (2, 0)
    assert not (tmp_path / "r2/model/best").exists()


def test_a_round_begins_with_the_network_of_the_one_before(tmp_path: Path, one_task: Path) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    still = {"iterations": 1, "learning_rate": 1e-12, "weight_decay": 0, "freeze_batch_norm": True}
    run_stage(tmp_path, "train", optimisation=still)
    before, after = (read_embeddings(current(tmp_path / f"{model}/model"), "digit") for model in ("softmax", "r1"))
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


@pytest.mark.parametrize("stage", list(ARTIFACTS))
def test_a_missing_input_is_named_and_nothing_is_written(tmp_path: Path, one_task: Path, stage: str) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    *inputs, output = ARTIFACTS[stage].values()
    missing = tmp_path / ("index/r1" if stage == "evaluate" else inputs[-1])
    shutil.rmtree(tmp_path / output)
    shutil.rmtree(missing)
    before = hashes(tmp_path)
    with pytest.raises(DataError, match=f"does not exist: {missing}; run the step that makes it first"):
        run_stage(tmp_path, stage)
    assert hashes(tmp_path) == before


@pytest.mark.parametrize(
    ("stage", "broken"),
    [
        ("cluster", "softmax/model"),
        ("start", "split"),
        ("start", "dataset"),
        ("fit", "split"),
        ("evaluate", "index/r1"),
    ],
)
def test_an_input_that_is_something_else_is_refused(tmp_path: Path, one_task: Path, stage: str, broken: str) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / broken)
    (tmp_path / broken).mkdir()
    with pytest.raises(DataError, match=rf"{tmp_path / broken} is not a .*; make it with `longtail \w+`"):
        run_stage(tmp_path, stage)


def test_the_prior_of_use_is_a_parameter_of_the_index(tmp_path: Path, one_task: Path) -> None:
    shutil.copytree(one_task, tmp_path, dirs_exist_ok=True)
    paths = {"model": "softmax/model", "index": "index-softmax"}
    run_stage(tmp_path, "index", paths=paths, target={"digit": {"zero": 0.9, "one": 0.09, "two": 0.01}})
    shift = read_json(tmp_path / "index-softmax/rules/head_adjusted-digit.json")["shift"]
    assert shift[0] > shift[1] > shift[2]
    for target, says in (
        ({"digit": {"zero": 0.5, "one": 0.5}}, "index.target.digit must give each of the classes"),
        ({"digit": {"zero": 0.5, "one": 0.4, "two": 0.2}}, "its share, 1 in all"),
        ({"digits": {"zero": 1 / 3}}, r"index.target names \['digits'\]; the tasks are \['digit'\]"),
    ):
        with pytest.raises(DataError, match=says):
            run_stage(tmp_path, "index", paths=paths, target=target)
