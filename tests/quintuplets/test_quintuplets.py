"""The quintuplet table against a plain re-computation of LMLE's section 3.1, sample by sample."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.errors import DataError
from longtail.quintuplets import candidates, product, search
from longtail.quintuplets import quantile as quantiles
from longtail.quintuplets.candidates import Task
from longtail.quintuplets.gpu import GPUProduct
from longtail.quintuplets.pools import draw_pool, pooled_tables
from longtail.quintuplets.quantile import quantile_table
from longtail.quintuplets.search import quintuplet_tables
from longtail.quintuplets.table import WHOLE, Part, QuintupletTable, load_tables, merge, save_tables
from longtail.rules.distances import squared_distances

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass
class Case:
    embeddings: Floats
    labels: Ints
    clusters: Ints
    pool: Ints

    def task(self) -> Task:
        return Task(self.labels, self.clusters, self.pool, np.flatnonzero(self.labels >= 0))

    def table(self, memory: int | None = None, part: Part = WHOLE) -> QuintupletTable:
        return quintuplet_tables(self.embeddings, [self.task()], memory=memory, part=part)[0]


def distance(a: Floats, b: Floats) -> float:
    """D of Eq. 1."""
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))


def extreme(pick: Callable[..., int], anchor: int, candidates: list[int], embeddings: Floats) -> int | None:
    """The nearest (pick=min) or farthest (pick=max) candidate; of equals the first."""
    if not candidates:
        return None
    return pick(candidates, key=lambda other: distance(embeddings[anchor], embeddings[other]))


def at_quantile(quantile: float) -> Callable[..., int]:
    """Of m candidates sorted from the easy end (pick=min: the farthest) the ⌈qm⌉-th; 1 is the extreme."""

    def picked(pick: Callable[..., int], anchor: int, candidates: list[int], embeddings: Floats) -> int | None:
        if not candidates:
            return None
        sign = 1 if pick is max else -1
        at = sorted(candidates, key=lambda other: sign * distance(embeddings[anchor], embeddings[other]))
        value = distance(embeddings[anchor], embeddings[at[math.ceil(Fraction(str(quantile)) * len(at)) - 1]])
        return next(other for other in candidates if distance(embeddings[anchor], embeddings[other]) == value)

    return picked


def slow_table(
    case: Case, extreme: Callable[..., int | None] = extreme, *, ordered: bool = False
) -> tuple[list[list[int]], list[bool]]:
    """`ordered`: p−− is of another cluster than the anchor's, if there is one."""
    x, labels, clusters = case.embeddings, case.labels, case.clusters
    pool = sorted((int(p) for p in case.pool), key=lambda p: (labels[p], clusters[p], p))  # the order of ties
    rows, has_other = [], []
    for i in range(len(labels)):
        if labels[i] < 0:
            continue
        of_class = [j for j in pool if labels[j] == labels[i]]
        in_cluster = [j for j in of_class if clusters[j] == clusters[i] and j != i]
        p_plus = extreme(max, i, in_cluster, x)
        elsewhere = [j for j in of_class if clusters[j] != clusters[i]]
        p_minus = extreme(min, i, elsewhere, x)
        p_minus_minus = extreme(max, i, elsewhere if ordered and elsewhere else [j for j in of_class if j != i], x)
        negative = extreme(min, i, [j for j in pool if labels[j] != labels[i]], x)
        assert negative is not None
        has_other.append(p_minus is not None)
        p_minus_minus = i if p_minus_minus is None else p_minus_minus
        p_minus = p_minus_minus if p_minus is None else p_minus
        rows.append([i, i if p_plus is None else p_plus, p_minus, p_minus_minus, negative])
    return rows, has_other


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Two to four classes of one to nine samples on a small grid, so that distances are exact and ties abound."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=2, max_size=4))
    missing = draw(st.integers(0, 3))
    labels = draw(st.permutations([c for c, size in enumerate(sizes) for _ in range(size)] + [-1] * missing))
    per_class = [draw(st.integers(1, 3)) for _ in sizes]
    clusters = [-1 if c < 0 else 3 * c + draw(st.integers(0, per_class[c] - 1)) for c in labels]
    points = draw(
        st.lists(st.tuples(*[st.integers(-2, 2)] * 2), min_size=len(labels), max_size=len(labels))
    )  # ±2 on a plane: 25 places, so duplicates too
    candidates: list[int] = []
    for code in range(len(sizes)):
        members = [i for i, c in enumerate(labels) if c == code]
        candidates += draw(st.lists(st.sampled_from(members), min_size=1, unique=True))
    return Case(np.array(points, np.float32), np.array(labels), np.array(clusters), np.array(sorted(candidates)))


