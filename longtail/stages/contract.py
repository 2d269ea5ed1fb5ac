"""The stage contract: typed inputs and outputs, outputs whole or absent, and the lineage of the data.

A stage is `run(name: Input, …, name: Output, …, *, params: Params) -> dict[str, float]`, decorated with `@stage`.
"""

import fcntl
import functools
import inspect
import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, overload

from longtail.artifacts.reading import read_json
from longtail.errors import DataError

Input = Annotated[Path, "input"]
Output = Annotated[Path, "output"]
Run = Callable[..., dict[str, float]]

LINEAGE = "lineage.json"
# The work directories on a volume that the running stage has, and the descriptors that lock them.
_claimed: dict[Path, int] = {}
# What the running stage has shared with others and no longer needs once its outputs are there.
_shared: set[Path] = set()


def artifacts(run: Run) -> dict[str, str]:
    """Map each artifact of a stage to "input" or "output", in the order of its signature."""
    hints = inspect.get_annotations(run, eval_str=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


def params_model(run: Run) -> Any:
    """The pydantic model of the stage's parameters."""
    return inspect.get_annotations(run, eval_str=True)["params"]


@overload
def stage(run: Run) -> Run: ...
@overload
def stage(*, keeps_lineage: bool) -> Callable[[Run], Run]: ...
def stage(run: Run | None = None, *, keeps_lineage: bool = False) -> Run | Callable[[Run], Run]:
    """Give `run` temporary paths for its outputs and rename them when it returns, so that each is whole or absent.

    Every output is a directory, and also gets `lineage.json`: from which data and parameters it comes. A stage that
    only brings an artifact made elsewhere is `@stage(keeps_lineage=True)`: its outputs stay as `run` wrote them.

    Raises DataError if an input does not exist, or if the inputs do not come from the same data and split.
    """
    if run is None:
        return functools.partial(stage, keeps_lineage=keeps_lineage)
    kinds = artifacts(run)

    @functools.wraps(run)
    def wrapper(*args: Path, params: Any, **kwargs: Path) -> dict[str, float]:
        paths = inspect.signature(run).bind(*args, params=params, **kwargs).arguments
        inputs = {name: Path(paths[name]) for name, kind in kinds.items() if kind == "input"}
        outputs = {name: Path(paths[name]) for name, kind in kinds.items() if kind == "output"}
        for name, path in inputs.items():
            if not path.exists():
                raise DataError(f"the input {name!r} does not exist: {path}; run the step that makes it first")
        _check_same_origin(list(inputs.values()), run.__module__.rpartition(".")[2])
        partial = {name: path.with_name(f".{path.name}.partial") for name, path in outputs.items()}
        for path in partial.values():
            remove(path)
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            report = run(**inputs, **partial, params=params)
            for path in () if keeps_lineage else partial.values():
                write_lineage(path, list(inputs.values()), run.__module__.rpartition(".")[2], params)
            for name, path in outputs.items():
                replace(partial[name], path)
                remove(_hidden_sibling(path))
            for path in _claimed:
                remove(path)
            for path in _shared:
                shutil.rmtree(path, ignore_errors=True)  # another run may be at it
        except BaseException:
            for path in partial.values():
                remove(path)
            raise
        finally:
            _release()
        return report

    return wrapper


def work_directory(output: Path, fingerprint: str) -> Path:
    """The directory that survives a crash (checkpoints live there); removed when the stage succeeds.

    It is a hidden sibling of the output. A pod that is tried again has another output and a fresh file system: there
    LONGTAIL_WORK names a directory on a volume, and the work is found again by the `fingerprint` (hexadecimal) of
    what it depends on, whatever the paths. A second run that does the same work at the same time gets a directory of
    its own.
    """
    volume = os.environ.get("LONGTAIL_WORK")
    if not volume:
        return _hidden_sibling(output)
    path = Path(volume) / fingerprint[:16]
    # Of the processes of one training, which torchrun numbers, only the first writes.
    if os.environ.get("RANK", "0") == "0" and not _claim(path):
        path = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
        _claim(path)
    return path


def remove_on_success(path: Path) -> None:
    """Have a directory removed that several runs share, when the outputs of the running stage are in place."""
    _shared.add(path)


def _claim(path: Path) -> bool:
    """Make the directory and lock it until the stage or its process ends; False if another process has it."""
    path.mkdir(parents=True, exist_ok=True)
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    _claimed[path] = lock
    return True


def _release() -> None:
    for lock in _claimed.values():
        os.close(lock)
    _claimed.clear()
    _shared.clear()


def _hidden_sibling(output: Path) -> Path:
    name = output.name.removeprefix(".").removesuffix(".partial")
    return output.with_name(f".{name}.work")


def lineage(path: Path) -> dict[str, Any]:
    """What the artifact at `path` comes from: `dataset`, the md5 of the packed dataset, and `stages`, the parameters
    of every stage on the way. Empty if it carries none.
    """
    file = path / LINEAGE
    return read_json(file) if file.is_file() else {}


def write_lineage(output: Path, inputs: list[Path], stage_name: str, params: Any) -> None:
    """Write beside the files of `output` what its inputs come from, and this stage's own parameters."""
    sources = [lineage(path) for path in [*inputs, output]]
    datasets = {source["dataset"] for source in sources if "dataset" in source}
    stages = {name: values for source in sources for name, values in source.get("stages", {}).items()}
    stages[stage_name] = params.model_dump(mode="json")
    made_from = {"dataset": next(iter(datasets), None), "stages": stages}
    (output / LINEAGE).write_text(json.dumps(made_from, indent=1) + "\n")


def _check_same_origin(inputs: list[Path], stage_name: str) -> None:
    """The rows of embeddings, clusters and quintuplets mean nothing beside those of another split."""
    sources = [lineage(path) for path in inputs]
    datasets = {source["dataset"] for source in sources if "dataset" in source}
    splits = {json.dumps(source["stages"]["split"]) for source in sources if "split" in source.get("stages", {})}
    for kind, found in (("data sets", datasets), ("splits", splits)):
        if len(found) > 1:
            raise DataError(f"the inputs of {stage_name} come from different {kind}; run the steps before it again")


def replace(new: Path, old: Path) -> None:
    """Rename `new` to `old`, whatever is at `old`."""
    aside = old.with_name(f".{old.name}.replaced")
    remove(aside)
    if old.exists():
        old.rename(aside)
    new.rename(old)
    remove(aside)


def remove(path: Path) -> None:
    """Delete a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
