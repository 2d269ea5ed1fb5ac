"""Every metric against plain loops written from its definition, and against scikit-learn where it has the same one."""

import json
import math
import statistics
import tracemalloc
from collections import Counter
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from longtail.metrics import bootstrap
from longtail.metrics.classification import Metrics, evaluate
from longtail.metrics.scores import ClassCounts, Shots, class_sets, scores
from longtail.metrics.significance import Answers, paired_difference

INTERVALS = ("mean_class_accuracy", "accuracy", "average_f1", "minority_f1", "geometric_mean")


@dataclass
class Case:
    labels: list[int]
    predictions: list[int]
    groups: list[int]
    train_counts: list[int]
    background: int | None

    @property
    def classes(self) -> list[str]:
        return [f"class {i}" for i in range(len(self.train_counts))]

    def evaluate(self, **options: Any) -> Metrics:
        return evaluate(
            np.array(self.labels, dtype=np.int64),
            np.array(self.predictions, dtype=np.int64),
            classes=self.classes,
            train_counts=self.train_counts,
            background=None if self.background is None else self.classes[self.background],
            groups=np.array(self.groups),
            **options,
        )

    def pairs(self) -> list[tuple[int, int, int]]:
        """(true, predicted, group) of the samples that count."""
        rows = zip(self.labels, self.predictions, self.groups, strict=True)
        return [(y, p, g) for y, p, g in rows if y not in (-1, self.background)]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    K = draw(st.integers(1, 6))
    n = draw(st.integers(0, 25))
    labels = draw(st.lists(st.integers(-1, K - 1), min_size=n, max_size=n))
    predictions = draw(st.lists(st.integers(0, K - 1), min_size=n, max_size=n))
    groups = draw(st.lists(st.integers(0, draw(st.integers(0, 9))), min_size=n, max_size=n))
    train_counts = draw(st.lists(st.sampled_from([0, 1, 19, 20, 21, 99, 100, 101, 500]), min_size=K, max_size=K))
    background = draw(st.none() | st.integers(0, K - 1)) if K > 1 else None
    return Case(labels, predictions, groups, train_counts, background)


def mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def slow_class(pairs: list[tuple[int, int, int]], c: int) -> tuple[float, float, float] | None:
    """Precision, recall and F1 of class c, or None when it has no sample."""
    support = sum(y == c for y, _, _ in pairs)
    predicted = sum(p == c for _, p, _ in pairs)
    correct = sum(y == p == c for y, p, _ in pairs)
    if support == 0:
        return None
    precision = correct / predicted if predicted else 0.0
    recall = correct / support
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return precision, recall, f1


