"""Hard negatives: training samples without a label, which a softmax classifier may tell apart while it is trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interruption import interrupted
from rejected import COUNT, write_with_negatives
from tiny import DIGIT, KIDS, SHAPE, hashes, run_stage, write_tiny_dataset

from longtail.data.dataset import DatasetInfo
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.inference.answerer import Answerer
from longtail.methods.base import Floats, Ints, Sampling, Setup
from longtail.methods.catalogue import CATALOGUE
from longtail.methods.softmax import Params, Softmax
from longtail.network.embedder import blueprint_for, build_network, load_embedder
from longtail.network.network import NetworkParams
from longtail.network.snapshot import read_blueprint, read_logits, read_priors
from longtail.parameters import check_section
from longtail.stages.fit import Params as FitParams
from longtail.training.negatives import carry_over

KINDS = ("softmax", "focal", "balanced_softmax", "class_balanced", "ldam", "crt")
NATURAL = {"sampling": "natural", "cost": False}
INFO = DatasetInfo(tasks=[DIGIT, KIDS], image_shape=SHAPE, count=0, shard_sizes=[], md5="", provenance="", licence="")


@pytest.fixture(scope="session")
def rejected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rejected")
    write_with_negatives(root / "dataset")
    for stage in ("split", "start", "fit"):
        run_stage(root, stage)
    return root


def fit(root: Path, model: Path, **changes: Any) -> Path:
    run_stage(root, "fit", paths={"model": str(model / "model")}, **changes)
    return model / "model" / "current"


def test_they_are_training_samples_without_a_label(rejected: Path) -> None:
    split = Split.open(rejected / "split")
    negative = split.negatives(DIGIT) >= 0
    assert negative.sum() == COUNT
    assert set(split.subset[negative]) == {"train"}
    assert (split.labels(DIGIT)[negative] == -1).all()
    info = split.info.subsets["train"]
    assert sum(info.counts["digit"]) == info.samples - COUNT


@pytest.mark.parametrize("negatives", ["ignore", "single", "by_class"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_knows_the_tasks_own_classes_alone(
    rejected: Path, tmp_path: Path, kind: str, negatives: Any
) -> None:
    corrects = NATURAL if CATALOGUE[kind].corrects_prior else {}
    before = {"previous": f"{rejected}/softmax/model"} if kind == "crt" else {}
    model = tmp_path / "model"
    run_stage(
        rejected, "fit", paths={"model": str(model), **before}, method={"kind": kind}, negatives=negatives, **corrects
    )
    snapshot, count = model / "current", len(DIGIT.classes)
    logits, prior = read_logits(snapshot, "digit"), read_priors(snapshot, "digit")[0]
    assert logits is not None
    assert prior is not None
    assert logits.shape == (len(Split.open(rejected / "split").samples), count)
    assert prior.shape == (count,)
    assert prior.sum() == pytest.approx(1)
    assert read_blueprint(snapshot).tasks == [DIGIT]
    assert load_embedder(snapshot).network is not None
    run_stage(rejected, "index", paths={"model": str(model), "index": str(tmp_path / "index")})
    answers = Answerer.load(tmp_path / "index").answer(np.zeros((2, *SHAPE), np.uint8))["digit"]
    assert answers.probabilities.shape == (2, count)
    assert answers.probabilities.sum(1) == pytest.approx(1)


def test_a_class_of_their_own_takes_what_a_classifier_without_it_gives_to_the_others(
    rejected: Path, tmp_path: Path
) -> None:
    split, sure = Split.open(rejected / "split"), {}
    negative = split.negatives(DIGIT) >= 0
    for negatives, often in (("ignore", {}), ("single", {"negatives_often": 1.0})):
        snapshot = fit(rejected, tmp_path / negatives, negatives=negatives, optimisation={"iterations": 60}, **often)
        logits = read_logits(snapshot, "digit")
        assert logits is not None
        sure[negatives] = float(np.logaddexp.reduce(logits[negative], axis=1).mean())
    assert sure["single"] < sure["ignore"] - 1


def test_a_data_set_without_them_is_trained_as_before(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset")
    for stage in ("split", "start"):
        run_stage(tmp_path, stage)
    plain, asked = fit(tmp_path, tmp_path / "plain"), fit(tmp_path, tmp_path / "asked", negatives="by_class")
    assert hashes(plain) == hashes(asked)
    assert "rejected" not in (tmp_path / "split/split.json").read_text()
    assert not any("rejected" in name for name in Split.open(tmp_path / "split").samples.columns)
    assert "negatives" not in (tmp_path / "plain/model/lineage.json").read_text()


@pytest.mark.parametrize("kind", [k for k in CATALOGUE if k not in KINDS and not CATALOGUE[k].needs_table])
def test_methods_without_such_a_classifier_refuse(kind: str) -> None:
    section = {"method": {"kind": kind}, "negatives": "single", **(NATURAL if CATALOGUE[kind].corrects_prior else {})}
    section["network"] = {"shared_embedding": True}
    with pytest.raises(DataError, match=f"{kind} cannot have hard negatives as further classes"):
        check_section("fits.a", section, FitParams, "params.yaml")


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"method": {"kind": "softmax", "mixup": {"alpha": 0.2}}, "negatives": "single"}, "softmax on mixtures cannot"),
        ({"negatives_often": 0.5}, "negatives_often says how often"),
        ({"negatives": "single", "negatives_often": 0}, "negatives_often"),
        ({"negatives": "several"}, "negatives"),
    ],
)
def test_what_cannot_be_is_refused(section: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        check_section("fits.a", section, FitParams, "params.yaml")


def codes(draw: Any, count: int, least: int) -> Ints:
    return np.array(draw(st.lists(st.integers(least, 2), min_size=count, max_size=count)), np.int64)


@given(st.data())
def test_a_step_has_its_samples_as_before_and_hard_negatives_behind_them(data: Any) -> None:
    labels = np.concatenate([[0, 1, 2], codes(data.draw, data.draw(st.integers(0, 30)), -1)])
    rejected = np.where(labels < 0, codes(data.draw, len(labels), -1), -1)
    often, batch = data.draw(st.floats(0.01, 5)), data.draw(st.integers(1, 20))
    mode = data.draw(st.sampled_from(["single", "by_class"]))
    scheme, cost = data.draw(st.sampled_from(["natural", "class_even", "square_root"])), data.draw(st.floats(0, 1))

    def method(negatives: Any) -> Softmax:
        often_ = {} if negatives == "ignore" else {"negatives_often": often}
        sampling = Sampling(batch=batch, sampling=scheme, cost=cost, negatives=negatives, **often_)
        return Softmax(Setup({"a": labels}, sampling, 3, negatives={"a": rejected}, classes={"a": 3}), Params())

    step = data.draw(st.integers(0, 50))
    plain, wide = method("ignore").select(step)["a"], method(mode).select(step)["a"]
    there = int((rejected >= 0).sum())
    images = int((labels >= 0).sum())
    asked = min(batch, max(1, round(often * batch * there / images))) if there else 0
    assert wide.positions[:batch].tolist() == plain.positions.tolist()
    assert len(wide.positions) == batch + asked
    behind = wide.positions[batch:]
    assert (rejected[behind] >= 0).all()
    expected = 3 + (rejected[behind] if mode == "by_class" else 0)
    assert (wide.targets["codes"][batch:] == expected).all()
    assert float(wide.targets["weights"].sum()) == pytest.approx(1, abs=1e-5)
    assert method(mode).trained_prior({"a": 3}, 60)["a"] == pytest.approx(
        method("ignore").trained_prior({"a": 3}, 60)["a"], abs=1e-5
    )


def test_early_stopping_measures_labelled_samples_alone() -> None:
    labels, rejected = np.arange(30) % 3, np.where(np.arange(60) < 30, -1, np.arange(60) % 3)
    whole = np.concatenate([labels, np.full(30, -1)])
    setup = Setup({"a": whole}, Sampling(batch=8, negatives="single"), 0, negatives={"a": rejected}, classes={"a": 3})
    method = Softmax(setup)
    assert (method.select(0)["a"].targets["codes"] == 3).any()
    measured = method.measuring({"a": np.where(np.arange(60) < 9, whole, -1)})
    assert set(measured.select(0)["a"].positions) <= set(range(9))
    assert (method.select(0)["a"].targets["codes"] == 3).any()
    assert measured.class_counts("a", 4).tolist() == method.class_counts("a", 4).tolist() == [10, 10, 10, 4]


@given(st.data())
def test_they_are_drawn_as_often_as_asked(data: Any) -> None:
    images, negatives, batch = data.draw(st.integers(50, 200)), data.draw(st.integers(50, 400)), 40
    labels = np.concatenate([np.arange(images) % 3, np.full(negatives, -1)])
    rejected = np.concatenate([np.full(images, -1), np.arange(negatives) % 3])
    setup = Setup(
        {"a": labels}, Sampling(batch=batch, negatives="single"), 0, negatives={"a": rejected}, classes={"a": 3}
    )
    drawn = len(Softmax(setup).select(0)["a"].positions) - batch
    assert drawn == max(1, round(0.1 * batch * negatives / images))


def shared_labels(tasks: int, seed: int, *, known: float) -> dict[str, Ints]:
    """Task → labels of 600 images, of three uneven classes: each image of one task at least, of others by chance."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, (tasks, 600), p=[0.6, 0.3, 0.1])
    owned = rng.integers(tasks, size=600) == np.arange(tasks)[:, None]
    there = owned | (rng.random((tasks, 600)) < known)
    there[:, :3], labels[:, :3] = True, np.arange(3)  # every task has every class
    return {f"task {number}": np.where(there[number], labels[number], -1) for number in range(tasks)}


