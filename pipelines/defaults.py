"""The compiled pipeline, with the parameters as its defaults."""

import tempfile
from pathlib import Path
from typing import Any

from kfp.compiler import Compiler
from kfp.dsl.base_component import BaseComponent

from longtail.artifacts.files import written
from longtail.errors import DataError
from longtail.parameters import NULL, marked

BEGIN = "# PIPELINE DEFINITION"  # what kfp writes first


def check_output(output: Path) -> None:
    """Raise DataError if kfp would write no pipeline for a cluster to a file of that name, or would replace a file that
    is none, such as params.yaml.
    """
    if output.suffix not in (".yaml", ".yml"):
        raise DataError(
            f"the pipeline is written as YAML: {output} must end in .yaml, as {output.stem or 'x'}.yaml does"
        )
    if output.is_file() and not output.read_text(encoding="utf-8", errors="replace").startswith(BEGIN):
        raise DataError(f"{output} is there, and is no compiled pipeline; name another file, or move it away")


def compile_with_defaults(pipeline: BaseComponent, arguments: dict[str, Any], output: Path) -> None:
    """Write a pipeline as YAML, whole or not; its parameters default to `arguments`, nulls within them too."""
    with written(output) as new, tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "pipeline.yaml"  # kfp goes by the ending
        Compiler().compile(pipeline, str(made), pipeline_parameters=marked(arguments))
        text = made.read_text(encoding="utf-8")
        new.write_text(text.replace(f'"{NULL}"', "null").replace(NULL, "null"), encoding="utf-8")