@settings(deadline=None, max_examples=150)
@given(cases())
def test_agrees_with_the_slow_oracle(case: Case) -> None:
    table = case.table()
    members, has_other = slow_table(case)
    assert table.members.tolist() == members
    assert table.has_other_cluster.tolist() == has_other


@settings(deadline=None, max_examples=100)
@given(cases(), st.sampled_from([0.51, 0.6, 0.75, 0.9, 1.0]), st.integers(1, 40))
def test_a_quantile_agrees_with_the_slow_oracle(case: Case, quantile: float, block: int) -> None:
    rows, has_other = slow_table(case, at_quantile(quantile), ordered=quantile < 1)
    with patch.object(quantiles, "BLOCK", block):
        table = quantile_table(case.embeddings, case.task(), quantile)
    assert table.members.tolist() == rows
    assert table.has_other_cluster.tolist() == has_other
    parts = [quantile_table(case.embeddings, case.task(), quantile, part=Part(number, 3)) for number in range(3)]
    assert (merge(parts).members == table.members).all()
    for partners, columns in (("near", [1, 2]), ("far", [3, 4])):
        some = quantile_table(case.embeddings, case.task(), quantile, partners=partners)
        assert some.has_other_cluster.tolist() == has_other
        other = [column for column in (1, 2, 3, 4) if column not in columns]
        assert (some.members[:, other] == -1).all()
        for column in columns:  # without another cluster p− repeats p−−, which near has not
            asked = table.has_other_cluster if column == 2 else np.ones(len(rows), bool)
            assert (some.members[asked, column] == table.members[asked, column]).all()
    if quantile < 1:  # as Eq. 1 has them: at any quantile the hinges ask for no order that was not mined
        x = case.embeddings
        for (anchor, _, minus, far, _), has in zip(rows, has_other, strict=True):
            assert not has or distance(x[anchor], x[minus]) <= distance(x[anchor], x[far])


@pytest.mark.parametrize("quantile", [0.5001, *(percent / 100 for percent in range(51, 101))])
@pytest.mark.parametrize("count", [1, 7, 20, 100])
def test_a_quantile_is_exact_where_its_product_is_not(quantile: float, count: int) -> None:
    """0.55 · 20 is more than 11 in binary, and the 11th of 20 is meant."""
    line = np.arange(count + 2, dtype=np.float32)[:, None]  # the anchor, its class by distance, and another class
    labels = np.array([0] * (count + 1) + [1])
    everything = np.arange(count + 2)
    (members,) = quantile_table(line, Task(labels, labels, everything, everything[:1]), quantile).members
    assert members[1] == math.ceil(Fraction(str(quantile)) * count)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([0.75, 1.0]))
