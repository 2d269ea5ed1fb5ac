"""A report with made-up but realistic content, of any number of classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from longtail.audit.audit import MARGIN, TaskAudit, TestedClass
from longtail.audit.measurable import margin, needed
from longtail.audit.suspects import Suspect, Suspects
from longtail.data.imbalance import measure
from longtail.granularity.distance import euclidean
from longtail.granularity.granularity import granularity_of
from longtail.metrics.calibration import calibration
from longtail.metrics.classification import Metrics, evaluate
from longtail.metrics.conformal import least_probabilities, prediction_sets
from longtail.metrics.label_shift import shifted_priors
from longtail.metrics.probabilities import Blocks
from longtail.metrics.scores import Shots, class_sets
from longtail.metrics.significance import Difference
from longtail.report import EmbeddingMap, KCurve, KSearch, Mistake, ModelReport, Report, Round, Row, TaskReport
from longtail.report.data_quality import Copies, CopyPictures, Doubts, Fineness, PairPictures, SuspectPicture
from longtail.report.operating_point import Calibrated, OperatingPoint, UnderPriors

# What each model reaches by each rule, its own first; the first model leads, the second is the baseline.
SKILLS: dict[str, dict[str, float]] = {
    "r3": {"cluster_wise": 0.80, "sample_wise": 0.79},
    "softmax": {"head": 0.66, "cluster_wise": 0.62},
    "crl": {"head": 0.72},
}
TITLES = {"r3": "LMLE", "softmax": "Softmax", "crl": "Class rectification (instance level, relative comparison)"}


def class_names(K: int) -> list[str]:
    return [f"class {chr(97 + i % 26)}{i}" for i in range(K)]


def make_report(tasks: Sequence[TaskReport], **changes: Any) -> Report:
    content: dict[str, Any] = {
        "title": "LMLE, answered by the cluster-wise kNN",
        "dataset": "digits",
        "images": 17970,
        "seed": 0,
        "tasks": tasks,
        "models": make_models([task.name for task in tasks]),
        "parameters": {
            "seed": 0,
            "split": {"validation": 0.15, "test": 0.2, "imbalance": {"kind": "gaussian", "removed": 0.4}},
            "fits": {"softmax": {"method": {"kind": "softmax"}, "cost": True}},
            "train": {"method": {"kind": "lmle", "margins": {"g1": 0.02, "g2": 0.1, "g3": 0.5}}, "patience": 1},
        },
        "copies": make_copies(),
    }
    return Report(**content | changes)


def make_task(classes: Sequence[str], name: str = "label", seed: int = 0, **changes: Any) -> TaskReport:
    rng = np.random.default_rng(seed)
    K = len(classes)
    train = np.maximum(4, 900 * 0.01 ** (np.arange(K) / max(1, K - 1))).astype(int)
    labels = rng.choice(K, size=60 * K, p=train / train.sum())
    content: dict[str, Any] = {
        "name": name,
        "classes": classes,
        "counts": {
            "train": train.tolist(),
            "validation": [max(1, count // 5) for count in train.tolist()],
            "test": np.bincount(labels, minlength=K).tolist(),
        },
        "imbalance": measure(train.tolist(), classes),
        "rows": [
            Row(
                model,
                rule,
                make_metrics(rng, labels, classes, train.tolist(), skill),
                own=place == 0,
                difference=make_difference(model) if place == 0 else None,
            )
            for model, rules in SKILLS.items()
            for place, (rule, skill) in enumerate(rules.items())
        ],
        "baseline": "softmax",
        "operating": make_operating(classes, train.tolist(), seed),
        "embedding": make_map(rng, K),
        "k_search": make_search(),
        "mistakes": [make_mistake(rng, classes, i) for i in range(12)],
        "fineness": make_fineness(rng, classes),
        "doubts": make_doubts(rng, name, classes),
    }
    return TaskReport(**content | changes)


def make_metrics(
    rng: np.random.Generator, labels: np.ndarray, classes: Sequence[str], train: list[int], skill: float
) -> Metrics:
    K = len(classes)
    chance = skill - 0.35 * (1 - skill) * 2 * np.arange(K) / K
    wrong = np.where(rng.random(len(labels)) < 0.5, (labels + 1) % K, rng.integers(0, K, len(labels)))
    predictions = np.where(rng.random(len(labels)) < chance[labels], labels, wrong)
    return evaluate(labels, predictions, classes=classes, train_counts=train, resamples=200)


def make_operating(classes: Sequence[str], train: list[int], seed: int) -> OperatingPoint:
    """Of softmax and crl, whose heads are too sure; rare classes have fewer than 9 validation images, or none."""
    K = len(classes)
    rng = np.random.default_rng(seed)
    every = np.ones(K, np.bool_)
    groups, prior = class_sets(train, every, Shots()), np.asarray(train) / sum(train)

    def some() -> Blocks:
        truth = rng.choice(K, 300, p=prior)
        logits = rng.normal(0, 2, (300, K))
        logits[np.arange(300), truth] += 5
        return lambda: iter([(logits, truth)])

    validation, test = some(), some()
    counts = np.bincount(next(validation())[1], minlength=K)
    before, after = (calibration(test, temperature, groups) for temperature in (1.0, 1.5))
    sets = prediction_sets(test, least_probabilities(validation, every, prior), counts, classes, groups)
    accuracy = {name: float(shares @ prior**0.1) for name, shares in shifted_priors(train, every).items()}
    under_priors = [UnderPriors(model, rule, accuracy) for model, rules in SKILLS.items() for rule in rules]
    heads = ("softmax", "crl")
    return OperatingPoint(
        counts.tolist(),
        [Calibrated(model, rule, 1.5, before, after) for model in heads for rule in ("head", "head_adjusted")],
        [*under_priors, *(UnderPriors(model, "head", dict.fromkeys(accuracy, 0.9), told=True) for model in heads)],
        dict.fromkeys(heads, sets),
    )


def make_difference(model: str) -> Difference | None:
    """Of the leading model a large one, of the third one that could be chance; the baseline has none."""
    return {"r3": Difference(0.14, 0.12, 0.16, 0.0005), "crl": Difference(0.006, -0.004, 0.016, 0.24)}.get(model)


def make_models(tasks: Sequence[str]) -> list[ModelReport]:
    """What the report says of each model: the first was trained in rounds, the others at once."""
    alone = Round(0, [50, 100], [2.0, 1.0], validation=dict.fromkeys(tasks, 0.66), selected=True)
    rounds = {"r3": make_rounds(tasks)}
    rules = {name: next(iter(skills)) for name, skills in SKILLS.items()}
    return [
        ModelReport(name, title, "trained", rules[name], rounds.get(name, [alone])) for name, title in TITLES.items()
    ]


def make_map(rng: np.random.Generator, K: int, n: int = 2500) -> EmbeddingMap:
    classes = rng.integers(0, K, n)
    per_class = 3
    centres = rng.normal(0, 6, (K, 1, 2)) + rng.normal(0, 1.5, (K, per_class, 2))
    part = rng.integers(0, per_class, n)
    xy = centres[classes, part] + rng.normal(0, 0.6, (n, 2))
    return EmbeddingMap(
        xy=xy.astype(np.float32),
        classes=classes,
        clusters=classes * per_class + part,
        centroid_xy=centres.reshape(-1, 2),
        centroid_classes=np.repeat(np.arange(K), per_class),
        projection="First two principal components; 2,500 training images.",
    )


def make_search() -> KSearch:
    k = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50]
    local = [0.74, 0.755, 0.77, 0.785, 0.78, 0.76, 0.7, 0.55, 0.35, 0.2]
    vote = [0.74, 0.745, 0.76, 0.765, 0.764, 0.75, 0.73, 0.7, 0.66, 0.6]
    curves = [KCurve("large_margin", k, local), KCurve("vote", k, vote)]
    return KSearch(curves, rule="large_margin", k=5)


def make_mistake(rng: np.random.Generator, classes: Sequence[str], i: int) -> Mistake:
    shape = (28, 28, 1) if i % 2 else (40, 30, 3)
    true, predicted = classes[i % len(classes)], classes[(i + 1) % len(classes)]
    image, other = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    return Mistake(f"test/{i}.png", image, true, predicted, other, predicted)


def make_fineness(rng: np.random.Generator, classes: Sequence[str]) -> Fineness:
    codes = np.repeat(np.arange(len(classes)), 6)
    points = np.eye(len(classes))[codes] + rng.normal(scale=0.5, size=(len(codes), len(classes)))
    found = granularity_of(euclidean(points), codes, classes, exact=False, pairs=6)
    assert found is not None
    pairs = [PairPictures(pair.classes, pair.rankm, make_pictures(rng), make_pictures(rng)) for pair in found.pairs]
    return Fineness(dict.fromkeys(SKILLS, found), pairs)


def make_doubts(rng: np.random.Generator, name: str, classes: Sequence[str]) -> Doubts:
    found = Suspects([Suspect(place, place % len(classes), 0, 0.9) for place in range(3)], 200, 7)
    groups = [i % 97 for i in range(len(classes))]
    tested = [TestedClass(one, 2 * n, n, margin(n)) for one, n in zip(classes, groups, strict=True)]
    pictures = [
        SuspectPicture(f"validation/{one.position}.png", make_pictures(rng)[0], classes[one.label], classes[0], 0.9)
        for one in found.found
    ]
    return Doubts(TaskAudit(name, classes, found, tested), MARGIN, needed(MARGIN), pictures)


def make_copies() -> Copies:
    pictures = make_pictures(np.random.default_rng(0))
    one = CopyPictures(("train/0.png", "test/0.png"), pictures, ("train, one", "test, two"), worse=True)
    return Copies("r3", 3, 2, 1, [one])


def make_pictures(rng: np.random.Generator) -> list[np.ndarray]:
    return list(rng.integers(0, 256, (2, 28, 28, 1), dtype=np.uint8))


def make_rounds(tasks: Sequence[str], number: int = 4, iterations: int = 600) -> list[Round]:
    rng = np.random.default_rng(0)
    rounds = [Round(0, validation={task: 0.68 - 0.1 * i for i, task in enumerate(tasks)})]
    for r in range(1, number + 1):
        at = np.arange(1, iterations + 1)
        hinge = [(0.2 / h / r) * np.exp(-at / 300) + 0.02 + rng.random(iterations) * 0.02 for h in (1, 2, 3)]
        names = ("between clusters (g1)", "within the class (g2)", "between classes (g3)")
        rounds.append(
            Round(
                r,
                iterations=at.tolist(),
                loss=sum(hinge).tolist(),
                parts={n: h.tolist() for n, h in zip(names, hinge, strict=True)},
                validation={task: 0.8 - 0.1 * i - 0.03 * abs(2 - r) for i, task in enumerate(tasks)},
                selected=r == 2,
            )
        )
    return rounds
