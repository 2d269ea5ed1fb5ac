"""What disks, copies and hands do to a file of an artifact; each mutation is a function of a random generator."""

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Mutation = Callable[[Path, np.random.Generator], None]


def _bytes(change: Callable[[bytearray, np.random.Generator], bytes | bytearray]) -> Mutation:
    def mutate(file: Path, rng: np.random.Generator) -> None:
        file.write_bytes(change(bytearray(file.read_bytes()), rng))

    mutate.__name__ = change.__name__
    return mutate


def _span(content: bytearray, rng: np.random.Generator) -> slice:
    start = int(rng.integers(0, max(1, len(content))))
    return slice(start, start + int(rng.integers(1, 65)))


def truncated(content: bytearray, rng: np.random.Generator) -> bytearray:
    return content[: int(rng.integers(0, max(1, len(content))))]


def bit_flipped(content: bytearray, rng: np.random.Generator) -> bytearray:
    content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    return content


def zeroed(content: bytearray, rng: np.random.Generator) -> bytearray:
    span = _span(content, rng)
    content[span] = bytes(len(content[span]))
    return content


def repeated(content: bytearray, rng: np.random.Generator) -> bytearray:
    span = _span(content, rng)
    return content[: span.stop] + content[span] + content[span.stop :]


def overwritten(content: bytearray, rng: np.random.Generator) -> bytearray:
    span = _span(content, rng)
    content[span] = rng.bytes(len(content[span]))
    return content


def lengthened(content: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(content) + rng.bytes(int(rng.integers(1, 100)))


def deleted(file: Path, rng: np.random.Generator) -> None:
    file.unlink()


def made_a_directory(file: Path, rng: np.random.Generator) -> None:
    file.unlink()
    file.mkdir()


def linked_to_itself(file: Path, rng: np.random.Generator) -> None:
    file.unlink()
    file.symlink_to(file.name)


def made_a_pipe(file: Path, rng: np.random.Generator) -> None:
    file.unlink()
    os.mkfifo(file)


def taken_from_another(file: Path, rng: np.random.Generator) -> None:
    files = [one for one in sorted(file.parents[2].rglob("*")) if one.is_file() and one != file]
    others = [one for one in files if one.suffix == file.suffix] or files
    shutil.copyfile(others[int(rng.integers(len(others)))], file)


def joined_by_another(file: Path, rng: np.random.Generator) -> None:
    shutil.copyfile(file, file.with_name(f"best-{file.name}"))


BYTES: list[Mutation] = [*map(_bytes, (truncated, bit_flipped, zeroed, repeated, overwritten, lengthened))]
ANY: list[Mutation] = [
    *BYTES,
    *(deleted, made_a_directory, linked_to_itself, made_a_pipe, taken_from_another, joined_by_another),
]


def array_changed(file: Path, rng: np.random.Generator) -> None:
    array = np.load(file)
    rows = rng.permutation(len(array)) if array.ndim and len(array) else ...
    changes: list[Callable[[], Any]] = [
        lambda: array[rows],
        lambda: array[: len(array) // 2],
        lambda: np.concatenate([array, array]),
        lambda: array[None],
        lambda: array.astype("f8" if array.dtype.kind in "iu" else "i8"),
        lambda: -array.astype(float) if array.dtype.kind != "f" else -array,
        lambda: np.where(rng.random(array.shape) < 0.1, np.nan, array.astype("f4")),
        lambda: array.astype("S"),
    ]
    np.save(file, changes[int(rng.integers(len(changes)))]())


def json_changed(file: Path, rng: np.random.Generator) -> None:
    values = json.loads(file.read_text(encoding="utf-8"))
    places = list(_places(values))
    if not places:
        file.write_text("[]", encoding="utf-8")
        return
    holder, key = places[int(rng.integers(len(places)))]
    changes: list[Any] = [None, "x", -1, 1e99, [], {}, True]
    choice = int(rng.integers(len(changes) + 1))
    if choice == len(changes):
        del holder[key]
    else:
        holder[key] = changes[choice]
    file.write_text(json.dumps(values), encoding="utf-8")


def _places(values: Any) -> Any:
    """Every key or position below a JSON value, with what holds it."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(items):
        yield values, key
        yield from _places(value)


def table_changed(file: Path, rng: np.random.Generator) -> None:
    table = pd.read_parquet(file)
    column = table.columns[int(rng.integers(len(table.columns)))]
    changes: list[Callable[[], pd.DataFrame]] = [
        lambda: table.drop(columns=column),
        lambda: pd.concat([table, table]),
        lambda: table.iloc[: len(table) // 2],
        lambda: table.assign(**{column: table[column].sample(frac=1, random_state=int(rng.integers(99))).to_numpy()}),
        lambda: table.assign(**{column: None}),
        lambda: table.assign(**{column: 7}),
    ]
    content = io.BytesIO()
    changes[int(rng.integers(len(changes)))]().to_parquet(content)
    file.write_bytes(content.getvalue())


OF_FORMAT: dict[str, Mutation] = {".npy": array_changed, ".json": json_changed, ".parquet": table_changed}


def mutate(file: Path, rng: np.random.Generator) -> str:
    """Change a file in one of these ways; its name."""
    known = OF_FORMAT.get(file.suffix)
    mutation = known if known and rng.random() < 0.4 else ANY[int(rng.integers(len(ANY)))]
    mutation(file, rng)
    return mutation.__name__
