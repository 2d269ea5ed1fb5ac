"""MLflow's database on this machine, which MLflow makes with some forty migrations, each of them committed alone.

Killed between two of them, a process leaves a database that MLflow neither opens nor mends. So a new one is made under
another name and renamed. One that another process has left half-made holds no row, not even MLflow's default
experiment: it is made anew. One that holds anything is left as it is.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

# Longer than any of the migrations of an empty database takes: whoever is at one has written since.
QUIET = 10.0

# What SQLite keeps beside a database. Left beside a new one, the first would be rolled back into it.
BESIDE = ("-journal", "-wal", "-shm")


def ensure_whole(uri: str, *, new: bool = True) -> None:
    """Make the SQLite database at `uri` if there is none (and `new`), or if it is half-made; do nothing for other URIs.

    Raises what MLflow and SQLite raise.
    """
    path = _path(uri)
    if path is None or not (path.exists() or new) or _settled(path):
        return
    with _alone(path.with_name(f".{path.name}.new")) as made:
        if _settled(path):
            made.unlink()
            return
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{made}").search_experiments(max_results=1)
        _remove(path)
        made.replace(path)


def _path(uri: str) -> Path | None:
    """The file of an SQLite URI; None for any other."""
    scheme, _, rest = uri.partition(":///")
    file = rest.partition("?")[0]
    is_file = scheme.partition("+")[0] == "sqlite" and file not in ("", ":memory:") and not file.startswith("file:")
    return Path(file).absolute() if is_file else None


def _settled(path: Path) -> bool:
    """Whether it is there and not half-made; waits while somebody else is making it."""
    while path.exists() and _half_made(path):
        if time.time() - path.stat().st_mtime > QUIET:
            return False
        time.sleep(0.2)
    return path.exists()


def _half_made(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as database:
        try:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = (f'SELECT EXISTS (SELECT 1 FROM "{table}")' for table in tables if table != "alembic_version")
            return not any(database.execute(query).fetchone()[0] for query in rows)
        except sqlite3.DatabaseError:  # no database, or one in use: MLflow says so
            return False


@contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """The empty file, until it is renamed or removed, for one process at a time."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
            break
        os.close(file)  # the other process has just renamed it
    try:
        os.truncate(file, 0)
        for name in BESIDE:
            path.with_name(path.name + name).unlink(missing_ok=True)
        yield path
    finally:
        os.close(file)


def _remove(path: Path) -> None:
    for name in ("", *BESIDE):
        path.with_name(path.name + name).unlink(missing_ok=True)
