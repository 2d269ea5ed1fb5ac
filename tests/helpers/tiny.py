"""A tiny data set and the whole pipeline on it, for the tests of stages and of the command line."""

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from longtail.data.dataset import Task, write_dataset
from longtail.data.injection import NONE, Injection
from longtail.data.preprocessing import Preprocessing

DIGIT = Task(name="digit", classes=["zero", "one", "two"])
KIDS = Task(name="kids", classes=["no", "yes", "unsure"], background="unsure")
SHAPE = (28, 28, 1)

OPTIMISATION = {"iterations": 12, "learning_rate": 0.02, "log_every": 4, "checkpoint_every": 4}
TRAINED = {"cluster_size": 8, "network": {"embedding": 8}, "batch": 24, "optimisation": OPTIMISATION}
PARAMETERS: dict[str, dict[str, Any]] = {
    "split": {"validation": 0.25, "test": 0.25},
    "start": {"network": {"embedding": 8}},
    "fit": {"name": "softmax", "method": {"kind": "softmax"}, **TRAINED},
    "cluster": {"cluster_size": 8},
    "quintuplets": {"pool_per_class": 6, "memory": 2**20},
    "train": {
        **TRAINED,
        "batch": 12,
        "optimisation": {**OPTIMISATION, "augmentation": {"rotate": 10, "shift": 0.05}},
    },
    "index": {"cluster_size": 8, "search": {"neighbours": [1, 3, 5]}},
    "evaluate": {"models": ["r1"], "resamples": 200, "mistakes": 3, "map_points": 50},
}
# The artifacts of each stage: one training of `fits` called softmax, one round called r1 after it, which is evaluated.
ARTIFACTS: dict[str, dict[str, str]] = {
    "split": {"dataset": "dataset", "split": "split"},
    "start": {"dataset": "dataset", "split": "split", "model": "start/model"},
    "fit": {"dataset": "dataset", "split": "split", "previous": "start/model", "model": "softmax/model"},
    "cluster": {"split": "split", "model": "softmax/model", "clusters": "r1/clusters"},
    "quintuplets": {
        "split": "split",
        "model": "softmax/model",
        "clusters": "r1/clusters",
        "quintuplets": "r1/quintuplets",
    },
    "train": {
        "dataset": "dataset",
        "split": "split",
        "previous": "softmax/model",
        "quintuplets": "r1/quintuplets",
        "model": "r1/model",
    },
    "index": {"split": "split", "model": "r1/model", "index": "index/r1"},
    "evaluate": {"dataset": "dataset", "split": "split", "indexes": "index", "report": "report"},
}
# Not part of every pipeline: only where a training is on stored features.
FEATURES = {"dataset": "dataset", "split": "split", "model": "start/model", "features": "features"}
CRL = {"name": "crl", "method": {"kind": "class_rectification"}, "sampling": "natural", "cost": False}


def write_tiny_dataset(
    path: Path,
    *,
    per_class: int = 40,
    two_tasks: bool = False,
    seed: int = 0,
    imbalance: Injection = NONE,
    jpeg_quality: int | None = None,
    colours: int | None = None,
) -> None:
    """Three classes of 28×28 images, a bright band at another height each; groups of two images.

    With `two_tasks` every image also has a label of the task "kids", a third of them missing, one class background.
    """
    rng = np.random.default_rng(seed)
    count = 3 * per_class
    codes = np.repeat(np.arange(3), per_class)
    images = rng.integers(0, 120, (count, *SHAPE), dtype=np.uint8)
    for image, code in zip(images, codes, strict=True):
        image[4 + 8 * code : 9 + 8 * code] += np.uint8(120)
    samples = pd.DataFrame(
        {
            "id": [f"image-{i:03d}" for i in range(count)],
            "source": [f"{i:03d}.png" for i in range(count)],
            "group": [f"pair-{i // 2:03d}" for i in range(count)],
            "subset": None,
            "digit": np.array(DIGIT.classes)[codes],
            "kids": [[None, "no", "yes", None, "unsure", "no"][i // 2 % 6] for i in range(count)],
        }
    )
    tasks = [DIGIT, KIDS] if two_tasks else [DIGIT]
    about: dict[str, Any] = {
        "provenance": "made for a test",
        "licence": "none",
        "imbalance": imbalance,
        "colours": colours,
    }
    if jpeg_quality is not None:
        about["preprocessing"] = Preprocessing(image_shape=SHAPE, jpeg_quality=jpeg_quality)
    write_dataset(path, samples, [images], tasks=tasks, image_shape=SHAPE, **about)


def run_stage(root: Path, stage: str, *, paths: dict[str, str] | None = None, **changes: Any) -> dict[str, float]:
    """Run a stage on the artifacts below `root`; `paths` overrides where some lie, `changes` some parameters."""
    module = importlib.import_module(f"longtail.stages.{stage}")
    artifacts = {
        name: root / path for name, path in {**{**ARTIFACTS, "features": FEATURES}[stage], **(paths or {})}.items()
    }
    report: dict[str, float] = module.run(**artifacts, params=module.Params(**{**PARAMETERS.get(stage, {}), **changes}))
    return report


def run_pipeline(root: Path, *, stages: tuple[str, ...] = tuple(ARTIFACTS), **changes: dict[str, Any]) -> None:
    """Run stages in their order, by default all; `changes` are parameters by stage."""
    for stage in stages:
        run_stage(root, stage, **changes.get(stage, {}))


def evaluate_models(root: Path, *models: str, **changes: Any) -> dict[str, float]:
    """Index these models and evaluate them together, the first leading."""
    for model in models:
        run_stage(root, "index", paths={"model": f"{model}/model", "index": f"index/{model}"})
    return run_stage(root, "evaluate", models=list(models), **changes)


def round_paths(number: int) -> dict[str, dict[str, str]]:
    """The artifacts of round `number` by stage, as overrides for `run_stage`; the first follows softmax."""
    before, here = f"r{number - 1}" if number > 1 else "softmax", f"r{number}"
    clusters, quintuplets = f"{here}/clusters", f"{here}/quintuplets"
    return {
        "cluster": {"model": f"{before}/model", "clusters": clusters},
        "quintuplets": {"model": f"{before}/model", "clusters": clusters, "quintuplets": quintuplets},
        "train": {"previous": f"{before}/model", "quintuplets": quintuplets, "model": f"{here}/model"},
    }


def hashes(root: Path) -> dict[str, str]:
    """The digest of every file below `root`, by its path."""
    files = sorted(file for file in root.rglob("*") if file.is_file())
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def write_parameters(path: Path, **changes: dict[str, Any]) -> Path:
    """A parameters file of the tiny pipeline (JSON is YAML): one training of `fits`, and a round after it."""
    sections = {name: {**section, **changes.get(name, {})} for name, section in PARAMETERS.items()}
    fit = sections.pop("fit")
    name = fit.pop("name")
    trainings = {"fits": {name: {"after": "start", **fit}}, "rounds": {"r1": {"after": name}}}
    path.write_text(json.dumps(sections | trainings), encoding="utf-8")
    return path


def arguments(root: Path, stage: str, parameters: Path) -> list[str]:
    """The words of `longtail STAGE …` for the artifacts below `root`, `fit` for the only training of the parameters."""
    words = [word for name, path in ARTIFACTS[stage].items() for word in (f"--{name}", str(root / path))]
    if stage == "fit":
        words = ["--name", *json.loads(parameters.read_text(encoding="utf-8"))["fits"], *words]
    return [stage, *words, "--params", str(parameters)]
