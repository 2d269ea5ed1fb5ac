"""The stage contract: typed inputs and outputs, outputs whole or absent, and the lineage of the data.

A stage is `run(name: Input, …, name: Output, …, *, params: Params) -> dict[str, float]`, decorated with `@stage`.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, overload

from longtail.artifacts.digests import check_artifact, write_digests
from longtail.artifacts.lineage import Lineage, check_same_rows, extended
from longtail.artifacts.outputs import written_whole
from longtail.artifacts.work import release, succeed
from longtail.errors import DataError

Input = Annotated[Path, "input"]
# A model of which only the weights are taken: it may come from other data.
Weights = Annotated[Path, "weights"]
# A directory that holds, by name, an artifact for each of `params.models`.
Inputs = Annotated[Path, "inputs"]
Output = Annotated[Path, "output"]
Run = Callable[..., dict[str, float]]


def artifacts(run: Run) -> dict[str, str]:
    """Map each artifact of a stage to "input", "weights", "inputs" or "output", in the order of its signature."""
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

    Every output is a directory, and also gets `lineage.json`: from which data and parameters it comes; and
    `digests.json`: of each of its files. A stage that only brings an artifact made elsewhere is
    `@stage(keeps_lineage=True)`: its outputs stay as `run` wrote them. Parameters may name artifacts of another
    pipeline whose weights are taken, `outside`: their lineage is part of the outputs'.

    Raises DataError if an input does not exist or is not as its step wrote it, if the inputs' rows are not those of the
    same data and split, if another run is writing an output, and if an output would replace what no step has written.
    """
    if run is None:
        return functools.partial(stage, keeps_lineage=keeps_lineage)
    kinds, name_of_stage = artifacts(run), run.__module__.rpartition(".")[2]

    @functools.wraps(run)
    def wrapper(*args: Path, params: Any, **kwargs: Path) -> dict[str, float]:
        bound = inspect.signature(run).bind(*args, params=params, **kwargs).arguments
        paths = {name: Path(bound[name]) for name in kinds}
        outside: dict[str, Path] = getattr(params, "outside", {})
        inputs = read_inputs(kinds, paths, params) | _there(outside)
        for path in inputs.values():
            check_artifact(path)
        origins = {name: Lineage.read(path) for name, path in inputs.items()}
        rows = {name: one for name, one in origins.items() if kinds.get(name) != "weights" and name not in outside}
        others = {name: one for name, one in origins.items() if name not in rows}
        check_same_rows(name_of_stage, rows)
        outputs = {name: path for name, path in paths.items() if kinds[name] == "output"}
        try:
            with written_whole(outputs, [paths[name] for name in kinds if name not in outputs]) as partial:
                report = run(**paths | partial, params=params)
                for path in () if keeps_lineage else partial.values():
                    made = Lineage.read(path)
                    extended(name_of_stage, params.model_dump(mode="json"), rows, others, made).write(path)
                    write_digests(path)
            succeed(list(outputs.values()))
        finally:
            release()
        return report

    return wrapper


def read_inputs(kinds: Mapping[str, str], paths: Mapping[str, Path], params: Any) -> dict[str, Path]:
    """Every artifact that a stage reads, by name; of a directory of artifacts "indexes/r1" and so on.

    Raises DataError if one does not exist.
    """
    found: dict[str, Path] = {}
    for name, path in paths.items():
        if kinds[name] == "inputs":
            found |= {f"{name}/{model}": path / model for model in params.models}
        elif kinds[name] != "output":
            found[name] = path
    return _there(found)


def _there(inputs: dict[str, Path]) -> dict[str, Path]:
    for name, path in inputs.items():
        if not path.exists():
            beside = sorted(one.name for one in path.parent.iterdir()) if "/" in name and path.parent.is_dir() else []
            others = f", or name others in `models`: there are {', '.join(beside)}" if beside else ""
            raise DataError(f"the input {name!r} does not exist: {path}; run the step that makes it first{others}")
    return inputs