def test_cluster_level_partners_come_from_pools_of_their_own(seed: int, pools: int, quantile: float) -> None:
    """With two candidates of every cluster a quintuplet has its p+ and p− wherever the data have them."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, -1], [12, 9, 3])
    clusters = np.where(labels < 0, -1, np.repeat([0, 1, 2, 3, 4], [5, 7, 8, 1, 3]))
    embeddings = rng.normal(size=(24, 3)).astype(np.float32)
    how = {"pools": pools, "per_class": 2, "per_cluster": 2, "rng": rng, "quantile": quantile}
    (table,) = pooled_tables(embeddings, [(labels, clusters)], **how)  # type: ignore[arg-type]
    anchor, plus, minus, far, negative = table.members.T
    assert table.has_other_cluster.all()
    assert ((clusters[plus] == clusters[anchor]) & ((plus != anchor) | (clusters[anchor] == 3))).all()
    assert ((clusters[minus] != clusters[anchor]) & (labels[minus] == labels[anchor])).all()
    assert (labels[far] == labels[anchor]).all()
    assert (labels[negative] != labels[anchor]).all()
    if pools == 1:  # two of a class are the candidates of all anchors
        assert len(np.unique(negative)) <= 4


@contextmanager
def small_pieces(segment: int, tile: int, block: int) -> Iterator[None]:
    """Segments, tiles and blocks so small that a few samples make many of them."""
    with (
        patch.object(candidates, "SEGMENT", segment),
        patch.object(product, "TILE", tile),
        patch.object(search, "BLOCK", block),
    ):
        yield


@settings(deadline=None, max_examples=150)
@given(cases(), st.integers(1, 4), st.integers(1, 8), st.sampled_from([1, 2, 4, 8]), st.integers(1, 4000))
def test_pieces_and_memory_do_not_change_the_table(
    case: Case, segment: int, tile: int, block: int, memory: int
) -> None:
    members, has_other = slow_table(case)
    with small_pieces(segment, tile, block):
        table = case.table(memory)
    assert table.members.tolist() == members
    assert table.has_other_cluster.tolist() == has_other


@settings(deadline=None, max_examples=60)
@given(st.lists(cases(), min_size=2, max_size=3), st.integers(1, 4), st.integers(1, 4000))
def test_tasks_that_share_a_product_have_the_tables_that_each_has_alone(
    several: list[Case], segment: int, memory: int
) -> None:
    count = min(len(case.labels) for case in several)
    embeddings = several[0].embeddings[:count]
    tasks = [Task(c.labels[:count], c.clusters[:count], c.pool[c.pool < count], np.arange(count)) for c in several]
    # Cutting the samples off may leave no candidate of a class: its samples are then not labelled.
    tasks = [replace_labels(t, np.where(np.isin(t.labels, t.labels[t.pool]), t.labels, -1)) for t in tasks]
    tasks = [task for task in tasks if len(np.unique(task.labels[task.pool])) > 1]
    with small_pieces(segment, 8, 8):
        together = quintuplet_tables(embeddings, tasks, memory=memory) if tasks else []
    for task, table in zip(tasks, together, strict=True):
        members, has_other = slow_table(Case(embeddings, task.labels, task.clusters, task.pool))
        assert table.members.tolist() == members
        assert table.has_other_cluster.tolist() == has_other


def replace_labels(task: Task, labels: Ints) -> Task:
    return Task(labels, task.clusters, task.pool, np.flatnonzero(labels >= 0))


def many(count: int, seed: int = 0) -> Case:
    """Embeddings on the sphere, a tenth of them twice; three classes of some clusters."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(count, 16)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    embeddings[: count // 10] = embeddings[count // 2 : count // 2 + count // 10]
    labels = rng.integers(-1, 3, count)
    clusters = np.where(labels < 0, -1, 5 * labels + rng.integers(0, 5, count))
    return Case(embeddings, labels, clusters, draw_pool(labels, fraction=0.5, rng=rng))


