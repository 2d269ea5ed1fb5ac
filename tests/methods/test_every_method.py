"""Every method of the catalogue as a training, those that come later too; test_methods.py has what a step does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interruption import interrupted
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file
from tiny import OPTIMISATION, hashes, run_stage

from longtail.data.splits import Split
from longtail.methods.base import AnyMethod, Sampling, Setup
from longtail.methods.batch import Batch
from longtail.methods.catalogue import CATALOGUE, PARTS, params_class, title_of
from longtail.network.snapshot import State, current, read_logits
from longtail.rules.base import rule_class
from longtail.training.checkpoint import FILE
from longtail.world import ALONE, World

KINDS = tuple(CATALOGUE)


@pytest.mark.parametrize("kind", KINDS)
def test_its_parameters_are_read_as_they_were_written_and_no_others(kind: str) -> None:
    params = params_class(kind)()
    read: Any = TypeAdapter(AnyMethod).validate_python(params.model_dump(mode="json"))
    assert read == params
    assert type(read) is type(params)
    with pytest.raises(ValidationError, match="no_such_parameter"):
        params_class(kind)(no_such_parameter=1)


def test_titles_tell_methods_apart_and_a_part_of_several_losses_has_one() -> None:
    titles = [title_of(params_class(kind)().model_dump(mode="json")) for kind in KINDS]
    assert len(set(titles)) == len(titles)
    for entry in CATALOGUE.values():
        assert entry.paper
        assert entry.parts.items() <= PARTS.items()
    assert len(set(PARTS.values())) == len(PARTS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_share_what_one_selects_with_all_that_it_has_to_know(
    prepared: Path, kind: str, size: int
) -> None:
    """The processes' mini-batches together are as large as that of one whose `batch` is so many times theirs."""
    table = Split.open(prepared / "split")
    labels = {task.name: table.train_labels(task) for task in table.tasks}

    def batch(step: int, samples: int, world: World = ALONE) -> Batch:
        colours = np.eye(len(table.samples), dtype=np.uint16)
        setup = Setup(labels, Sampling(batch=samples), 0, world.size, prepared / "r1/quintuplets", colours=colours)
        found: Batch = params_class(kind)().build(setup).batch(step, world)
        return found

    for step in range(4):
        whole = batch(step, 4 * size)
        parts = [batch(step, 4, World(rank, size)) for rank in range(size)]
        for task, rows in whole.rows.items():
            shares = [part.samples[part.rows[task].numpy()] for part in parts]
            assert max(map(len, shares)) - min(map(len, shares)) <= 1
            assert np.array_equal(np.concatenate(shares), whole.samples[rows.numpy()])
            for name, values in whole.targets[task].items():
                assert torch.equal(torch.cat([part.targets[task][name] for part in parts]), values), name
        for part in parts:
            assert part.whole == len(whole.samples)
            assert np.array_equal(whole.samples[part.places], part.samples)


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_leaves_what_the_catalogue_says_and_resumes_to_the_same_bytes(
    tmp_path: Path, prepared: Path, kind: str
) -> None:
    """A method with a table in a round, any other in a training of `fits`."""
    entry = CATALOGUE[kind]
    stage = "train" if entry.needs_table else "fit"

    def trained(name: str) -> dict[str, float]:
        own: dict[str, Any] = {"sampling": "natural", "cost": False} if entry.corrects_prior else {}
        if params_class(kind).one_embedding:
            own["network"] = {"embedding": 8, "shared_embedding": True}
        if not entry.needs_table:
            own["optimisation"] = {**OPTIMISATION, "augmentation": {"rotate": 10}}
        paths = {"model": f"{tmp_path}/{name}"}
        if params_class(kind).needs_classifier:
            paths["previous"] = "softmax/model"
        return run_stage(prepared, stage, paths=paths, method={"kind": kind}, **own)

    with interrupted(after=8):
        trained("resumed")
    stored = load_file(tmp_path / ".resumed.work" / FILE)
    report = trained("resumed")
    assert trained("whole") == report
    assert hashes(tmp_path / "resumed") == hashes(tmp_path / "whole")

    assert {f"final_{name}" for name in ("loss", *entry.parts)} <= set(report)
    state = State.read(tmp_path / "whole")
    assert state.rule == entry.rule
    assert set(state.history[-1].scores) == {"digit", "kids"}
    weights = load_file(current(tmp_path / "whole") / "network.safetensors")
    assert {name for name in stored if name.startswith("weights.network.")} == {f"weights.network.{n}" for n in weights}
    assert read_logits(current(tmp_path / "whole"), "digit") is not None or not rule_class(entry.rule).needs_logits
