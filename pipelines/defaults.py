"""The compiled pipeline, with the parameters as its defaults."""

from pathlib import Path
from typing import Any

from kfp.compiler import Compiler
from kfp.dsl.base_component import BaseComponent

NULL = "null-of-the-parameters"  # stands for null while kfp compiles: it converts texts, numbers, lists and mappings


def compile_with_defaults(pipeline: BaseComponent, arguments: dict[str, Any], output: Path) -> None:
    """Write a pipeline as YAML; its parameters default to `arguments`, nulls within them too."""
    Compiler().compile(pipeline, str(output), pipeline_parameters=_marked(arguments))
    written = output.read_text(encoding="utf-8")
    output.write_text(written.replace(f'"{NULL}"', "null").replace(NULL, "null"), encoding="utf-8")


def _marked(value: Any) -> Any:
    """The value with NULL in the place of each None."""
    if isinstance(value, dict):
        return {key: _marked(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_marked(one) for one in value]
    return NULL if value is None else value
