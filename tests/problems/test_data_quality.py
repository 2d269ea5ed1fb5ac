"""What a report says of the data: of a run of the whole pipeline, and where there is nothing to say."""

from pathlib import Path

import numpy as np
import pytest
from report_content import class_names, make_report, make_task

from longtail.audit.audit import audited
from longtail.data.dataset import PackedDataset, Task
from longtail.data.splits import Split
from longtail.problems import doubts
from longtail.problems import fineness as finely
from longtail.problems.classification import Judged, labels
from longtail.problems.doubts import doubted
from longtail.problems.fineness import PAIRS, fineness
from longtail.report import render
from longtail.report.data_quality import Copies
from longtail.rules.base import rule_class


def judged(index: Path, split: Split, task: Task) -> Judged:
    rules = {"cluster_wise": rule_class("cluster_wise").load(index / "rules", task.name)}
    embeddings = np.load(index / "snapshot" / f"embeddings-{task.name}.npy")
    return Judged("softmax", "cluster_wise", rules, embeddings, None, len(task.classes))


def test_the_finest_pairs_have_pictures_of_test_images(trained: Path) -> None:
    split, packed = Split.open(trained / "split"), PackedDataset.open(trained / "dataset")
    task = split.tasks[0]
    model = judged(trained / "index/softmax", split, task)
    found = fineness(task, [model, model], split, packed)
    assert found is not None
    assert 0 <= found.lead.rankm <= 1
    assert len(found.pairs) == len(found.lead.pairs) <= PAIRS
    test = packed.images(split.samples["row"].to_numpy()[split.positions("test")])
    for pair, pictures in zip(found.lead.pairs, found.pairs, strict=True):
        assert (pictures.medoids[0] == test[pair.medoids[0]]).all()
        assert (pictures.between[1] == test[pair.between[1]]).all()


def test_of_a_large_class_some_samples_are_measured(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all of a small one; pictures are still those of the samples that are meant."""
    split, packed = Split.open(trained / "split"), PackedDataset.open(trained / "dataset")
    task = split.tasks[0]
    model = judged(trained / "index/softmax", split, task)
    sizes = np.bincount(labels(task, split)[labels(task, split) >= 0])
    most = int(sizes.max()) - 1
    monkeypatch.setattr(finely, "OF_CLASS", most)
    found = fineness(task, [model], split, packed)
    assert found is not None
    assert found.lead.samples == np.minimum(sizes, most).sum() < sizes.sum()
    test = packed.images(split.samples["row"].to_numpy()[split.positions("test")])
    for pictures in found.pairs:
        for code, image in zip(pictures.classes, pictures.medoids, strict=True):
            of_class = test[labels(task, split) == task.classes.index(code)]
            assert (of_class == image).all(axis=(1, 2, 3)).any()


def test_among_too_many_images_copies_are_not_looked_for(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split, packed = Split.open(trained / "split"), PackedDataset.open(trained / "dataset")
    task, index = split.tasks[0], trained / "index/softmax"
    model = judged(index, split, task)
    page = make_task(task.classes, task.name)
    with_all, _ = doubted([page], [0], index, lambda _: model, split, packed)
    monkeypatch.setattr(doubts, "COMPARED", len(split.samples) - 1)
    pages, copies = doubted([page], [0], index, lambda _: model, split, packed)
    assert copies is None
    assert pages[0].doubts is not None
    assert with_all[0].doubts is not None
    assert pages[0].doubts.audit == with_all[0].doubts.audit, "labels that may be wrong are told as before"


def test_a_task_without_test_labels_is_not_measured(trained: Path) -> None:
    split, packed = Split.open(trained / "split"), PackedDataset.open(trained / "dataset")
    task = split.tasks[0]
    split.samples[task.name] = split.samples[task.name].where(split.subset != "test")
    assert fineness(task, [judged(trained / "index/softmax", split, task)], split, packed) is None


def test_a_planted_copy_is_in_the_report_and_no_other(trained: Path) -> None:
    split, packed = Split.open(trained / "split"), PackedDataset.open(trained / "dataset")
    task, index = split.tasks[0], trained / "index/softmax"
    model = judged(index, split, task)
    page = make_task(task.classes, task.name)
    before = doubted([page], [0], index, lambda _: model, split, packed)[1]
    assert before is not None
    assert (before.pairs, before.pictures) == (0, [])
    first, second = split.positions("train")[0], split.positions("test")[-1]
    model.embeddings[second] = model.embeddings[first]
    split.samples.loc[second, "row"] = split.samples["row"].iloc[first]
    pages, copies = doubted([page], [0], index, lambda _: model, split, packed)
    assert copies is not None
    assert (copies.pairs, copies.across) == (1, 1)
    assert set(copies.pictures[0].ids) == set(split.samples["id"].iloc[[first, second]])
    told = pages[0].doubts
    assert told is not None
    judged_labels = told.audit.suspects.judged + told.audit.suspects.unjudged
    assert judged_labels == (split.scored_labels(task, "validation") >= 0).sum()


def test_a_collapsed_embedding_tells_of_no_copies(trained: Path) -> None:
    split, packed = Split.open(trained / "split"), PackedDataset.open(trained / "dataset")
    labels = {task.name: split.labels(task) for task in split.tasks}
    points = np.ones((len(split.samples), 4))
    pixels = packed.images(split.samples["row"].to_numpy()).reshape(len(points), -1)
    found = audited(split.samples, labels, split.tasks, points, "embeddings", pixels=lambda at: pixels[at])
    assert found.copies == []


@pytest.mark.parametrize("copies", [None, Copies("r3", 0, 0, 0)])
def test_nothing_to_say_is_said(copies: Copies | None) -> None:
    page = render(make_report([make_task(class_names(3), fineness=None, doubts=None)], copies=copies))
    assert "Granularity compares classes" in page
    assert "The data were not looked at" in page
    assert ("stand out as near-duplicates" in page) == (copies is not None)
    assert 'href="#copies"' in page or copies is None


def test_what_was_found_is_said() -> None:
    page = render(make_report([make_task(class_names(3))]))
    for sentence in ("3 of 200 judged validation labels may be wrong", "hardest to tell apart", "3 pairs of images"):
        assert sentence in page
