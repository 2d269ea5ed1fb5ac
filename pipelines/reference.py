"""docs/parameters.md: every parameter of params.yaml with its values, default and meaning, from the steps' models.

python -m pipelines parameters
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from inspect import cleandoc
from pathlib import Path
from textwrap import fill
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from longtail.methods.base import MethodParams
from longtail.methods.catalogue import CATALOGUE, params_class
from longtail.parameters import CLUSTER, SHARED
from longtail.stages import EDGE_STAGES, NAMED, STAGES
from longtail.stages.contract import params_model
from pipelines.resources import Kubernetes

PAGE = Path(__file__).parents[1] / "docs" / "parameters.md"
SECTIONS = (*(NAMED.get(stage, stage) for stage in (*STAGES, *EDGE_STAGES)), CLUSTER)
WIDTH = 100
WORDS = {int: "whole number", float: "number", bool: "`true` or `false`", str: "text", Path: "path"}
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
BEGIN = """Look up here what params.yaml may hold: its sections, their parameters, values and defaults. What they are
good for is in [data.md](data.md) (`ingest`, `split`), [pretrained.md](pretrained.md) (`start`, `features`),
[methods.md](methods.md) (`fits`, `train`), [edges.md](edges.md) (`detect`, `score`) and [cluster.md](cluster.md)
(`kubernetes`). This page is written by `python -m pipelines parameters`.