def method_of(labels: dict[str, Ints], seed: int, **changes: Any) -> Softmax:
    """A method on those images, and 500 more that each task has as hard negatives."""
    rejected = np.random.default_rng(seed).choice(3, 500, p=[0.2, 0.5, 0.3])
    whole = {task: np.concatenate([codes, np.full(500, -1)]) for task, codes in labels.items()}
    negatives = dict.fromkeys(labels, np.concatenate([np.full(600, -1), rejected]))
    return Softmax(Setup(whole, Sampling(**changes), seed, negatives=negatives, classes=dict.fromkeys(labels, 3)))


def simulated(method: Softmax, task: str, classes: int, steps: int) -> tuple[Floats, Floats]:
    """Of the first steps of a training of so many, the draws (K,) of each class of a task and their weights (K,)."""
    method.plan(steps)
    draws, weights = np.zeros(classes), np.zeros(classes)
    for step in range(steps):
        targets = method.select(step)[task].targets
        np.add.at(draws, targets["codes"], 1)
        np.add.at(weights, targets["codes"], targets["weights"])
    return draws, weights


def check_what_is_counted(method: Softmax, task: str, labels: Ints, *, steps: int, within: float) -> Floats:
    """That hard negatives are drawn as often, and weigh as much, as a method counts them; the draws are returned."""
    classes = 6 if method.sampling.negatives == "by_class" else 4
    counted = method.class_counts(task, classes)
    draws, weights = simulated(method, task, classes, steps)
    assert counted[:3].tolist() == np.bincount(labels[labels >= 0], minlength=3).tolist()
    for found in (draws, weights):
        of_images = found[3:].sum() / found[:3].sum() * counted[:3].sum()
        assert of_images == pytest.approx(counted[3:].sum(), rel=within, abs=classes - 3)  # each is rounded up
    return draws