@pytest.mark.parametrize("of", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("tasks", [1, 2])
def test_parts_merge_to_the_identical_table(of: int, tasks: int) -> None:
    first, second = many(700), many(700, seed=1)
    asked = [Task(c.labels, c.clusters, c.pool, np.flatnonzero(c.labels >= 0)) for c in (first, second)][:tasks]
    with small_pieces(16, 64, 32):
        whole = quintuplet_tables(first.embeddings, asked)
        parts = [quintuplet_tables(first.embeddings, asked, part=Part(number, of)) for number in range(of)]
    for number, table in enumerate(whole):
        merged = merge(part[number] for part in reversed(parts))
        assert (merged.members == table.members).all()
        assert (merged.has_other_cluster == table.has_other_cluster).all()
    if of == 3:
        assert all(0 < len(part[0].members) < len(whole[0].members) for part in parts)


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_the_number_of_threads_does_not_change_the_table(monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    case = many(700)
    with small_pieces(16, 64, 32):
        before = case.table()
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        assert (case.table().members == before.members).all()


@pytest.mark.parametrize("tasks", [1, 2])
def test_torch_reduces_as_numpy_does(tasks: int) -> None:
    """On the CPU here: what a GPU computes is the same calls on another device."""
    first, second = many(500), many(500, seed=1)
    with small_pieces(16, 64, 32):
        made = product.Product.of(
            first.embeddings, [candidates.Candidates.of(c.task()) for c in (first, second)][:tasks]
        )
    here, asked = np.arange(40, 140), [slice(3, 9), slice(0, 0)][:tasks]
    ours = product.reduce_on_cpu(made, first.embeddings[here], here, asked)
    theirs = GPUProduct(made, "cpu").reduce(first.embeddings[here], here, asked)
    assert len(ours) == len(theirs) == tasks
    for mine, other, segments in zip(ours, theirs, asked, strict=True):
        assert mine[0] == pytest.approx(other[0], abs=1e-5)
        assert mine[1][segments] == pytest.approx(other[1][segments], abs=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("tasks", [1, 2])
def test_a_gpu_makes_the_table_of_the_cpu(tasks: int) -> None:
    first, second = many(5000), many(5000, seed=1)
    asked = [Task(c.labels, c.clusters, c.pool, np.flatnonzero(c.labels >= 0)) for c in (first, second)][:tasks]
    both = [quintuplet_tables(first.embeddings, asked, device=device) for device in ("cpu", "cuda")]
    for ours, theirs in zip(*both, strict=True):
        assert (ours.has_other_cluster == theirs.has_other_cluster).all()
        for mine, other in zip(ours.members.T, theirs.members.T, strict=True):
            reached = [
                ((first.embeddings[ours.members[:, 0]] - first.embeddings[m]) ** 2).sum(1) for m in (mine, other)
            ]
            assert reached[0] == pytest.approx(reached[1], abs=1e-5)


@settings(deadline=None, max_examples=50)
@given(cases())
def test_no_sentinel_leaves_the_table(case: Case) -> None:
    members = case.table().members
    labels = case.labels[members]
    assert members.min() >= 0
    assert (labels >= 0).all()
    assert (labels[:, :4] == labels[:, :1]).all()
    assert (labels[:, 4] != labels[:, 0]).all()


@pytest.mark.parametrize("memory", [1, 2**14, None])
def test_float_embeddings_reach_the_extreme_distances(memory: int | None) -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(120, 16)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels = rng.integers(-1, 4, 120)
    clusters = np.where(labels < 0, -1, 3 * labels + rng.integers(0, 3, 120))
    case = Case(embeddings, labels, clusters, draw_pool(labels, fraction=0.5, rng=rng))
    for fast, slow in zip(case.table(memory).members, slow_table(case)[0], strict=True):
        reached = [distance(embeddings[fast[0]], embeddings[j]) for j in fast]
        assert reached == pytest.approx([distance(embeddings[slow[0]], embeddings[j]) for j in slow], abs=1e-5)


def test_a_class_of_one_cluster_has_its_first_hinges_off_and_repeats_the_farthest() -> None:
    case = Case(
        np.array([[0], [1], [5], [9]], np.float32), np.array([0, 0, 0, 1]), np.array([0, 0, 0, 1]), np.arange(4)
    )
    table = case.table()
    assert table.members[0].tolist() == [0, 2, 2, 2, 3]
    assert not table.has_other_cluster.any()


def test_an_anchor_alone_in_its_cluster_is_its_own_p_plus() -> None:
    case = Case(
        np.array([[0], [1], [5], [9]], np.float32), np.array([0, 0, 0, 1]), np.array([0, 1, 1, 2]), np.arange(4)
    )
    assert case.table().members[0].tolist() == [0, 0, 1, 2, 3]


def test_a_class_of_one_sample_is_its_own_positive() -> None:
    case = Case(np.array([[0], [1], [5]], np.float32), np.array([0, 1, 1]), np.array([0, 1, 1]), np.arange(3))
    table = case.table()
    assert table.members[0].tolist() == [0, 0, 0, 0, 1]
    assert not table.has_other_cluster[0]


@pytest.mark.parametrize("pool", [[0, 1], [0, 1, 2]], ids=["one class in the pool", "one class not in the pool"])
def test_a_pool_that_lacks_a_class_is_refused(pool: list[int]) -> None:
    labels = np.array([0, 0, 1, 2])
    case = Case(np.zeros((4, 2), np.float32), labels, labels, np.array(pool))
    with pytest.raises(DataError, match="candidate"):
        case.table()
    for quantile in (0.75, 1.0):
        with pytest.raises(DataError, match="candidate"):
            quantile_table(case.embeddings, case.task(), quantile)


@pytest.mark.parametrize("memory", [2**18, 2**20, 2**22])
@pytest.mark.parametrize("tasks", [1, 3])
def test_the_scores_of_a_thread_keep_to_the_memory_bound(
    monkeypatch: pytest.MonkeyPatch, memory: int, tasks: int
) -> None:
    several = [many(4000, seed=seed) for seed in range(tasks)]
    sizes = []

    def reduce(made: product.Product, block: Floats, here: Ints, asked: list[slice]) -> list[product.Extremes]:
        extremes = product.reduce_on_cpu(made, block, here, asked)
        scores = 4 * max(map(len, made.tiles)) * len(here)
        sizes.append(scores + sum(each.nbytes for pair in extremes for each in pair))
        return extremes

    monkeypatch.setattr(search, "reduce_on_cpu", reduce)
    quintuplet_tables(several[0].embeddings, [case.task() for case in several], memory=memory)
    assert max(sizes) <= memory
    assert max(sizes) > memory / 2 or tasks == 1  # one task's scores are a tile and a block at most


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-1, 4), min_size=1, max_size=60).filter(lambda c: max(c) >= 0), st.integers(0, 9))
def test_a_pool_is_stratified_and_holds_at_least_two_of_each_class(codes: list[int], seed: int) -> None:
    labels = np.array(codes)
    for how in ({"fraction": 0.5}, {"per_class": 3}, {"per_class": 1}, {"fraction": 1.0}):
        pool = draw_pool(labels, **how, rng=np.random.default_rng(seed))  # type: ignore[arg-type]
        assert pool.tolist() == sorted(set(pool.tolist()))
        for code in range(5):
            size, drawn = int((labels == code).sum()), int((labels[pool] == code).sum())
            asked = how.get("per_class") or round(how["fraction"] * size)
            assert drawn == min(size, max(2, int(asked)))
        assert (labels[pool] >= 0).all()


