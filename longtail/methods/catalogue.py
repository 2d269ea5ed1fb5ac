"""Which methods there are: catalogue.yaml, read. No torch is needed for what it says; parameters are loaded by kind.

It is no Python so that DVC sees each entry for itself: a training depends on its own method's.
"""

import difflib
import importlib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from longtail.errors import DataError


class Entry(BaseModel, extra="forbid", frozen=True):
    """What catalogue.yaml says of a method, and what its fields mean stands there."""

    title: str
    paper: str
    rule: str
    parts: dict[str, str] = {}
    needs_table: bool = False
    corrects_prior: bool = False
    weighs_classes: bool = False


CATALOGUE = {
    kind: Entry.model_validate(entry)
    for kind, entry in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")).items()
}
# The titles of the parts of all methods' losses.
PARTS = {key: title for entry in CATALOGUE.values() for key, title in entry.parts.items()}


def entry_of(kind: str) -> Entry:
    """The entry of a kind of method. Raises DataError if there is none."""
    if kind not in CATALOGUE:
        near = difflib.get_close_matches(kind, CATALOGUE, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(CATALOGUE)}"
        raise DataError(f"there is no method {kind!r}{hint}")
    return CATALOGUE[kind]


def title_of(method: dict[str, Any]) -> str:
    """The title of a method with these parameters, `kind` among them."""
    return entry_of(method["kind"]).title.format(**method)


def params_class(kind: str) -> Any:
    """The class of a method's parameters (MethodParams), from its own module. Raises DataError if there is none."""
    entry_of(kind)
    return importlib.import_module(f"longtail.methods.{kind}").Params
