"""The data of a pipeline in MLflow: an input with digest, schema and class profile, and tags to filter runs by."""

from textwrap import shorten
from typing import TYPE_CHECKING, Any

from longtail.tracking.log import set_tag
from longtail.tracking.run import current

if TYPE_CHECKING:
    from longtail.data.dataset import DatasetInfo
    from longtail.data.splits import SplitInfo

# Of more classes than these the profile has the largest and the smallest.
SHOWN = 100
TAG_LENGTH = 250


def log_dataset(data: "DatasetInfo", split: "SplitInfo", split_key: str, *, parent: bool = False) -> None:
    """Log the packed data set, divided so; the digest tells both apart: other rows in a subset are other data."""
    if (run := current()) is None:
        return
    train = split.subsets["train"]
    ratios = {task.name: train.tasks[task.name].IR for task in split.tasks}
    tags = {
        "task": [task.name for task in split.tasks],
        "classes": [str(len(task.classes)) for task in split.tasks],
        "imbalance_ratio": ["infinite" if ratio is None else f"{ratio:.1f}" for ratio in ratios.values()],
    }
    for name, values in tags.items():
        set_tag(f"longtail.{name}", shorten(", ".join(values), TAG_LENGTH, placeholder=" …"), parent=parent)
    profile: dict[str, Any] = {
        "num_rows": data.count,
        "samples": {name: subset.samples for name, subset in split.subsets.items()},
    }
    for task in split.tasks:
        counts = dict(zip(task.classes, train.counts[task.name], strict=True))
        profile[task.name] = {"imbalance_ratio": ratios[task.name], "classes": len(counts), "train": _ends(counts)}
    source = {"md5": data.md5, "split": split_key, "provenance": data.provenance, "licence": data.licence}
    digest = "-".join(filter(None, (data.md5[:8], split_key[:8])))
    tasks = [task.name for task in split.tasks]
    fields = {"shape": data.image_shape, "tasks": tasks, "source": source, "profile": profile}
    run.log("input", digest=digest, **fields, parent=parent)


def _ends(counts: dict[str, int]) -> dict[str, int]:
    by_size = sorted(counts, key=lambda name: -counts[name])
    half = SHOWN // 2
    shown = by_size if len(by_size) <= SHOWN else by_size[:half] + by_size[-half:]
    return {name: counts[name] for name in shown}
