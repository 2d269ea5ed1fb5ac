"""A queue that is damaged, or is none, is one sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from longtail.errors import DataError
from longtail.labelling.labelling import label
from longtail.labelling.queue import Queue


def changed(queue: Path, **changes: object) -> None:
    about = json.loads((queue / "queue.json").read_text())
    (queue / "queue.json").write_text(json.dumps({**about, **changes}))


def rows(queue: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet(queue / "items.parquet")).to_parquet(queue / "items.parquet", index=False)


@pytest.mark.parametrize(
    "damage",
    [
        lambda queue: (queue / "queue.json").unlink(),
        lambda queue: (queue / "queue.json").write_text("{"),
        lambda queue: (queue / "queue.json").write_text("[]"),
        lambda queue: (queue / "queue.json").write_bytes(b"\xff\xfe"),
        lambda queue: changed(queue, format_version=2),
        lambda queue: changed(queue, more="x" * 10_000),
        lambda queue: changed(queue, classes=[]),
        lambda queue: changed(queue, by="chance"),
        lambda queue: (queue / "items.parquet").unlink(),
        lambda queue: (queue / "items.parquet").write_bytes(b"PAR1"),
        lambda queue: rows(queue, lambda table: table.drop(columns="source")),
        lambda queue: rows(queue, lambda table: table.drop(columns="prediction_set")),
        lambda queue: rows(queue, lambda table: table.iloc[1:]),
        lambda queue: rows(queue, lambda table: pd.concat([table.iloc[:-1], table.iloc[:1]])),
        lambda queue: rows(queue, lambda table: table.assign(item="../../etc/passwd")),
        lambda queue: rows(queue, lambda table: table.assign(item=[f"../{n}" for n in range(len(table))])),
        lambda queue: rows(queue, lambda table: table.assign(item=range(len(table)))),
        lambda queue: rows(queue, lambda table: table.assign(proposed="square")),
    ],
)
def test_a_damaged_queue_is_one_sentence(queue: Queue, damage: Callable[[Path], object]) -> None:
    damage(queue.path)
    with pytest.raises(DataError, match=r"is no queue: .*; make one with `longtail propose`") as told:
        Queue.open(queue.path)
    assert str(told.value).count("\n") == 0
    assert len(str(told.value)) < 700


def test_a_missing_image_is_told_before_anybody_looks_at_it(queue: Queue) -> None:
    next((queue.path / "images").iterdir()).unlink()
    with pytest.raises(DataError, match="lacks 1 of 6 images"):
        label(queue.path, name=None, host="127.0.0.1", port=0, token=None)


def test_what_was_written_is_read(queue: Queue) -> None:
    again = Queue.open(queue.path)
    assert (again.items, again.info, again.digest) == (queue.items, queue.info, queue.digest)
    assert all(queue.image(item).is_file() for item in queue.items)
    assert [len(files) for files in queue.exemplars()] == [6, 6, 6]
