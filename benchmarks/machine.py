"""Where a figure was measured."""

import os
import platform
from datetime import date
from importlib.metadata import version

from longtail.threads import budget
from longtail.tracking.origin import commit, processor

NO_GPU = "no GPU here, so nothing was measured; run this command on a machine that has one"
LIBRARIES = ("numpy", "torch", "torchvision", "faiss-cpu", "scikit-learn", "pytorch-metric-learning")


def machine() -> dict[str, str]:
    """Processor, cores, memory, threads, system and versions."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{gib:.0f} GiB",
        "threads": str(budget()),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def code() -> str:
    """The commit that is measured, and the day."""
    return f"commit {commit()}, {date.today().isoformat()}"


def gpu() -> dict[str, str] | None:
    """The first GPU and its CUDA; None where there is no GPU, which the console is told."""
    import torch

    if torch.cuda.is_available():
        return {"GPU": torch.cuda.get_device_name(0), "CUDA": torch.version.cuda or "none"}
    print(NO_GPU)
    return None
