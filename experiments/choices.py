"""What was chosen on validation for a figure of a table: kept with each cell, and told in a few words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

# By its name in rules.json what a rule chose, and how it is told; the round is the training's.
WORDS = {
    "round": "round {}",
    "k": "k {}",
    "decision": "{}",
    "strength": "τ {}",
    "prior": "{}",
    "power": "τ {}",
    "anchors": "{} points a class",
    "gamma": "γ {}",
    "threshold": "threshold {}",
    "head": "head {}",
    "temperature": "temperature {}",
}
LISTED = 5  # of more figures the least and greatest number are told, and how often each word was chosen
UNKNOWN = "–"
Choice = Mapping[str, Any]


def chosen(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Of a rule's summary what was chosen."""
    return {name: summary[name] for name in WORDS if name in summary}


def in_words(choices: Sequence[Choice | None]) -> str:
    """What was chosen for several figures, in their order: once where all agree, nothing where nothing was open. None
    stands for a figure of which it is not known.
    """
    if not any(choices):
        return UNKNOWN if None in choices else ""
    known = [one or {} for one in choices]
    named = {name: [one.get(name) for one in known] for name in WORDS if any(name in one for one in known)}
    return "; ".join(WORDS[name].format(_several(values)) for name, values in named.items())


def _several(values: list[Any]) -> str:
    told = [UNKNOWN if value is None else _one(value) for value in values]
    if len(set(told)) == 1:
        return told[0]
    if len(told) <= LISTED:
        return ", ".join(told)
    numbers = [value for value in values if not isinstance(value, str | None)]
    if numbers:
        return f"{_one(min(numbers))} to {_one(max(numbers))}" + f", {UNKNOWN}" * (None in values)
    return ", ".join(f"{count} × {word}" for word, count in Counter(told).most_common())


def _one(value: Any) -> str:
    return value.replace("_", " ") if isinstance(value, str) else f"{value:.3g}"
