"""Where a figure comes from: the commit of the code that made it, and the processor."""

import platform
import subprocess
from pathlib import Path


def commit() -> str:
    """The commit of the code that runs, "-dirty" if files differ from it, or "unknown"."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    described = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    return described.stdout.strip() or "unknown"


def processor() -> str:
    """What the processor is called."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