@pytest.mark.parametrize("scheme", ["natural", "class_even", "square_root", 0.3, "progressive", "over", "under"])
@pytest.mark.parametrize("negatives", ["single", "by_class"])
@pytest.mark.parametrize("together", [None, False])
def test_tasks_that_share_mini_batches_have_as_many_as_asked_of_their_own_samples(
    scheme: Any, negatives: Any, together: bool | None
) -> None:
    """Each image has a label of one of ten tasks, so a mini-batch of 64 has some six of a task; or, in the turns of
    one, 64 of it and hardly any of the others.
    """
    labels = shared_labels(10, 0, known=0.0)
    method = method_of(labels, 0, batch=64, sampling=scheme, negatives=negatives, together=together)
    draws = check_what_is_counted(method, "task 3", labels["task 3"], steps=400, within=0.05)
    shares = method.class_counts("task 3", len(draws))[3:]
    assert draws[3:] / draws[3:].sum() == pytest.approx(shares / shares.sum(), abs=0.05)
    often = draws[3:].sum() / 500 / (draws[:3].sum() / (labels["task 3"] >= 0).sum())
    whole = 0.1 * draws[:3].sum() / 400 * 500 / (labels["task 3"] >= 0).sum()  # a step, before it is rounded
    assert often == pytest.approx(0.1, rel=0.05 + 0.5 / whole)


