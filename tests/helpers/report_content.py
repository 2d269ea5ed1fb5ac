"""A report with made-up but realistic content, of any number of classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from longtail.data.imbalance import measure
from longtail.metrics.classification import Metrics, evaluate
from longtail.report import EmbeddingMap, KCurve, KSearch, MethodRow, Mistake, Report, Round, TaskReport

METHODS = {
    "cluster-wise kNN (LMLE)": 0.80,
    "sample-wise kNN": 0.79,
    "nearest class mean": 0.72,
    "softmax head of the start": 0.66,
}


def class_names(K: int) -> list[str]:
    return [f"class {chr(97 + i % 26)}{i}" for i in range(K)]


def make_report(tasks: Sequence[TaskReport], **changes: Any) -> Report:
    content: dict[str, Any] = {
        "title": "LMLE on rotated digits over photographs",
        "method": "lmle",
        "dataset": "digits",
        "images": 17970,
        "seed": 0,
        "tasks": tasks,
        "rounds": make_rounds([task.name for task in tasks]),
        "parameters": {
            "seed": 0,
            "split": {"inject": "gaussian", "remove": 0.4, "groups": True},
            "train": {"margins": [0.2, 0.15, 0.1], "optimiser": {"name": "sgd", "rate": 0.001}, "resume": None},
        },
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
        "methods": [
            MethodRow(method, make_metrics(rng, labels, classes, train.tolist(), skill))
            for method, skill in METHODS.items()
        ],
        "main": "cluster-wise kNN (LMLE)",
        "compared": "softmax head of the start",
        "embedding": make_map(rng, K),
        "k_search": make_search(),
        "mistakes": [make_mistake(rng, classes, i) for i in range(12)],
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
    curves = [KCurve("large-margin local decision (Eq. 3)", k, local), KCurve("majority vote", k, vote)]
    return KSearch(curves, rule="large-margin local decision (Eq. 3)", k=5)


def make_mistake(rng: np.random.Generator, classes: Sequence[str], i: int) -> Mistake:
    shape = (28, 28, 1) if i % 2 else (40, 30, 3)
    true, predicted = classes[i % len(classes)], classes[(i + 1) % len(classes)]
    image, other = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    return Mistake(f"test/{i}.png", image, true, predicted, other, predicted)


def make_rounds(tasks: Sequence[str], number: int = 4, iterations: int = 600) -> list[Round]:
    rng = np.random.default_rng(0)
    rounds = [Round(0, validation={task: 0.68 - 0.1 * i for i, task in enumerate(tasks)})]
    for r in range(1, number + 1):
        at, stopped = np.arange(1, iterations + 1), r == number
        hinge = [(0.2 / h / r) * np.exp(-at / 300) + 0.02 + rng.random(iterations) * 0.02 for h in (1, 2, 3)]
        names = ("g1: p+ against p−", "g2: p− against p−−", "g3: p−− against n")
        rounds.append(
            Round(
                r,
                iterations=[] if stopped else at.tolist(),
                loss=[] if stopped else sum(hinge).tolist(),
                parts={} if stopped else {n: h.tolist() for n, h in zip(names, hinge, strict=True)},
                validation={task: 0.8 - 0.1 * i - 0.03 * abs(2 - r) for i, task in enumerate(tasks)},
                stopped=stopped,
                selected=r == 2,
            )
        )
    return rounds