def slow_metrics(pairs: list[tuple[int, int, int]], case: Case) -> dict[str, float]:
    """The definitions in plain loops; only what exists."""
    inside = [c for c in range(len(case.train_counts)) if c != case.background]
    train = {c: case.train_counts[c] for c in inside}
    found = {c: s for c in inside if (s := slow_class(pairs, c)) is not None}
    recall = {c: s[1] for c, s in found.items()}
    product = math.prod(recall.values())
    values = {
        "mean_class_accuracy": mean(list(recall.values())),
        "accuracy": mean([float(y == p) for y, p, _ in pairs]),
        "average_f1": mean([s[2] for s in found.values()]),
        "minority_f1": mean([s[2] for c, s in found.items() if train[c] * len(inside) < sum(train.values())]),
        "many_accuracy": mean([r for c, r in recall.items() if train[c] > 100]),
        "medium_accuracy": mean([r for c, r in recall.items() if 20 <= train[c] <= 100]),
        "few_accuracy": mean([r for c, r in recall.items() if train[c] < 20]),
        "geometric_mean": product ** (1 / len(recall)) if recall else None,
        "harmonic_mean": (len(recall) / sum(1 / r for r in recall.values()) if all(recall.values()) else 0.0)
        if recall
        else None,
        "worst_recall": min(recall.values()) if recall else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def slow_intervals(case: Case, resamples: int, seed: int) -> dict[str, float]:
    """Draw groups one by one, pool their samples, and take the 2.5th and 97.5th percentiles; none of one group."""
    pairs = case.pairs()
    ids = sorted({g for _, _, g in pairs})
    values: dict[str, list[float]] = {name: [] for name in INTERVALS}
    for draw in np.random.default_rng(seed).integers(len(ids), size=(resamples, len(ids))) if len(ids) > 1 else []:
        pooled = [pair for i in draw for pair in pairs if pair[2] == ids[i]]
        for name, value in slow_metrics(pooled, case).items():
            if name in values:
                values[name].append(value)
    flat = {}
    for name in INTERVALS:
        if values[name]:
            flat[f"{name}_low"], flat[f"{name}_high"] = np.quantile(values[name], [0.025, 0.975]).tolist()
    return flat


@given(cases())
@settings(max_examples=300, deadline=None)
def test_every_scalar_agrees_with_the_slow_oracle(case: Case) -> None:
    assert case.evaluate(resamples=0).scalars() == pytest.approx(slow_metrics(case.pairs(), case))


@given(cases(), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_intervals_agree_with_the_slow_oracle(case: Case, seed: int) -> None:
    scalars = case.evaluate(resamples=15, seed=seed).scalars()
    intervals = {name: value for name, value in scalars.items() if name.endswith(("_low", "_high"))}
    assert intervals == pytest.approx(slow_intervals(case, 15, seed))


@given(cases())
@settings(max_examples=200, deadline=None)
def test_per_class_scores_agree_with_the_slow_oracle(case: Case) -> None:
    metrics, pairs = case.evaluate(resamples=0), case.pairs()
    inside = [c for c in range(len(case.classes)) if c != case.background]
    assert [row.name for row in metrics.per_class] == [case.classes[c] for c in inside]
    for c, row in zip(inside, metrics.per_class, strict=True):
        expected = slow_class(pairs, c) or (None, None, None)
        assert (row.precision, row.recall, row.f1) == pytest.approx(expected)
        assert row.support == sum(y == c for y, _, _ in pairs)
        assert row.groups == len({g for y, _, g in pairs if y == c})
        assert row.train_count == case.train_counts[c]


@given(cases())
@settings(max_examples=200, deadline=None)
def test_the_cells_of_the_confusion_matrix_and_its_worst_agree_with_plain_counts(case: Case) -> None:
    metrics, pairs = case.evaluate(resamples=0), case.pairs()
    expected = Counter((y, p) for y, p, _ in pairs)
    assert metrics.confusion == sorted((y, p, count) for (y, p), count in expected.items())
    found = metrics.most_confused(3)
    wrong = sorted((count for (y, p), count in expected.items() if y != p), reverse=True)
    assert [pair.count for pair in found] == wrong[:3]
    for pair in found:
        y, p = case.classes.index(pair.true), case.classes.index(pair.predicted)
        assert pair.count == expected[y, p]
        assert pair.share == pytest.approx(pair.count / sum(true == y for true, _, _ in pairs))
    recalls = sorted(row.recall for row in metrics.per_class if row.recall is not None)
    assert [row.recall for row in metrics.worst_classes(2)] == recalls[:2]


@given(cases())
@settings(max_examples=100, deadline=None)
def test_json_holds_no_nan_and_comes_back(case: Case) -> None:
    metrics = case.evaluate(resamples=5)
    assert all(math.isfinite(value) for value in metrics.scalars().values())
    text = json.dumps(metrics.model_dump(mode="json"), allow_nan=False)
    assert Metrics.model_validate_json(text) == metrics


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(cases())
@settings(max_examples=100, deadline=None)
def test_agrees_with_scikit_learn(case: Case) -> None:
    pairs = case.pairs()
    if not pairs:
        return
    y, p = [a for a, _, _ in pairs], [b for _, b, _ in pairs]
    metrics = case.evaluate(resamples=0)
    present, K = sorted(set(y)), len(case.classes)
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(y, p, labels=present, zero_division=0)
    rows = {case.classes.index(row.name): row for row in metrics.per_class}
    assert [rows[c].precision for c in present] == pytest.approx(precision)
    assert [rows[c].recall for c in present] == pytest.approx(recall)
    assert metrics.average_f1 == pytest.approx(np.mean(f1))
    assert metrics.accuracy == pytest.approx(sklearn.metrics.accuracy_score(y, p))
    assert metrics.mean_class_accuracy == pytest.approx(np.mean(recall))
    whole = np.zeros((K, K), dtype=int)
    for true, predicted, count in metrics.confusion:
        whole[true, predicted] = count
    assert whole.tolist() == sklearn.metrics.confusion_matrix(y, p, labels=range(K)).tolist()


def test_an_absent_class_is_absent_and_an_unpredicted_one_has_precision_0() -> None:
    metrics = Case([0, 0, 1], [0, 0, 2], [0, 1, 2], [200, 200, 5], None).evaluate()
    assert metrics.per_class[1].precision == 0
    assert metrics.per_class[2].model_dump() == {
        "name": "class 2",
        "train_count": 5,
        "support": 0,
        "groups": 0,
        "precision": None,
        "recall": None,
        "f1": None,
    }
    assert metrics.few_accuracy is None
    assert "few_accuracy" not in metrics.scalars()
    assert metrics.mean_class_accuracy == 0.5


def test_missing_labels_and_background_count_nowhere() -> None:
    few = Case([0, 1, 1], [0, 1, 2], [0, 1, 2], [10, 30, 900], 2).evaluate()
    more = Case([0, 1, 1, -1, 2, 2], [0, 1, 2, 0, 0, 2], [0, 1, 2, 3, 4, 5], [10, 30, 900], 2).evaluate()
    assert more == few
    assert more.mean_class_accuracy == 0.75
    assert more.samples == 3


def test_the_geometric_mean_does_not_underflow() -> None:
    K, each = 400, 10
    labels = np.repeat(np.arange(K), each)
    predictions = np.where(np.tile(np.arange(each), K) == 0, labels, (labels + 1) % K)
    metrics = evaluate(labels, predictions, classes=[str(c) for c in range(K)], train_counts=[each] * K, resamples=0)
    assert 0.1**K == 0
    assert metrics.geometric_mean == pytest.approx(0.1)


def test_one_class_never_right_makes_the_geometric_and_the_harmonic_mean_0() -> None:
    metrics = Case([0, 1], [0, 0], [0, 1], [5, 5], None).evaluate()
    assert metrics.geometric_mean == metrics.harmonic_mean == 0


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=50))
def test_the_harmonic_mean_agrees_with_the_standard_library_from_1_to_a_billionth(supports: list[int]) -> None:
    K, support = len(supports), np.array(supports)
    counts = ClassCounts(np.ones(K, np.int64), support, support)
    found = scores(counts, class_sets([1] * K, np.ones(K, np.bool_), Shots()))["harmonic_mean"]
    assert found == pytest.approx(statistics.harmonic_mean((1 / support).tolist()), rel=1e-12)


