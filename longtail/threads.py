"""How many threads one step may use: the budget that everything which runs in parallel shares."""

import os


def budget() -> int:
    """OMP_NUM_THREADS where it is set, as for every OpenMP library; else the cores that this process may use."""
    # OpenMP also takes a list, one number a level of nesting; like OpenMP, an unusable value is ignored.
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(asked) if asked.isdecimal() and int(asked) > 0 else len(os.sched_getaffinity(0))
