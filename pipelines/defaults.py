"""The compiled pipeline, with the parameters as its defaults."""

from pathlib import Path
from typing import Any

from kfp.compiler import Compiler
from kfp.dsl.base_component import BaseComponent

from longtail.errors import DataError
from longtail.parameters import NULL, marked


def check_output(output: Path) -> None:
    """Raise DataError if kfp would write no pipeline for a cluster to a file of that name."""
    if output.suffix not in (".yaml", ".yml"):
        raise DataError(
            f"the pipeline is written as YAML: {output} must end in .yaml, as {output.stem or 'x'}.yaml does"
        )


def compile_with_defaults(pipeline: BaseComponent, arguments: dict[str, Any], output: Path) -> None:
    """Write a pipeline as YAML; its parameters default to `arguments`, nulls within them too."""
    Compiler().compile(pipeline, str(output), pipeline_parameters=marked(arguments))
    written = output.read_text(encoding="utf-8")
    output.write_text(written.replace(f'"{NULL}"', "null").replace(NULL, "null"), encoding="utf-8")