def test_the_worst_class_is_the_first_of_several() -> None:
    worst = Case([0, 1, 2], [0, 0, 0], [0, 1, 2], [5, 5, 5], None).evaluate().worst_class
    assert worst is not None
    assert (worst.name, worst.recall) == ("class 1", 0)


def test_thresholds_of_many_and_few_are_parameters() -> None:
    metrics = Case([0, 1], [0, 0], [0, 1], [100, 20], None).evaluate(shots=Shots(many=99, few=21))
    assert (metrics.many_accuracy, metrics.medium_accuracy, metrics.few_accuracy) == (1, None, 0)


@pytest.mark.parametrize(("many", "few"), [(20, 21), (1, 100), (0, 1), (5, 0), (-3, -4)])
def test_thresholds_that_overlap_or_are_no_counts_are_refused(many: int, few: int) -> None:
    with pytest.raises(ValidationError, match=r"in both; set few|greater than or equal to 1"):
        Shots(many=many, few=few)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=12), st.integers(1, 250), st.integers(1, 250))
def test_every_class_is_in_exactly_one_group_whatever_the_thresholds(counts: list[int], a: int, b: int) -> None:
    foreground = np.arange(len(counts)) > 0
    sets = class_sets(counts, foreground, Shots(many=max(a, b), few=min(a, b)))
    assert (sum(sets[name].astype(int) for name in ("many", "medium", "few")) == foreground).all()


