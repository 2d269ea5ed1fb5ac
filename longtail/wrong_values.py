"""What is wrong with values that somebody wrote: pydantic's findings, each a sentence on where, what and instead."""

import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from longtail.sources.quoting import shown

# Pydantic's words before what it asks of a value, and before what a check of ours has said; what it adds to the former.
WANTED, REFUSED = " should ", "Value error, "
ADDED = (", unable", ", got ", " after validation")
APOSTROPHE = "'"  # about what it quotes
KEY = "[key]"  # ends the place of a key that is wrong itself
YAML = {None: "null", True: "true", False: "false"}


class _Fault(NamedTuple):
    """What is said of a place up to what is `wanted` there, which several findings may say, or all that is said."""

    said: str
    wanted: str = ""


def wrong_values(error: ValidationError, values: Any, *, inside: str = "", known: Sequence[str] = ()) -> list[str]:
    """A sentence on each wrong one of the `values`, which stand in the section `inside`; `known`: the names of all
    parameters, of which the nearest is told where one is none.
    """
    sentences: dict[str, list[str]] = {}
    for found in error.errors():
        fault = _fault(dict(found), values, inside, known)
        sentences.setdefault(fault.said, []).extend([fault.wanted] * bool(fault.wanted))
    return [
        f"{said}; it should {', or '.join(dict.fromkeys(wanted))}" if wanted else said
        for said, wanted in sentences.items()
    ]


def _fault(found: dict[str, Any], values: Any, inside: str, known: Sequence[str]) -> _Fault:
    keys = [inside] * bool(inside) + [str(key) for key in _keys(found["loc"], values)]
    name, about, message = ".".join(keys) or "all", found.get("ctx", {}), str(found["msg"])
    wrong = f"{name} is {_quoted(found['input'])}"
    if found["loc"][-1:] == (KEY,):
        wrong = f"{'.'.join(keys[:-1])} has the name {_quoted(found['input'])}"
    match found["type"]:
        case "extra_forbidden":
            fault = _Fault(f"{name} is not a parameter{nearest(keys[-1], known)}")
        case "missing":
            fault = _Fault(f"{name} is missing")
        case "invalid_key":
            fault = _Fault(f"{name} has a name that is no text; write it in quotes")
        case "union_tag_not_found":
            fault = _Fault(f"{name} has no `{about['discriminator'].strip(APOSTROPHE)}`, which says what it is")
        case "union_tag_invalid":
            key, tags = about["discriminator"].strip(APOSTROPHE), about["expected_tags"].split(", ")
            near = nearest(str(about["tag"]), [tag.strip(APOSTROPHE) for tag in tags])
            fault = _Fault(f"{name}.{key} is {_quoted(found['input'][key])}{near}")
        case "model_type" | "model_attributes_type" | "dict_type" | "dataclass_type":
            fault = _Fault(f"{wrong}; give parameters by name")
        case "list_type" | "tuple_type":
            fault = _Fault(f"{wrong}; give a list")
        case "value_error":
            fault = _Fault(f"{name}: {message.removeprefix(REFUSED)}")
        case _ if WANTED in message:
            wanted = message.partition(WANTED)[2]
            for added in ADDED:
                wanted = wanted.partition(added)[0]
            fault = _Fault(wrong, wanted)
        case _:
            fault = _Fault(f"{name}: {message}")
    return fault


def _quoted(value: Any) -> str:
    """As YAML has it, in short; a mapping or a list is not told, for it may hold secrets."""
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    return YAML[value] if value is None or isinstance(value, bool) else shown(repr(value))


def _keys(place: Sequence[int | str], values: Any) -> list[int | str]:
    """The keys to a place among the values. Pydantic's has more: the `kind` of a mapping, which of several forms of a
    value it has tried, and that a key is meant.
    """
    keys: list[int | str] = []
    for number, key in enumerate(place):
        last = number == len(place) - 1
        if isinstance(values, dict):
            # A parameter may be called as the kind is: then nothing stands after it. The last may be missing.
            told = key in values or (last and key != KEY)
            if told and (last or values.get("kind") != key):
                keys.append(key)
                values = values.get(key)
        elif isinstance(values, list | tuple) and isinstance(key, int):
            keys.append(key)
            values = values[key] if key < len(values) else None
    return keys


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of a sentence on a name that is none: which was meant, or which are known."""
    near = difflib.get_close_matches(name, [one for one in known if one != name], n=1)  # it may be one elsewhere
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(set(known)))}"
