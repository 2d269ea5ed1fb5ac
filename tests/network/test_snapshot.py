"""When an embedding has collapsed, and when it has not; what is in memory while a snapshot is written."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from tiny import write_tiny_dataset

from longtail.data.dataset import PackedDataset
from longtail.network.embedder import Embedder, Inputs, blueprint_for, build_network, write_snapshot
from longtail.network.network import NetworkParams
from longtail.network.snapshot import Floats, Ints, collapse_warning, read_embeddings

RNG = np.random.default_rng(0)


def at(points: list[list[float]], labels: Ints) -> Floats:
    """Each sample at the point of its class, all but exactly."""
    return (np.array(points)[labels] + RNG.normal(0, 1e-4, (len(labels), 2))).astype(np.float32)


def test_one_point_for_all_is_a_collapse() -> None:
    labels = RNG.integers(0, 3, 30_000)
    said = collapse_warning("digit", at([[0.6, 0.8]] * 3, labels), labels)
    assert said
    assert said.startswith("The embedding of digit has collapsed")


@pytest.mark.parametrize(("spread", "collapsed"), [(0.001, True), (0.01, True), (0.1, False)])
def test_a_small_cloud_is_a_collapse_too(spread: float, collapsed: bool) -> None:
    """As hinges leave it that neither pull nor push can lower."""
    labels = RNG.integers(0, 3, 3000)
    cloud = np.array([0.6, 0.8, 0]) + spread * RNG.normal(size=(3000, 3))
    assert bool(collapse_warning("digit", cloud.astype(np.float32), labels)) == collapsed


def test_so_it_is_when_a_few_samples_are_elsewhere() -> None:
    labels = np.arange(3000) % 3
    embeddings = np.zeros((3000, 2), np.float32)  # a ReLU has set all to 0
    embeddings[:200] = [1, 0]
    assert collapse_warning("digit", embeddings, labels)


@pytest.mark.parametrize("rare", [3, 100, 1000])
def test_classes_that_are_apart_have_not_collapsed(rare: int) -> None:
    labels = np.zeros(2000, np.int64)
    labels[:rare] = 1
    assert not collapse_warning("kids", at([[1, 0], [0, 1]], labels), labels)


def test_samples_that_differ_have_not_collapsed() -> None:
    embeddings = RNG.normal(size=(500, 2)).astype(np.float32)
    assert not collapse_warning("kids", embeddings, np.arange(500) % 2)


def test_nothing_is_said_of_a_single_class_or_of_unknown_labels() -> None:
    same = np.ones((5, 2), np.float32)
    for labels in ([0, 0, 0, 0, 0], [-1, -1, -1, -1, -1], [0, -1, -1, 0, -1]):
        assert not collapse_warning("kids", same, np.array(labels))
    assert not collapse_warning("kids", same[:1], np.array([0]))


class Watched(Embedder):
    """Counts how many of the blocks that it gave away are still kept."""

    def embed_and_classify(self, images: Inputs) -> tuple[dict[str, Floats], dict[str, Floats]]:
        gc.collect()
        self.kept.append(sum(block() is not None for block in self.given))
        both = super().embed_and_classify(images)
        self.given += [weakref.ref(rows) for of_tasks in both for rows in of_tasks.values()]
        return both

    def watch(self) -> None:
        self.given: list[weakref.ref[Floats]] = []
        self.kept: list[int] = []


def test_blocks_are_not_kept_until_all_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network's own memory comes and goes between them: what is kept there cuts up the heap."""
    monkeypatch.setattr("longtail.network.embedder.block_size", lambda _: 4)
    write_tiny_dataset(tmp_path / "dataset", per_class=8, two_tasks=True)
    packed = PackedDataset.open(tmp_path / "dataset")
    blueprint = blueprint_for(NetworkParams(embedding=4), "network", packed.info.tasks, packed.info)
    embedder = Watched(blueprint, build_network(blueprint))
    embedder.watch()
    write_snapshot(tmp_path / "snapshot", embedder, packed.images, 22, logits=True)
    assert len(embedder.kept) == 6
    assert max(embedder.kept) <= 4, "of two tasks the embeddings and logits of the last block"
    expected, _ = Embedder(blueprint, embedder.network).all_embedded_and_classified(packed.images(np.arange(22)))
    for task, rows in expected.items():
        assert np.allclose(read_embeddings(tmp_path / "snapshot", task), rows, atol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_an_embedding_that_tasks_share_is_kept_once(tmp_path: Path, *, shared: bool) -> None:
    write_tiny_dataset(tmp_path / "dataset", two_tasks=True)
    packed = PackedDataset.open(tmp_path / "dataset")
    params = NetworkParams(embedding=4, shared_embedding=shared)
    blueprint = blueprint_for(params, "network", packed.info.tasks, packed.info)
    embedder = Embedder(blueprint, build_network(blueprint))
    write_snapshot(tmp_path / "snapshot", embedder, packed.images, 10, logits=False)
    files = {file.name for file in (tmp_path / "snapshot").glob("embeddings-*")}
    assert files == {"embeddings-digit.npy"} | (set() if shared else {"embeddings-kids.npy"})
    for task, rows in embedder(packed.images(np.arange(10))).items():
        assert np.array_equal(read_embeddings(tmp_path / "snapshot", task), rows)
