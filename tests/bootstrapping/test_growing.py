"""Growing: what people said yes and no to joins the training samples, and nothing else changes."""

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from growing_set import decide, pool_files, queue_of, write_growing_set
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tiny import DIGIT, SHAPE, hashes, write_tiny_dataset

from longtail.artifacts.digests import check_artifact
from longtail.artifacts.lineage import Lineage
from longtail.bootstrapping.additions import pixel_digest, without_known
from longtail.bootstrapping.growing import Grown, grow
from longtail.bootstrapping.pool import files_by_digest
from longtail.bootstrapping.verdicts import Verdict, is_done, tally, undecided, verdicts
from longtail.data.dataset import SUBSETS, PackedDataset
from longtail.data.preprocessing import Preprocessing
from longtail.data.splits import Split
from longtail.errors import DataError
from longtail.inference.pixels import from_file
from longtail.network.embedder import blueprint_for
from longtail.network.network import NetworkParams
from longtail.stages import split

SAYINGS = ("yes", "no", "unsure")


@pytest.fixture(scope="module", params=[None, 90], ids=["pixels", "jpegs"])
def seed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("growing")
    write_growing_set(root, jpeg_quality=request.param)
    return root


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plain")
    write_growing_set(root)
    return root


def grown(root: Path, output: Path, *queues: Path, pool: Path | None = None) -> Grown:
    return grow(root / "dataset", root / "split", list(queues), pool_files(pool or root), output)


def named(root: Path, prefix: str, count: int) -> list[str]:
    return [item for item, file in pool_files(root).items() if file.name.startswith(prefix)][:count]


def divided(dataset: Path, output: Path) -> Split:
    split.run(dataset, output, params=split.Params())
    return Split.open(output)


def test_a_yes_is_a_training_image_and_a_no_a_hard_negative(seed: Path, tmp_path: Path) -> None:
    ones, strangers = named(seed, "one", 3), named(seed, "three", 2)
    queue_of(tmp_path / "queue", pool_files(seed), dict.fromkeys([*ones, *strangers], "one"))
    decide(tmp_path / "queue", dict.fromkeys(ones, "yes") | dict.fromkeys(strangers, "no"))
    assert grown(seed, tmp_path / "dataset", tmp_path / "queue") == Grown(3, 2, 0)
    check_artifact(tmp_path / "dataset")
    packed, table = PackedDataset.open(tmp_path / "dataset"), divided(tmp_path / "dataset", tmp_path / "split")
    place = {name: number for number, name in enumerate(table.samples["id"])}
    assert [table.train_labels(DIGIT)[place[item]] for item in [*ones, *strangers]] == [1, 1, 1, -1, -1]
    assert [table.negatives(DIGIT)[place[item]] for item in [*ones, *strangers]] == [-1, -1, -1, 1, 1]
    assert table.samples["group"][place[ones[0]]] == ones[0]
    blueprint = blueprint_for(NetworkParams(), "pixels", [DIGIT], packed.info)
    for item in [*ones, *strangers]:
        pixels = packed.images(np.array([table.samples["row"][place[item]]]))[0]
        assert (pixels == from_file(pool_files(seed)[item].read_bytes(), blueprint)).all()


def test_nothing_of_the_seed_changes(seed: Path, tmp_path: Path) -> None:
    item = named(seed, "two", 1)[0]
    queue_of(tmp_path / "queue", pool_files(seed), {item: "two"})
    decide(tmp_path / "queue", {item: "yes"})
    grown(seed, tmp_path / "dataset", tmp_path / "queue")
    before, after = PackedDataset.open(seed / "dataset"), PackedDataset.open(tmp_path / "dataset")
    old, new = Split.open(seed / "split"), divided(tmp_path / "dataset", tmp_path / "split")
    count = len(old.samples)
    for column in ("id", "group", "subset", "digit"):
        assert new.samples[column].astype(object)[:count].tolist() == old.samples[column].astype(object).tolist()
    rows = old.samples["row"].to_numpy()
    stored = [list(map(bytes, data.stored(r))) for data, r in ((before, rows), (after, np.arange(count)))]
    assert stored[0] == stored[1]
    assert new.subset[count:].tolist() == ["train"]


def test_the_lineage_names_data_set_split_and_queues(seed: Path, tmp_path: Path) -> None:
    queue_of(tmp_path / "queue", pool_files(seed), {})
    grown(seed, tmp_path / "dataset", tmp_path / "queue")
    lineage = Lineage.read(tmp_path / "dataset")
    last = list(lineage.chain())[-1]
    assert last.stage == "grow"
    assert set(last.inputs) >= {"split"}
    assert lineage.dataset == PackedDataset.open(tmp_path / "dataset").info.md5
    assert lineage.dataset != Lineage.read(seed / "split").dataset