def test_a_pool_depends_on_the_generator_alone() -> None:
    labels = np.repeat([0, 1], 50)
    pools = [draw_pool(labels, fraction=0.3, rng=np.random.default_rng(seed)).tolist() for seed in (0, 0, 1)]
    assert pools[0] == pools[1] != pools[2]


def test_every_sample_is_drawn_into_some_pool() -> None:
    labels, rng = np.repeat([0, 1], 10), np.random.default_rng(0)
    drawn = np.concatenate([draw_pool(labels, per_class=2, rng=rng) for _ in range(60)])
    assert set(drawn.tolist()) == set(range(20))


def test_squared_distances_are_never_negative() -> None:
    points = np.random.default_rng(0).normal(size=(50, 64)).astype(np.float32)
    assert (squared_distances(points, points) >= 0).all()


def test_tables_are_read_as_they_were_written(tmp_path: Path) -> None:
    labels = np.array([0, 0, 1, 1])
    table = Case(np.eye(4, dtype=np.float32), labels, np.array([0, 1, 2, 2]), np.arange(4)).table()
    save_tables(tmp_path / "q", {"digit": table, "kids": table})
    loaded = load_tables(tmp_path / "q")
    assert list(loaded) == ["digit", "kids"]
    assert (loaded["kids"].members == table.members).all()
    assert (loaded["kids"].has_other_cluster == table.has_other_cluster).all()
    assert loaded["kids"].clusters.tolist() == [0, 1, 2, 2]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 8), st.integers(0, 99))
def test_each_anchor_of_several_pools_has_the_partners_that_one_of_the_pools_gives(pools: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([[-1, 0, 0, 1, 1], rng.integers(-1, 2, size=30)])
    embeddings = rng.normal(size=(len(labels), 3)).astype(np.float32)
    clusters = np.where(labels >= 0, 2 * labels + rng.integers(2, size=len(labels)), -1)
    how = {"pools": pools, "per_class": 3}
    made = pooled_tables(embeddings, [(labels, clusters)], **how, rng=np.random.default_rng(seed))[0]  # type: ignore[arg-type]

    again = np.random.default_rng(seed)
    again.integers(pools, size=int((labels >= 0).sum()))
    drawn = [draw_pool(labels, per_class=3, rng=again) for _ in range(pools)]
    tables = [Case(embeddings, labels, clusters, pool).table().members for pool in drawn]
    assert (made.members[:, 0] == np.flatnonzero(labels >= 0)).all()
    assert (made.clusters == clusters[labels >= 0]).all()
    for row, members in enumerate(made.members):
        assert any((table[row] == members).all() for table in tables)
    parts = [
        pooled_tables(embeddings, [(labels, clusters)], **how, rng=np.random.default_rng(seed), part=Part(number, 3))  # type: ignore[arg-type]
        for number in range(3)
    ]
    assert (merge(part[0] for part in parts).members == made.members).all()


@pytest.mark.parametrize("pools", [1, 4])
def test_tasks_over_one_embedding_have_each_their_own_pools(pools: int) -> None:
    first, second = many(300), many(300, seed=1)
    tasks = [(case.labels, case.clusters) for case in (first, second)]
    rng = np.random.default_rng(0)
    together = pooled_tables(first.embeddings, tasks, pools=pools, fraction=0.5, rng=rng)
    rng = np.random.default_rng(0)
    alone = [pooled_tables(first.embeddings, [task], pools=pools, fraction=0.5, rng=rng)[0] for task in tasks]
    for ours, theirs in zip(together, alone, strict=True):
        assert (ours.members == theirs.members).all()