def test_without_counted_samples_everything_is_absent() -> None:
    metrics = Case([-1, -1], [0, 1], [0, 1], [5, 5], None).evaluate()
    assert metrics.scalars() == {}
    assert metrics.worst_class is None


def test_one_group_gives_no_interval() -> None:
    """One of width 0 would say that nothing is as certain."""
    metrics = Case([0, 0, 1, 1], [0, 1, 1, 1], [7, 7, 7, 7], [50, 50], None).evaluate()
    assert (metrics.accuracy, metrics.intervals) == (0.75, {})


def test_copies_of_one_object_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 100)
    predictions = np.where(rng.random(100) < 0.8, labels, 1 - labels)
    options: dict[str, Any] = {"classes": ["a", "b"], "train_counts": [50, 50]}
    single = evaluate(labels, predictions, **options)
    copied = evaluate(labels.repeat(10), predictions.repeat(10), groups=np.arange(100).repeat(10), **options)
    assert copied.intervals == single.intervals


def test_intervals_depend_on_the_seed_alone_and_not_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case([0, 1, 1, 1] * 10, [0, 0, 1, 1] * 10, list(range(40)), [50, 30], None)
    whole = case.evaluate(seed=3)
    assert case.evaluate(seed=4) != whole
    monkeypatch.setattr(bootstrap, "BLOCK", 300)
    assert case.evaluate(seed=3) == whole


def test_group_names_may_be_text() -> None:
    labels, groups = np.array([0, 1]), np.array(["anna", "bert"])
    assert evaluate(labels, labels, classes=["a", "b"], train_counts=[1, 1], groups=groups).accuracy == 1


@pytest.mark.slow
def test_50000_groups_take_a_few_seconds() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 50_000)
    predictions = np.where(rng.random(50_000) < 0.7, labels, rng.integers(0, 10, 50_000))
    start = perf_counter()
    metrics = evaluate(labels, predictions, classes=[str(c) for c in range(10)], train_counts=[50] * 10)
    assert perf_counter() - start < 10
    low, high = metrics.intervals["accuracy"]
    half = 1.96 * math.sqrt(0.73 * 0.27 / 50_000)
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)


@pytest.mark.parametrize("groups", [20, 4000])
def test_many_classes_take_memory_of_the_samples_and_not_of_their_pairs(groups: int) -> None:
    K, n = 4000, 8000  # K² counts would be 128 MB, and every resample at once 100 MB in each of a dozen arrays
    rng = np.random.default_rng(0)
    labels = np.arange(n) % K
    predictions = np.where(rng.random(n) < 0.5, labels, rng.integers(0, K, n))
    names, of = [str(c) for c in range(K)], rng.integers(0, groups, n)
    tracemalloc.start()
    metrics = evaluate(labels, predictions, classes=names, train_counts=[1] * K, groups=of, resamples=1000)
    difference = paired_difference([Answers(labels, predictions, labels[::-1], of.astype(str))], resamples=400)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert metrics.accuracy == pytest.approx(0.5, abs=0.03)
    assert difference.significant
    assert peak < 400e6


@pytest.mark.parametrize(
    ("labels", "predictions", "train_counts"),
    [
        ([0, 1], [0], [1, 1]),
        ([2], [0], [1, 1]),
        ([-2], [0], [1, 1]),
        ([0], [2], [1, 1]),
        ([0], [-1], [1, 1]),
        ([0], [0], [1]),
    ],
)
def test_arrays_that_do_not_fit_are_refused(labels: list[int], predictions: list[int], train_counts: list[int]) -> None:
    with pytest.raises(ValueError, match=r"length|outside|counts"):
        evaluate(np.array(labels), np.array(predictions), classes=["a", "b"], train_counts=train_counts)
