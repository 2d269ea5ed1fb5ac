"""What Kubernetes takes as an amount, a name and a label; kfp hands them on as they are, to fail on the cluster."""

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

PART = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL = "[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?"


def _like(pattern: str, what: str) -> Callable[[str], str]:
    """A check of a whole text; `what` says what it should be, with an example."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} is no {what}")
        return text

    return check


def _above_zero(amount: str) -> str:
    if not amount.strip("0.m"):
        raise ValueError(f"{amount!r} is nothing; ask for more than 0")
    return amount


# No finer than a thousandth of a CPU.
Cpu = Annotated[
    str,
    AfterValidator(
        _like(r"[0-9]{1,6}(\.[0-9]{1,3})?|[0-9]{1,9}m", 'number of CPUs; write it as "8", "1.5" or "500m", for example')
    ),
    AfterValidator(_above_zero),
]
# Kubernetes also takes fractions, bytes and k, and kfp K: here is what both take, and nobody means as bytes.
Memory = Annotated[
    str,
    AfterValidator(
        _like(
            "[1-9][0-9]{0,8}([KMGTPE]i|[MGTPE])",
            "amount of memory; write a whole number and its unit, such as 32Gi or 1536Mi",
        )
    ),
]
Name = Annotated[
    str,
    AfterValidator(
        _like(rf"(?=.{{1,253}}$){PART}(\.{PART})*", "name of an object; it has small letters, digits, - and . alone")
    ),
]
LabelKey = Annotated[
    str,
    AfterValidator(
        _like(
            rf"(?=.{{1,317}}$)({PART}(\.{PART})*/)?{LABEL}",
            "key of a label or taint; write it as nvidia.com/gpu or pool, for example",
        )
    ),
]
LabelValue = Annotated[
    str,
    AfterValidator(_like(f"({LABEL})?", "value of a label; it has up to 63 letters, digits, -, _ and .")),
]
