"""What the documents say to write into params.yaml is right: each YAML block in the place of its sections."""

import re
from pathlib import Path

import pytest
import yaml

from longtail.artifacts.yaml_file import read_yaml
from longtail.parameters import checked_sections
from longtail.stages import STAGES
from longtail.training.declared import check_said

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
OPEN = "…"  # marks what a reader has to fill in
SECTIONS = {*read_yaml(ROOT / "params.yaml"), "cluster_size"}


def snippets() -> list[tuple[str, str]]:
    """The blocks of params.yaml in all documents, each with where it begins; not those with something left open."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            keys = set(re.findall(r"^(\w+):", block[1], re.MULTILINE))
            if OPEN not in block[1] and keys <= SECTIONS:
                found.append((f"{document.name}, line {text.count(chr(10), 0, block.start()) + 1}", block[1]))
    return found


def test_the_documents_have_some() -> None:
    assert len(snippets()) > 20


@pytest.mark.parametrize(("place", "block"), snippets(), ids=[place for place, _ in snippets()])
def test_a_snippet_is_right_in_the_place_of_its_sections(place: str, block: str, tmp_path: Path) -> None:
    (tmp_path / "block.yaml").write_text(block, encoding="utf-8")
    values, changed = read_yaml(ROOT / "params.yaml"), read_yaml(tmp_path / "block.yaml")
    ingested = changed.get("ingest")
    if ingested is not None and not {"source", "image_shape"} <= set(
        ingested
    ):  # a part of the section, as data.md says
        changed["ingest"] = {"source": {"kind": "folder"}, "image_shape": [32, 32, 3], **ingested}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values | changed), encoding="utf-8")
    checked_sections(tmp_path / "params.yaml", [stage for stage in STAGES if stage != "fetch"])
    check_said(read_yaml(tmp_path / "params.yaml"), place)