def test_the_same_decisions_of_whomever_make_the_same_bytes(plain: Path, tmp_path: Path) -> None:
    items = named(plain, "one", 4)
    for place, people in (("a", ("anna", "bert")), ("b", ("carla", "dora"))):
        queue = queue_of(tmp_path / place, pool_files(plain), dict.fromkeys(items, "one")).path
        for who in people:
            decide(queue, {items[0]: "yes", items[1]: "no"}, who)
        grown(plain, tmp_path / f"dataset-{place}", queue)
    assert hashes(tmp_path / "dataset-a") == hashes(tmp_path / "dataset-b")


def test_an_image_that_is_there_is_left_out(seed: Path, tmp_path: Path) -> None:
    tested, new = named(seed, "tested", 10), named(seed, "one", 1)
    queue_of(tmp_path / "queue", pool_files(seed), dict.fromkeys([*tested, *new], "one"))
    decide(tmp_path / "queue", dict.fromkeys([*tested, *new], "yes"))
    assert grown(seed, tmp_path / "dataset", tmp_path / "queue") == Grown(1, 0, 10)


def test_what_the_split_leaves_out_stays_out(plain: Path, tmp_path: Path) -> None:
    """An image that the imbalance took away must not come back by the pool."""
    root = tmp_path / "thin"
    shutil.copytree(plain, root)
    shutil.rmtree(root / "split")
    step = {"kind": "step", "factor": 4, "minority": 0.5}
    split.run(root / "dataset", root / "split", params=split.Params(validation=0.25, test=0.25, imbalance=step))
    queue_of(tmp_path / "queue", pool_files(root), {})
    grown(root, tmp_path / "dataset", tmp_path / "queue")
    new = divided(tmp_path / "dataset", tmp_path / "split").info
    assert new.subsets == Split.open(root / "split").info.subsets
    assert new.injected is None


