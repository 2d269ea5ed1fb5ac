"""The compiled pipeline, with the parameters as its defaults."""

from pathlib import Path
from typing import Any

from kfp.compiler import Compiler
from kfp.dsl.base_component import BaseComponent

from longtail.parameters import NULL, marked


def compile_with_defaults(pipeline: BaseComponent, arguments: dict[str, Any], output: Path) -> None:
    """Write a pipeline as YAML; its parameters default to `arguments`, nulls within them too."""
    Compiler().compile(pipeline, str(output), pipeline_parameters=marked(arguments))
    written = output.read_text(encoding="utf-8")
    output.write_text(written.replace(f'"{NULL}"', "null").replace(NULL, "null"), encoding="utf-8")
