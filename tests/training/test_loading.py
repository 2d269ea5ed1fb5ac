"""Mini-batches that are prepared ahead are those that would be prepared at their step, and a failure is not lost."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import DIGIT, write_tiny_dataset
from torch import Tensor

from longtail.data.dataset import PackedDataset
from longtail.data.transforms import Augmentation, augment, draw, to_float
from longtail.errors import DataError
from longtail.methods.base import Sampling, Setup
from longtail.methods.batch import Batch
from longtail.methods.softmax import Softmax
from longtail.training.inputs import Images
from longtail.training.loading import mini_batches, one_ahead, seeds
from longtail.world import ALONE, World

CPU = torch.device("cpu")
WAIT = 30.0  # seconds; only a failing test waits for it


@pytest.fixture
def dataset(tmp_path: Path) -> PackedDataset:
    write_tiny_dataset(tmp_path / "dataset", per_class=10)
    return PackedDataset.open(tmp_path / "dataset")


@pytest.mark.parametrize("world", [ALONE, World(1, 2)])
def test_the_images_are_those_of_the_plain_definition(dataset: PackedDataset, world: World) -> None:
    labels = {DIGIT.name: dataset.labels(DIGIT.name)}
    how = Augmentation(rotate=20, scale=0.1, shift=0.1, mirror=True)
    rows = np.arange(len(dataset))[::-1]
    method = Softmax(Setup(labels, Sampling(batch=6), 0))
    batches = mini_batches(Images(dataset, rows, how), method, seed=3, steps=range(2, 5), device=CPU, world=world)
    for step, (images, batch) in zip(range(2, 5), batches, strict=True):
        expected = method.batch(step, world)
        assert batch.samples.tolist() == expected.samples.tolist()
        torch.manual_seed(seeds(3, step)[0])
        drawn = torch.rand((5, expected.whole))[:, expected.places]
        raw = torch.from_numpy(np.stack([dataset.images(rows[[sample]])[0] for sample in expected.samples]))
        assert torch.equal(images, augment(to_float(raw), how, drawn))


VARIED: list[dict[str, Any]] = [
    {},
    {"rotate": 20, "mirror": True},
    {"policy": "trivialaugment"},
    {"policy": "randaugment", "crop": 0.5, "cutout": 0.3},
]


@pytest.mark.parametrize("how", VARIED, ids=str)
@pytest.mark.parametrize("world", [ALONE, World(1, 2)])
@pytest.mark.parametrize("views", [1, 2, 3])
def test_the_first_view_may_be_plain_and_the_others_are_what_they_would_be(
    dataset: PackedDataset, views: int, world: World, how: dict[str, Any]
) -> None:
    inputs = Images(dataset, np.arange(len(dataset))[::-1].copy(), Augmentation(**how))
    steps: dict[bool, list[tuple[Tensor, Batch]]] = {}
    for plain_first in (False, True):
        method = Softmax(Setup({DIGIT.name: dataset.labels(DIGIT.name)}, Sampling(batch=6), 0))
        method.views, method.plain_first = views, plain_first
        steps[plain_first] = list(mini_batches(inputs, method, seed=3, steps=range(3), device=CPU, world=world))
    for (varied, _), (images, batch) in zip(steps[False], steps[True], strict=True):
        count = len(batch.samples)
        assert torch.equal(images[:count], to_float(torch.from_numpy(inputs.plain(batch.samples))))
        assert torch.equal(images[count:], varied[count:])
        assert torch.equal(varied[:count], images[:count]) == (not how)


def test_after_plain_images_the_channels_stay_last_in_memory(dataset: PackedDataset) -> None:
    inputs = Images(dataset, np.arange(len(dataset)), Augmentation(rotate=5))
    images = inputs.finish(torch.zeros((4, 28, 28, 3), dtype=torch.uint8), draw(4), plain=2)
    assert images.shape == (4, 3, 28, 28)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_colours_are_those_of_the_samples_of_the_split(tmp_path: Path) -> None:
    write_tiny_dataset(tmp_path / "dataset", per_class=4, colours=4)
    packed, rows = PackedDataset.open(tmp_path / "dataset"), np.array([7, 2, 11])
    inputs = Images(packed, rows, Augmentation())
    assert packed.colours is not None
    # The images are grey: histograms that can be told apart, in place of theirs.
    packed.colours = np.arange(12 * 16, dtype=np.uint16).reshape(12, 16)
    assert inputs.colours is not None
    assert inputs.colours[:, 0].tolist() == [7 * 16, 2 * 16, 11 * 16]


def test_the_draws_of_the_thread_leave_torchs_own_generator_alone(dataset: PackedDataset) -> None:
    method = Softmax(Setup({DIGIT.name: dataset.labels(DIGIT.name)}, Sampling(batch=6), 0))
    before = torch.get_rng_state()
    rows = np.arange(len(dataset))
    list(mini_batches(Images(dataset, rows, Augmentation(rotate=5)), method, seed=0, steps=range(3), device=CPU))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_is_prepared_while_the_one_before_is_worked_on_and_no_step_after_it() -> None:
    loaded_steps, submitted = [], []

    class Steps:
        """Says which steps are asked for, which is when they are given to the thread."""

        def __iter__(self) -> Iterator[int]:
            for step in range(4):
                submitted.append(step)
                yield step

    begun = [threading.Event() for _ in range(4)]

    def load(step: int) -> int:
        begun[step].set()
        return step

    with closing(one_ahead(load, Steps(), CPU)) as loaded:  # type: ignore[arg-type]
        for step in range(3):
            loaded_steps.append(next(loaded))
            assert begun[step + 1].wait(WAIT)
            assert submitted == list(range(step + 2))
    assert loaded_steps == [0, 1, 2]


def test_only_the_wait_for_the_images_counts_as_waiting() -> None:
    inside: list[bool] = []
    waits = []

    @contextmanager
    def waiting() -> Iterator[None]:
        inside.append(True)
        yield
        inside.pop()
        waits.append(1)

    for _ in one_ahead(lambda step: step, range(3), CPU, waiting):
        assert not inside
    assert len(waits) == 3


def test_every_step_comes_once_and_in_order() -> None:
    assert list(one_ahead(lambda step: step, range(5, 9), CPU)) == [5, 6, 7, 8]
    assert list(one_ahead(lambda step: step, range(5, 5), CPU)) == []


def test_an_error_is_raised_at_its_own_step() -> None:
    def load(step: int) -> int:
        if step == 2:
            raise DataError("the images are gone")
        return step

    loaded = one_ahead(load, range(4), CPU)
    assert [next(loaded), next(loaded)] == [0, 1]
    with pytest.raises(DataError, match="the images are gone"):
        next(loaded)


def test_closing_ends_the_thread() -> None:
    before = set(threading.enumerate())
    with closing(one_ahead(lambda step: step, range(100), CPU)) as loaded:
        next(loaded)
        (thread,) = set(threading.enumerate()) - before
    assert not thread.is_alive()


def test_a_step_has_two_seeds_of_its_own() -> None:
    drawn = [seeds(seed, step) for seed in range(3) for step in range(50)]
    assert len({one for pair in drawn for one in pair}) == 300


def test_processes_share_the_seed_of_the_augmentation_and_the_first_has_those_of_one_alone() -> None:
    drawn = [[seeds(3, step, rank) for rank in range(8)] for step in range(50)]
    for step, of_ranks in enumerate(drawn):
        assert of_ranks[0] == seeds(3, step) == tuple(np.random.SeedSequence([3, step]).generate_state(2))
        assert len({first for first, _ in of_ranks}) == 1
    assert len({second for of_ranks in drawn for _, second in of_ranks}) == 50 * 8
