"""What is wrong with values that somebody wrote: pydantic's findings, each a sentence on where, what and instead."""

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from longtail.sources.quoting import shown

# Pydantic's words before what it asks of a value, and before what a check of ours has said.
WANTED, REFUSED = " should ", "Value error, "
APOSTROPHE = "'"  # about what it quotes
YAML = {None: "null", True: "true", False: "false"}


def wrong_values(error: ValidationError, values: Any, *, inside: str = "", known: Sequence[str] = ()) -> list[str]:
    """A sentence on each wrong one of the `values`, which stand in the section `inside`; `known`: the names of all
    parameters, of which the nearest is told where one is none.
    """
    return [_sentence(dict(found), values, inside, known) for found in error.errors()]


def _sentence(found: dict[str, Any], values: Any, inside: str, known: Sequence[str]) -> str:
    keys = [inside] * bool(inside) + [str(key) for key in _keys(found["loc"], values)]
    name, about, message = ".".join(keys) or "all", found.get("ctx", {}), str(found["msg"])
    wrong = f"{name} is {_quoted(found['input'])}"
    match found["type"]:
        case "extra_forbidden":
            said = f"{name} is not a parameter{nearest(keys[-1], known)}"
        case "missing":
            said = f"{name} is missing"
        case "union_tag_not_found":
            said = f"{name} has no `{about['discriminator'].strip(APOSTROPHE)}`, which says what it is"
        case "union_tag_invalid":
            tags = [tag.strip(APOSTROPHE) for tag in about["expected_tags"].split(", ")]
            key = about["discriminator"].strip(APOSTROPHE)
            said = f"{name}.{key} is {_quoted(about['tag'])}{nearest(about['tag'], tags)}"
        case "model_type" | "model_attributes_type" | "dict_type" | "dataclass_type":
            said = f"{wrong}; give parameters by name"
        case "list_type" | "tuple_type":
            said = f"{wrong}; give a list"
        case "value_error":
            said = f"{name}: {message.removeprefix(REFUSED)}"
        case _ if WANTED in message:
            said = f"{wrong}; it should {message.partition(WANTED)[2].partition(', unable')[0]}"
        case _:
            said = f"{name}: {message}"
    return said


def _quoted(value: Any) -> str:
    """As YAML has it, in short."""
    return YAML[value] if value is None or isinstance(value, bool) else shown(repr(value))


def _keys(place: Sequence[int | str], values: Any) -> list[int | str]:
    """The keys to a place among the values: pydantic's has the `kind` of a mapping beside them."""
    keys: list[int | str] = []
    kind_told = False
    for key in place:
        if isinstance(values, dict) and values.get("kind") == key and not kind_told:
            kind_told = True
            continue
        keys.append(key)
        kind_told = False
        try:
            values = values[key]
        except (KeyError, IndexError, TypeError):
            values = None
    return keys


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of a sentence on a name that is none: which was meant, or which are known."""
    near = difflib.get_close_matches(name, [one for one in known if one != name], n=1)  # it may be one elsewhere
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(set(known)))}"
