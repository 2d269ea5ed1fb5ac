"""Where a figure was measured."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("numpy", "torch", "torchvision", "faiss-cpu", "scikit-learn", "pytorch-metric-learning")


def machine() -> dict[str, str]:
    """Processor, cores, memory, threads, system and versions."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{gib:.0f} GiB",
        "threads": os.environ.get("OMP_NUM_THREADS", "all cores"),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def gpu() -> str | None:
    """The name of the first GPU, or None."""
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
