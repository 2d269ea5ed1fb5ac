"""Make a workspace in which `dvc repro --recursive` trains detectors of edges on BSDS500 and scores their maps.

python -m examples.edges artifacts/edges data/BSR/BSDS500/data
"""

import math
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from examples.workspaces import put_code
from longtail.execution import one_sentence
from longtail.stages import EDGE_STAGES
from pipelines.dependencies import stage_dependencies


def main(
    workspace: Annotated[Path, typer.Argument(help="directory to make, with the code, dvc.yaml and params.yaml")],
    data: Annotated[Path, typer.Argument(help="BSDS500, in a folder, zip or tar")],
) -> None:
    """Make the workspace anew, but for DVC's cache and its parameters: what has not changed is not run again."""
    with one_sentence():
        put_code(workspace)
        (workspace / "edges").mkdir(exist_ok=True)
        (workspace / "edges" / "dvc.yaml").write_text(yaml.safe_dump(_stages(), sort_keys=False), encoding="utf-8")
        if not (workspace / "params.yaml").exists():
            text = Path(__file__).with_name("params.yaml").read_text(encoding="utf-8")
            place = str(data.resolve().parent if data.is_file() else data.resolve())
            text = text.replace("data: null", f"data: {_quoted(place)}", 1)
            if data.is_file():
                text = text.replace("kind: bsds500", f"kind: bsds500, path: {_quoted(data.name)}", 1)
            (workspace / "params.yaml").write_text(text, encoding="utf-8")


def _quoted(text: str) -> str:
    """A text as YAML, whatever is in it: a path may have `: `, `#` or a comma."""
    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf)).strip()


def _stages() -> dict[str, Any]:
    """The stages of edges, with the source files that each runs."""
    found: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("stages.yaml").read_text(encoding="utf-8"))
    for stage in EDGE_STAGES:
        found["stages"][stage]["do"]["deps"] += stage_dependencies(stage)
    return found


if __name__ == "__main__":
    typer.run(main)
