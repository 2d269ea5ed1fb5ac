"""What belongs to each class, in the words of whoever knows it: a YAML file."""

from collections.abc import Sequence
from pathlib import Path

from longtail.artifacts.yaml_file import read_yaml
from longtail.errors import DataError
from longtail.labelling.queue import LONGEST, QueueClass
from longtail.sources.quoting import listed, shown

MOST = 2000  # characters of a definition: people read it beside an image


def read_definitions(file: Path | None, classes: Sequence[str]) -> list[QueueClass]:
    """The classes, each with its text of the file if it has one. Raises DataError if the file holds anything else."""
    texts = {} if file is None else read_yaml(file)
    place = shown(file, LONGEST)
    if not isinstance(texts, dict):
        raise DataError(f"{place} holds no texts by class; write a line `class: text` for each")
    if unknown := [name for name in texts if name not in classes]:
        raise DataError(f"{place} defines {listed(unknown)}; the classes are {listed(classes)}")
    for name, text in texts.items():
        if not isinstance(text, str) or not 0 < len(text.strip()) <= MOST:
            raise DataError(f"{place}: the definition of {shown(name)!r} must be a text of 1 to {MOST} characters")
    return [QueueClass(name=name, definition=texts[name].strip() if name in texts else None) for name in classes]
