"""`longtail add`: classes that nobody trained, from a few images each, beside those that an index knows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from longtail.artifacts.digests import check_artifact, write_digests
from longtail.artifacts.lineage import ADD, Lineage, extended
from longtail.artifacts.outputs import written_whole
from longtail.artifacts.reading import read_json, write_json
from longtail.data.dataset import Task
from longtail.errors import DataError
from longtail.inference.class_folders import LONGEST, ClassImages, read_classes, with_classes
from longtail.network.device import device
from longtail.network.embedder import Embedder, build_network, load_embedder, write_network
from longtail.network.snapshot import State
from longtail.rules.base import Addition, Rule, rule_class
from longtail.rules.cluster_wise import ClusterWise
from longtail.rules.familiarity import Familiarity
from longtail.rules.probabilities import PROBABILITIES, Probabilities
from longtail.rules.registry import RULES
from longtail.sources.quoting import listed, shown


class Known(NamedTuple):
    """A rule on a task, fitted, and the probabilities that belong to it."""

    rule: Rule
    probabilities: Probabilities


def add(folder: Path, index: Path, output: Path, task: str | None = None) -> str:
    """Write what the index `index` holds, and the classes of `folder` on the task, as the new index `output`; a
    sentence of it. `task` may be None where there is one.

    Rules that ask the classifier are left out, on every task: it knows none of the classes. Raises DataError if
    anything stands against it, and has then written nothing.
    """
    _check_places(folder, index, output)
    check_artifact(index)
    embedder, state = load_embedder(index / "snapshot").to(device()), State.read(index)
    own = _task(embedder.tasks, task, index)
    images = read_classes(folder, embedder.blueprint)
    new = with_classes(own, list(images))
    rules = {one.name: _neighbours(index, one.name) for one in embedder.tasks}
    addition = _addition(embedder, own, images, rules[own.name])
    rules[own.name] = {
        key: Known(more, known.probabilities)
        for key, known in rules[own.name].items()
        if (more := known.rule.extended(addition)) is not None
    }
    familiar = {name: Familiarity.load(index / "rules", name) for name in rules}
    familiar[own.name] = familiar[own.name].extended(_clusters(rules[own.name]), addition)
    key = _answering(rules, own, new, state.rule)
    about = {name: {"images": len(one.pixels), "sha256": one.sha256} for name, one in images.items()}
    with written_whole({"index": output}, [index, folder]) as partial:
        _write(partial["index"], _without_classifier(embedder, new), rules, familiar)
        state.model_copy(update={"rule": key}).write(partial["index"])
        origin = {"index": Lineage.read(index)}
        lineage = extended(ADD, {"task": own.name, "classes": about}, origin, {}, Lineage())
        lineage.write(partial["index"])
        write_digests(partial["index"])
    counts = ", ".join(f"{shown(name)} ({one['images']})" for name, one in list(about.items())[:10])
    said = (
        f"{output}: {own.name} has {len(new.classes)} classes, new are {counts}; it answers by {rule_class(key).title}"
    )
    return said + _not_told_apart(rules[own.name][key].rule, addition, new)


def _not_told_apart(rule: Rule, addition: Addition, task: Task) -> str:
    """Of which new classes the images themselves are answered otherwise, though the rule has them; empty of none."""
    answers, _ = rule.predict(addition.embeddings, None)
    lost = []
    for code in np.unique(addition.labels):
        of_class = addition.labels == code
        if wrong := int((answers[of_class] != code).sum()):
            lost.append(f"{shown(task.classes[code])} ({wrong} of {of_class.sum()} images)")
    return f"; of what was added it answers otherwise: {', '.join(lost[:10])}" if lost else ""


def _check_places(folder: Path, index: Path, output: Path) -> None:
    if not index.is_dir():
        raise DataError(f"there is no index {shown(index, LONGEST)}; `longtail index` makes one of a model")
    if output.exists() or output.is_symlink():
        raise DataError(f"{shown(output, LONGEST)} exists; name a directory that does not")
    for place in (index, folder):
        if output.resolve().is_relative_to(place.resolve()):
            raise DataError(f"{shown(output, LONGEST)} lies in {shown(place, LONGEST)}; write the new index elsewhere")


def _task(tasks: list[Task], name: str | None, index: Path) -> Task:
    names = [task.name for task in tasks]
    if name is None and len(tasks) > 1:
        raise DataError(f"{index} has the tasks {listed(names)}; say with --task which of them the classes are of")
    if name is not None and name not in names:
        raise DataError(f"{index} has no task {shown(name)!r}; it has {listed(names)}")
    return tasks[names.index(name) if name else 0]


def _neighbours(index: Path, task: str) -> dict[str, Known]:
    """By key the rules of an index on a task that ask no classifier. Raises DataError if they cannot be read."""
    there = read_json(index / "rules.json")
    own = there.get(task, {}) if isinstance(there, dict) else {}
    keys = [key for key in RULES if key in own and not rule_class(key).needs_logits]
    if "cluster_wise" not in keys:
        raise DataError(f"{index / 'rules.json'} has no cluster-wise rule of {task!r}; run `longtail index` again")
    return {
        key: Known(rule_class(key).load(index / "rules", task), Probabilities.read(index, task, key)) for key in keys
    }


def _addition(
    embedder: Embedder, task: Task, images: Mapping[str, ClassImages], rules: Mapping[str, Known]
) -> Addition:
    embeddings = [embedder(one.pixels)[task.name] for one in images.values()]
    for name, of_class in zip(images, embeddings, strict=True):
        if not np.isfinite(of_class).all():
            raise DataError(f"the model embeds images of {shown(name)!r} as no numbers; is its training broken?")
    codes = np.arange(len(task.classes), len(task.classes) + len(images))
    labels = np.repeat(codes, [len(one.pixels) for one in images.values()])
    count = len(task.classes) + len(images)
    return Addition(np.concatenate(embeddings), labels, count, _clusters(rules).clusters.mean_size)


def _answering(rules: Mapping[str, Mapping[str, Known]], old: Task, new: Task, own: str) -> str:
    """The key of the rule that answers, on every task: the model's own or else the best on validation, of those by
    which every new class can win.
    """
    codes = range(len(old.classes), len(new.classes))
    able = [key for key, known in rules[old.name].items() if all(known.rule.can_answer(code) for code in codes)]
    able = [key for key in able if all(key in of_task for of_task in rules.values())]
    if not able:
        raise DataError(
            "no rule of the index can answer with a class of so few images: by votes they are too few; give more, or "
            "run `longtail index` with class_mean among its rules"
        )
    scores = {key: sum(of_task[key].rule.score for of_task in rules.values()) for key in able}
    return own if own in able else max(able, key=scores.__getitem__)


def _without_classifier(embedder: Embedder, new: Task) -> Embedder:
    """The same embedding for a task of more classes; its classifiers are as those that nobody has trained."""
    tasks = [new if task.name == new.name else task for task in embedder.tasks]
    blueprint = embedder.blueprint.model_copy(update={"tasks": tasks, "method": None})
    if embedder.network is None:
        return Embedder(blueprint, None)
    network = build_network(blueprint)
    for name, part in embedder.network.named_children():
        if name != "classifiers":
            setattr(network, name, part)
    for parameter in network.classifiers.parameters():
        nn.init.zeros_(parameter)
    return Embedder(blueprint, network)


def _write(
    new: Path,
    embedder: Embedder,
    rules: Mapping[str, Mapping[str, Known]],
    familiar: Mapping[str, Familiarity],
) -> None:
    """Everything but state and lineage. The data set's embeddings stay where they are: no answer needs them."""
    write_network(new / "snapshot", embedder)
    (new / "rules").mkdir()
    for task, of_task in rules.items():
        for known in of_task.values():
            known.rule.save(new / "rules", task)
        familiar[task].save(new / "rules", task)
    write_json(new / "rules.json", {task: {key: _about(one) for key, one in of.items()} for task, of in rules.items()})


def _about(known: Known) -> dict[str, Any]:
    return {**known.rule.summary(), PROBABILITIES: known.probabilities.model_dump()}


def _clusters(rules: Mapping[str, Known]) -> ClusterWise:
    found = rules["cluster_wise"].rule
    assert isinstance(found, ClusterWise)
    return found
