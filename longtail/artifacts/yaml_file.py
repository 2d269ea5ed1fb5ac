"""YAML that a person has written: a key that stands twice is an error, and what is wrong is one sentence."""

import re
from pathlib import Path
from typing import Any

import yaml

from longtail.errors import DataError

MERGE, BOOLEAN = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:bool"
INTEGER, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
LONGEST = 80  # characters of a key that a message shows


class _Loader(yaml.SafeLoader):
    """YAML 1.2, as DVC reads it, so that `on`, `yes` and `1:30` are texts; so are numbers that are written in another
    way than decimals are, as 010 and 1_000: a class may be called so, and for a number the text does as well. A key
    that a mapping has twice is refused, of which YAML would take the last in silence.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found: dict[Any, yaml.ScalarNode] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                # As it is read: True is true, 0x1 is 1. `<<` stands for itself.
                read = key.tag if key.tag == MERGE else self.construct_object(key)
                if read in found:
                    raise DataError(_twice(found[read], key))
                found[read] = key
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (BOOLEAN, INTEGER, FLOAT)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(BOOLEAN, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(INTEGER, re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    FLOAT,
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"),
    list("-+.0123456789"),
)


def _twice(first: yaml.ScalarNode, again: yaml.ScalarNode) -> str:
    one, other = (f"{key.value[:LONGEST]!r}" for key in (first, again))
    lines = first.start_mark.line + 1, again.start_mark.line + 1
    if first.value == again.value:
        return f"{one} stands on line {lines[0]} and again on line {lines[1]}; keep one"
    return f"{one} on line {lines[0]} and {other} on line {lines[1]} are the same to YAML; put names in quotes"


def read_yaml(file: Path) -> Any:
    """What the file holds. Raises DataError if it cannot be read or has a key twice."""
    try:
        return yaml.load(file.read_text(encoding="utf-8"), _Loader)  # a SafeLoader: it runs nothing
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        # YAML's own message is laid out over several lines.
        raise DataError(f"cannot read {file}: {' '.join(str(error).split())}") from error
