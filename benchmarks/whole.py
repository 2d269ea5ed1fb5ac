"""The command line and the pipeline as a whole: start-up, what a stage costs beyond its work, memory, doing nothing."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import MIB, Spread, seconds
from benchmarks.table import Aim, Table, main
from longtail.stages import PARALLEL

ROOT = Path(__file__).parents[1]
REPEATS = 5
# With 1,797 images and one iteration there is hardly any work: what is left is start-up, reading, writing and tracking.
FEW_DIGITS = {"source": {"kind": "digits", "copies": 1}, "image_shape": [28, 28, 1]}
LITTLE_SHOWN = {"resamples": 200, "mistakes": 1, "map_points": 50}


@dataclass(frozen=True)
class Cost:
    """What one command took: wall-clock seconds and the highest resident memory in MiB."""

    seconds: float
    memory: float


def run(full: bool) -> Table:
    """Start-up, overhead and memory of every stage, and a pipeline with nothing to do; with --full all rounds."""
    default = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    one_round = _one_round(default)
    with tempfile.TemporaryDirectory() as folder:
        whole = _stages(Path(folder) / "default", default if full else one_round)
    if full:
        return _whole(whole)
    with tempfile.TemporaryDirectory() as folder:
        idle = [_stages(Path(folder) / str(turn), _without_work(one_round)) for turn in range(REPEATS)]
        untracked = _stages(Path(folder) / "untracked", _without_work(one_round), LONGTAIL_TRACKING="off")
    table = Table(
        "Stages, start-up and doing nothing",
        "Each stage of dvc.yaml as a process, with the local MLflow store, one round. Overhead: the same with hardly "
        "any work to do (1,797 images, one iteration), start-up, reading, writing and tracking included.",
        ["stage", "default run (s)", "peak memory (MiB)", f"overhead (s), {REPEATS} runs", "of it untracked (s)"],
    )
    for stage, cost in whole.items():
        spread = Spread.of([costs[stage].seconds for costs in idle])
        alone = untracked[stage].seconds
        table.add(stage, f"{cost.seconds:.1f}", f"{cost.memory:,.0f}", spread.text(), f"{alone:.2f}")
        table.aims.append(
            Aim(
                f"overhead of the stage {stage}",
                "< 1.5 s",
                f"{spread.text()} s",
                spread.median < 1.5,
                _why(spread, stage, alone),
            )
        )
    help_text = Spread.of([seconds(lambda: _longtail(["--help"])) for _ in range(2 * REPEATS)])
    table.aims.append(Aim("longtail --help", "< 0.4 s", f"{help_text.text()} s", help_text.median < 0.4))
    nothing = _nothing_to_do(default)
    table.aims.append(Aim("dvc repro with nothing to do", "< 5 s", f"{nothing.text()} s", nothing.median < 5))
    return table


def _why(spread: Spread, stage: str, untracked: float) -> str:
    """What the overhead is without tracking, and what imports alone take, where the aim is missed."""
    if spread.median < 1.5:
        return ""
    name = stage.partition("@")[0]
    codes = {f"importing longtail.stages.{name}": f"import longtail.stages.{name}"}
    if name in PARALLEL:
        optimiser = "import torch; torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)"
        codes |= {"`import torch`": "import torch", "that and torch's first optimiser": optimiser}
    bare = _imports("pass")
    took = [f"{what} takes {_imports(code) - bare:.2f} s" for what, code in codes.items()]
    return f"without tracking it takes {untracked:.2f} s; in a process of its own {', '.join(took)}"


def _imports(code: str) -> float:
    return Spread.of([seconds(lambda: _python(code)) for _ in range(3)]).median


def _whole(costs: dict[str, Cost]) -> Table:
    table = Table(
        "The default pipeline, all rounds",
        "Each stage of dvc.yaml as a process, in the order of `dvc repro`.",
        ["stage", "time (s)", "share", "peak memory (MiB)"],
    )
    total = sum(cost.seconds for cost in costs.values())
    for stage, cost in costs.items():
        table.add(stage, f"{cost.seconds:.1f}", f"{cost.seconds / total:.0%}", f"{cost.memory:,.0f}")
    table.add("together", f"{total:.1f}", "100%", f"{max(cost.memory for cost in costs.values()):,.0f}")
    return table


def _one_round(default: dict[str, Any]) -> dict[str, Any]:
    """The default parameters with the first of the rounds alone, evaluated in place of the last."""
    first, *later = default["rounds"]
    models = [first if model in later else model for model in default["evaluate"]["models"]]
    rounds = {first: default["rounds"][first]}
    return default | {"rounds": rounds, "evaluate": {**default["evaluate"], "models": models}}


def _without_work(values: dict[str, Any]) -> dict[str, Any]:
    """The parameters with one iteration a training, on few images."""
    return values | {
        "ingest": FEW_DIGITS,
        "fits": {name: _one_iteration(training) for name, training in values["fits"].items()},
        "quintuplets": {**values["quintuplets"], "pools": 1},
        "train": _one_iteration(values["train"]),
        "evaluate": {**values["evaluate"], **LITTLE_SHOWN},
    }


def _one_iteration(training: dict[str, Any]) -> dict[str, Any]:
    return {**training, "optimisation": {**training["optimisation"], "iterations": 1}}


def _stages(folder: Path, params: dict[str, Any], **environment: str) -> dict[str, Cost]:
    """Run every stage of dvc.yaml in a fresh folder; what each costs."""
    _workspace(folder, params)
    return {name: _measured(shlex.split(words), folder, name, **environment) for name, words in _commands(params)}


def _workspace(folder: Path, params: dict[str, Any]) -> None:
    (folder / "data").mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    (folder / "longtail").symlink_to(ROOT / "longtail")
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)


def _commands(params: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Stage and command, in an order in which DVC can run them where no training of `fits` follows a round."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    in_rounds = [name for name, stage in stages.items() if stage.get("foreach") == "${rounds}"]
    for name, stage in stages.items():
        match stage.get("foreach"):
            case None:
                yield name, _filled(stage["cmd"], params)
            case "${fits}":
                for key, item in params["fits"].items():
                    yield f"{name}@{key}", _filled(stage["do"]["cmd"], _of_training(key, item))
            case "${rounds}" if name == in_rounds[0]:
                for key, item in params["rounds"].items():
                    for step in in_rounds:
                        yield f"{step}@{key}", _filled(stages[step]["do"]["cmd"], _of_training(key, item))
            case "${evaluate.models}":
                for model in params["evaluate"]["models"]:
                    yield f"{name}@{model}", _filled(stage["do"]["cmd"], {"item": model})


def _of_training(key: str, item: dict[str, Any]) -> dict[str, str]:
    return {"key": key, "item.after": item["after"]}


def _filled(command: str, values: dict[str, Any]) -> str:
    for name in ("key", "item", "item.after", "data"):
        command = command.replace(f"${{{name}}}", str(values.get(name)))
    return command


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "LONGTAIL_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder / ".site")}


def _measured(command: list[str], folder: Path, stage: str, **more: str) -> Cost:
    log = folder / "log"
    with log.open("w", encoding="utf-8") as output:
        began = time.perf_counter()
        environment = _environment(folder) | {"DVC_STAGE": stage} | more
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
    if status:
        raise RuntimeError(f"{stage} failed: {log.read_text(encoding='utf-8')[-2000:]}")
    return Cost(took, usage.ru_maxrss * 1024 / MIB)


def _nothing_to_do(default: dict[str, Any]) -> Spread:
    """`dvc repro` on a finished pipeline of as many stages as the default one has."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _workspace(folder, _without_work(default))
        for command in (["dvc", "init", "--no-scm", "-q"], ["dvc", "repro", "-q"]):
            _measured(command, folder, "dvc")
        return Spread.of([_measured(["dvc", "repro"], folder, "dvc").seconds for _ in range(3)])


def _longtail(arguments: list[str]) -> None:
    subprocess.run([str(Path(sys.executable).parent / "longtail"), *arguments], check=True, capture_output=True)


def _python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


if __name__ == "__main__":
    main(run)