def test_an_answer_of_a_later_queue_counts(plain: Path, tmp_path: Path) -> None:
    items = named(plain, "one", 3)
    first = queue_of(tmp_path / "first", pool_files(plain), dict.fromkeys(items, "two")).path
    second = queue_of(tmp_path / "second", pool_files(plain), dict.fromkeys(items, "one")).path
    decide(first, {items[0]: "no", items[1]: "no"})
    decide(second, {items[0]: "yes", items[2]: "yes"})
    said = {one.item: (one.name, one.accepted) for one in verdicts([first, second], DIGIT)}
    assert said == {items[0]: ("one", True), items[1]: ("two", False), items[2]: ("one", True)}
    decide(second, {items[0]: "unsure"})
    assert {one.item for one in verdicts([first, second], DIGIT)} == {items[1], items[2]}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_nothing_that_was_decided_is_lost_and_no_test_image_is_trained_on(
    plain: Path, tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    files, root = pool_files(plain), tmp_path_factory.mktemp("drawn")
    queues: list[Path] = []
    last: dict[str, list[str]] = {}
    for number in range(data.draw(st.integers(0, 3))):
        drawn = data.draw(st.lists(st.sampled_from(sorted(files)), unique=True, max_size=8))
        proposed = {item: data.draw(st.sampled_from(DIGIT.classes)) for item in drawn}
        queues.append(queue_of(root / str(number), files, proposed).path)
        of_queue: dict[str, dict[str, str]] = {}
        for _ in range(data.draw(st.integers(0, 12)) if drawn else 0):
            item, who = data.draw(st.sampled_from(drawn)), data.draw(st.sampled_from(["anna", "bert"]))
            of_queue.setdefault(item, {})[who] = data.draw(st.sampled_from(SAYINGS))
            decide(queues[-1], {item: of_queue[item][who]}, who)
        last |= {item: [*people.values()] for item, people in of_queue.items()}
        assert set(undecided(queues[-1])) == set(drawn) - set(of_queue)
        assert is_done(queues[-1]) == (set(of_queue) == set(drawn))
        counted = tally(queues[-1])
        assert counted.asked == len(drawn) == counted.yes + counted.no + counted.unsure + counted.undecided
    leads = {item: said.count("yes") - said.count("no") for item, said in last.items()}
    found = grown(plain, root / "dataset", *queues)
    table, before = divided(root / "dataset", root / "split"), Split.open(plain / "split")
    labels, negatives = table.labels(DIGIT)[len(before.samples) :], table.negatives(DIGIT)[len(before.samples) :]
    assert found.accepted == (labels >= 0).sum()
    assert found.rejected == (negatives >= 0).sum()
    assert sum(found) == sum(lead != 0 for lead in leads.values())
    added = set(table.samples["id"][len(before.samples) :])
    there = {item for item, file in files.items() if file.name.startswith("tested")}
    assert added == {item for item, lead in leads.items() if lead} - there
    for subset in SUBSETS[1:]:
        assert table.info.subsets[subset] == before.info.subsets[subset]


def refused(root: Path, output: Path, *queues: Path, **changes: Any) -> str:
    with pytest.raises(DataError) as refusal:
        grow(root / "dataset", root / "split", list(queues), changes.get("files", pool_files(root)), output)
    assert not output.exists()
    return str(refusal.value)


def test_what_cannot_be_grown_is_refused(plain: Path, tmp_path: Path) -> None:
    item = named(plain, "one", 1)[0]
    queue = queue_of(tmp_path / "queue", pool_files(plain), {item: "one"}).path
    decide(queue, {item: "yes"})
    assert "put it back, the decision is kept" in refused(plain, tmp_path / "out", queue, files={})
    other = {item: pool_files(plain)[named(plain, "two", 1)[0]]}
    assert "not in the pool any more as it was" in refused(plain, tmp_path / "out", queue, files=other)
    elsewhere = queue_of(tmp_path / "elsewhere", pool_files(plain), {item: "one"}, task="letter").path
    assert "asks for the task 'letter'" in refused(plain, tmp_path / "out", elsewhere)
    assert "is no queue" in refused(plain, tmp_path / "out", tmp_path)
    write_tiny_dataset(tmp_path / "bare/dataset")
    split.run(tmp_path / "bare/dataset", tmp_path / "bare/split", params=split.Params())
    (tmp_path / "bare/pool").mkdir()
    assert "made from more than image files" in refused(tmp_path / "bare", tmp_path / "out", queue)


def test_a_later_yes_takes_the_place_of_a_hard_negative(seed: Path, tmp_path: Path) -> None:
    """On a data set that grew already; a later no to an image with a label changes nothing."""
    items = named(seed, "one", 3)
    for name, proposed in (("first", "two"), ("second", "one")):
        queue_of(tmp_path / name, pool_files(seed), dict.fromkeys(items, proposed))
    decide(tmp_path / "first", dict.fromkeys(items, "no"))
    grown(seed, tmp_path / "dataset", tmp_path / "first")
    before = divided(tmp_path / "dataset", tmp_path / "split")
    decide(tmp_path / "second", {items[0]: "yes", items[1]: "no"})
    assert grown(tmp_path, tmp_path / "again", tmp_path / "second", pool=seed) == Grown(1, 0, 1)
    table = divided(tmp_path / "again", tmp_path / "new")
    place = {name: number for number, name in enumerate(table.samples["id"])}
    assert len(place) == len(table.samples) == len(before.samples)
    assert [table.train_labels(DIGIT)[place[item]] for item in items] == [1, -1, -1]
    assert [table.negatives(DIGIT)[place[item]] for item in items] == [-1, 2, 2]
    packed = PackedDataset.open(tmp_path / "again")
    blueprint = blueprint_for(NetworkParams(), "pixels", [DIGIT], packed.info)
    for item in items:
        pixels = packed.images(np.array([table.samples["row"][place[item]]]))[0]
        assert (pixels == from_file(pool_files(seed)[item].read_bytes(), blueprint)).all()


def encoded_twice(root: Path, pool: Path) -> list[str]:
    """Two files of the same picture in another pool, by their digests."""
    (pool / "pool").mkdir(parents=True)
    with Image.open(pool_files(root)[named(root, "one", 1)[0]]) as picture:
        for level in (1, 9):
            picture.save(pool / f"pool/level-{level}.png", compress_level=level)
    found = sorted(pool_files(pool))
    assert len(found) == 2
    return found


@pytest.mark.parametrize("later", [0, 1])
@pytest.mark.parametrize("before", [[], ["no"], ["yes"]])
def test_of_two_files_of_a_picture_a_yes_counts_whatever_their_digests(
    seed: Path, tmp_path: Path, later: int, before: list[str]
) -> None:
    """As a later yes to the same file does; also where the data set has it from another turn already."""
    items = encoded_twice(seed, tmp_path / "twice")
    accepted, rejected = items[later], items[1 - later]
    files = pool_files(tmp_path / "twice")
    root = seed
    for said in before:
        queue_of(tmp_path / "earlier", pool_files(seed), {named(seed, "one", 1)[0]: "two"})
        decide(tmp_path / "earlier", {named(seed, "one", 1)[0]: said})
        grown(seed, tmp_path / "dataset", tmp_path / "earlier")
        divided(tmp_path / "dataset", tmp_path / "split")
        root = tmp_path
    queue_of(tmp_path / "queue", files, {accepted: "one", rejected: "two"})
    decide(tmp_path / "queue", {accepted: "yes", rejected: "no"})
    there = before == ["yes"]
    found = grown(root, tmp_path / "again", tmp_path / "queue", pool=tmp_path / "twice")
    assert found == (Grown(0, 0, 2) if there else Grown(1, 0, 1))
    table = divided(tmp_path / "again", tmp_path / "new")
    place = {name: number for number, name in enumerate(table.samples["id"])}
    assert rejected not in place
    assert len(place) == len(Split.open(seed / "split").samples) + 1
    assert there or (table.train_labels(DIGIT)[place[accepted]], table.negatives(DIGIT)[place[accepted]]) == (1, -1)


@pytest.mark.parametrize("later", [0, 1])
def test_two_classes_of_the_same_pixels_are_refused(seed: Path, tmp_path: Path, later: int) -> None:
    items = encoded_twice(seed, tmp_path / "twice")
    files = pool_files(tmp_path / "twice")
    proposed = {items[later]: "one", items[1 - later]: "two"}
    queue = queue_of(tmp_path / "queue", files, proposed).path
    decide(queue, dict.fromkeys(items, "yes"))
    first, second = (files[item].name for item in items)
    sentence = f"{first} and .*{second} have the same pixels, and are accepted as {proposed[items[0]]!r} and as "
    assert re.search(sentence, refused(seed, tmp_path / "out", queue, files=files))
    decide(queue, {items[0]: "no"})
    assert grown(seed, tmp_path / "out", queue, pool=tmp_path / "twice") == Grown(1, 0, 1)


@settings(max_examples=200, deadline=None)
@given(said=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(DIGIT.classes), st.booleans()), max_size=8))
def test_one_verdict_of_each_picture_is_new_and_a_yes_before_a_no(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[int, str, bool]]
) -> None:
    """Of pictures one that the data set has, one that it has as a hard negative, and two that are new."""
    root, how = tmp_path_factory.getbasetemp(), Preprocessing(image_shape=SHAPE)
    files, verdicts_, pictures = {}, [], []
    for number, (picture, name, accepted) in enumerate(said):
        file = root / f"encoded-{picture}-{number}.png"
        about = PngInfo()
        about.add_text("number", str(number))  # other bytes, the same pixels
        Image.fromarray(np.full(SHAPE[:2], 50 * picture, np.uint8)).save(file, pnginfo=about)
        files[hashlib.sha256(file.read_bytes()).hexdigest()] = file
        verdicts_.append(Verdict(hashlib.sha256(file.read_bytes()).hexdigest(), file.name, name, accepted))
        pictures.append(picture)
    keys = [pixel_digest(np.full(SHAPE, 50 * picture, np.uint8)) for picture in range(4)]
    of = {p: [v for v, q in zip(verdicts_, pictures, strict=True) if p == q] for p in range(4)}
    if any(len({one.name for one in of[picture] if one.accepted}) > 1 for picture in (1, 2, 3)):
        with pytest.raises(DataError, match="have the same pixels"):
            without_known(verdicts_, {keys[0]}, files, how, {keys[1]})
        return
    expected = []
    for picture in (1, 2, 3):
        yes, no = ([one for one in of[picture] if one.accepted is said_] for said_ in (True, False))
        expected += [(one, keys[picture]) for one in (yes or ([] if picture == 1 else no))[:1]]
    found = without_known(verdicts_, {keys[0]}, files, how, {keys[1]})
    assert found == sorted(expected, key=lambda one: verdicts_.index(one[0]))


@pytest.mark.parametrize("output", ["queues", "queues/1", "dataset", "pool", "."])
def test_nothing_that_is_read_or_decided_is_written_over(plain: Path, tmp_path: Path, output: str) -> None:
    root = shutil.copytree(plain, tmp_path / "root")
    queue_of(root / "queues/1", pool_files(root), dict.fromkeys(named(root, "one", 2), "one"))
    decide(root / "queues/1", dict.fromkeys(named(root, "one", 2), "yes"))
    before = hashes(root)
    with pytest.raises(DataError, match="name another output"):
        grown(root, root / output, root / "queues/1")
    assert hashes(root) == before


def test_what_cannot_be_read_is_passed_over(plain: Path, tmp_path: Path) -> None:
    root = shutil.copytree(plain / "pool", tmp_path / "pool")
    with (root / "huge.bin").open("wb") as file:
        file.truncate(2 * 10**9)
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.png")).write_bytes(b"a name that is no text")
    found = files_by_digest([root])
    assert set(found) >= set(pool_files(plain))
    assert root / "huge.bin" not in found.values()