def test_natural_mini_batches_have_of_a_task_its_share_of_all_labelled_samples() -> None:
    labels = shared_labels(4, 0, known=0.2)
    method = method_of(labels, 0, batch=60, sampling="natural", negatives="single", together=True)
    for task, codes in labels.items():
        images = int((codes >= 0).sum())
        drawn = int((method.select(0)[task].targets["codes"] == 3).sum())
        assert drawn == round(0.1 * (60 * images / 600) * 500 / images)
        assert method.class_counts(task, 4)[3] == pytest.approx(drawn * 600 / 60, abs=1.01)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_what_is_counted_is_what_is_drawn(data: Any) -> None:
    """However few samples of a task a mini-batch has: one hard negative is then too many, and is counted as that."""
    tasks, seed = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 100))
    labels = shared_labels(tasks, seed, known=data.draw(st.sampled_from([0.0, 0.3, 0.9])))
    method = method_of(
        labels,
        seed,
        batch=data.draw(st.sampled_from([1, 3, 16, 50])),
        sampling=data.draw(st.sampled_from(["natural", "class_even", "square_root", "progressive", 0.7])),
        deferred=data.draw(st.sampled_from([0.0, 0.5])),
        together=data.draw(st.booleans()),
        negatives=data.draw(st.sampled_from(["single", "by_class"])),
        negatives_often=data.draw(st.floats(0.01, 1)),
    )
    check_what_is_counted(method, "task 0", labels["task 0"], steps=120 * tasks, within=0.25)


def test_a_step_without_samples_of_a_task_has_none_of_its_hard_negatives() -> None:
    labels = shared_labels(10, 0, known=0.0)
    method = method_of(labels, 0, batch=8, sampling="class_even", negatives="single")
    seen = set()
    for step in range(40):
        for one in method.select(step).values():
            own, behind = one.targets["codes"] < 3, one.targets["codes"] == 3
            seen.add(bool(own.any()))
            assert own.any() == behind.any()
            assert float(one.targets["weights"].sum()) == pytest.approx(float(own.any()), abs=1e-5)
    assert seen == {False, True}


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_other_classes_keeps_what_both_have(kind: str) -> None:
    wide_tasks = [task.model_copy(update={"classes": [*task.classes, "more", "most"]}) for task in (DIGIT, KIDS)]
    params = {"kind": kind}
    narrow = blueprint_for(NetworkParams(embedding=8), "network", [DIGIT, KIDS], INFO, params)
    first = build_network(narrow)
    wide = carry_over(first, build_network(narrow.model_copy(update={"tasks": wide_tasks})))
    images = torch.rand(2, 1, 28, 28)
    for task in (DIGIT, KIDS):
        wider = wide.eval().logits(images)[task.name]
        assert wider.shape == (2, 5)
        assert torch.allclose(wider[:, :3], first.eval().logits(images)[task.name], atol=1e-6)
    back = carry_over(wide, build_network(narrow))
    assert all(torch.equal(value, first.state_dict()[name]) for name, value in back.state_dict().items())


def test_a_training_with_them_resumes_to_the_same_bytes(rejected: Path, tmp_path: Path) -> None:

    with interrupted():
        fit(rejected, tmp_path / "resumed", negatives="by_class")
    resumed = fit(rejected, tmp_path / "resumed", negatives="by_class")
    assert hashes(resumed) == hashes(fit(rejected, tmp_path / "whole", negatives="by_class"))
    lineage = json.loads((tmp_path / "whole/model/lineage.json").read_text())
    assert any(step["params"].get("negatives") == "by_class" for step in lineage["steps"].values())
