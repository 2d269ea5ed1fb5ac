"""YAML that a person has written: a key that stands twice is an error, and what is wrong is one sentence."""

from pathlib import Path
from typing import Any

import yaml

from longtail.errors import DataError


class _Loader(yaml.SafeLoader):
    """YAML as it is, but for a key that a mapping has twice: YAML would take the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = f"{key.tag} {key.value}", key.start_mark.line + 1
            if name in lines:
                raise DataError(f"{key.value!r} stands on line {lines[name]} and again on line {line}; keep one")
            lines[name] = line
        return super().construct_mapping(node, deep)


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