`data` is what the source reads, a file or a directory. An entry of `features`, `fits` and `rounds` also has `after`,
what it follows, and of the latter two `on`, what it trains on: the data set, or an entry of `features`."""


@dataclass(frozen=True)
class Part:
    """A heading, the model whose fields are listed below it, and of a method where it comes from."""

    heading: str
    model: type[BaseModel]
    paper: str | None = None

    @property
    def link(self) -> str:
        """A link to the heading, by its last word."""
        anchor = "".join(one for one in self.heading.replace(" ", "-") if one.isalnum() or one in "-_")
        return f"[{self.heading.split()[-1].rpartition('.')[2]}](#{anchor})"

    @property
    def fields(self) -> dict[str, FieldInfo]:
        """What a user may set in it, and of a section not for several at once. The heading says the kind."""
        elsewhere = ("kind", *(SHARED if self.heading in SECTIONS else ()))
        return {name: one for name, one in self.model.model_fields.items() if name not in elsewhere}


Parts = dict[type[BaseModel], Part]


def write_reference() -> None:
    """Write the page."""
    PAGE.write_text(reference(), encoding="utf-8")


def reference() -> str:
    """The page: the shared values, every section with what lies within it, the methods, and `kubernetes`."""
    parts = all_parts()
    sections = [part.link for part in parts.values() if part.heading in SECTIONS]
    methods = [part.link for part in parts.values() if part.paper]
    contents = f"Sections: {', '.join(sections)}. Methods: {', '.join(methods)}."
    shared = {name: one for part in parts.values() for name, one in part.model.model_fields.items() if name in SHARED}
    outside = "Each of these is the default of every section that has a parameter of its name."
    chapters = [f"# Parameters\n\n{_wrapped(BEGIN)}\n\n{_wrapped(contents)}\n"]
    chapters.append(f"## Outside the sections\n\n{outside}\n\n{_table({name: shared[name] for name in SHARED}, parts)}")
    return "\n".join([*chapters, *(_chapter(part, parts) for part in parts.values())])


def all_parts() -> Parts:
    """Each model once, where it is met first: what lies within a section stands behind it."""
    found: Parts = {}
    for stage in (*STAGES, *EDGE_STAGES):
        model = params_model(importlib.import_module(f"longtail.stages.{stage}").run)
        _collect(Part(NAMED.get(stage, stage), model), found)
    for kind, entry in CATALOGUE.items():
        _collect(Part(f"method {kind}", params_class(kind), entry.paper), found)
    _collect(Part(CLUSTER, Kubernetes), found)
    return found


def _collect(part: Part, found: Parts) -> None:
    if part.model in found:
        return
    found[part.model] = part
    for name, field in part.model.model_fields.items():
        within = [model for model in _models(field.annotation) if model is not MethodParams]
        for model in within:
            kind = model.model_fields.get("kind")
            last = f" {get_args(kind.annotation)[0]}" if kind and len(within) > 1 else ""
            taken = name in STAGES or any(other.heading == f"{name}{last}" for other in found.values())
            _collect(Part(f"{part.heading}.{name}{last}" if taken else f"{name}{last}", model), found)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _chapter(part: Part, parts: Parts) -> str:
    """A heading, what the docstring says, which also has what no field says of itself, and the fields."""
    about = [cleandoc(part.model.__doc__ or "")]
    about += [f"Source: {part.paper}."] if part.paper else []
    fields = part.fields
    if part.heading == "train":
        # A round is a training, as an entry of `fits` is.
        fits = next(one for one in parts.values() if one.heading == NAMED["fit"])
        same = [name for name in fields if repr(fields[name]) == repr(fits.fields.get(name))]
        fields = {name: one for name, one in fields.items() if name not in same}
        about.append(f"As in {fits.link}: {', '.join(f'`{name}`' for name in same)}.")
    return f"## {part.heading}\n\n{_wrapped((chr(10) * 2).join(about))}\n" + (
        f"\n{_table(fields, parts)}" if fields else ""
    )


def _wrapped(text: str) -> str:
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return "\n\n".join(fill(one, WIDTH, break_long_words=False, break_on_hyphens=False) for one in paragraphs)


def _table(fields: dict[str, FieldInfo], parts: Parts) -> str:
    rows = [
        f"| `{name}` | {_values(one.annotation, one.metadata, parts)} | {_default(one)} | {meaning(one)} |\n"
        for name, one in fields.items()
    ]
    return "| parameter | values | default | meaning |\n|---|---|---|---|\n" + "".join(rows)


def _values(annotation: Any, metadata: list[Any], parts: Parts) -> str:
    """Which values a field may have; `metadata` holds its bounds."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        # An alias has its bounds in the metadata of a Field, or as they are.
        own = [one for part in inner[1:] for one in (part.metadata if isinstance(part, FieldInfo) else [part])]
        return _values(inner[0], [*own, *metadata], parts)
    if origin in (Union, UnionType):
        several = [_values(one, metadata, parts) for one in inner if one is not type(None)]
        return ", ".join(several) + (" or null" if type(None) in inner else "")
    if origin in (list, dict):
        return f"{'list of' if origin is list else 'by name,'} {_values(inner[-1], [], parts)}"
    if origin is tuple:
        return f"list: {'; '.join(_values(one, [], parts) for one in inner)}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "one of the methods" if annotation is MethodParams else parts[annotation].link
    return _plain_values(annotation, metadata)


def _plain_values(annotation: Any, metadata: list[Any]) -> str:
    named: list[Any] = []
    if get_origin(annotation) is Literal:
        named = list(get_args(annotation))
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        named = [one.value for one in annotation]
    bounds = [f"{sign} {getattr(one, key):,}" for one in metadata for key, sign in BOUNDS.items() if hasattr(one, key)]
    return ", ".join(f"`{one}`" for one in named) or f"{WORDS.get(annotation, 'anything')} {', '.join(bounds)}".strip()


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, BaseModel):
        return "its own"
    plain = default.value if isinstance(default, Enum) else list(default) if isinstance(default, tuple) else default
    return f"`{yaml.safe_dump(plain, default_flow_style=True, width=1000).removesuffix('...' + chr(10)).strip()}`"


def meaning(field: FieldInfo) -> str:
    """What a field says of itself, or the alias of its type; else the empty text."""
    aliases = [one for inner in get_args(field.annotation) for one in getattr(inner, "__metadata__", ())]
    said = [one.description for one in (field, *aliases) if isinstance(one, FieldInfo) and one.description]
    return said[0] if said else ""
