"""The documents' prose is wrapped, so that a diff shows the sentence that changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WIDTH = 100
GENERATED = ("benchmarks.md",)


def documents() -> list[Path]:
    """The Markdown files that people write."""
    found = [file for folder in (".", "data", "docker", "docs", "infra") for file in (ROOT / folder).glob("*.md")]
    return sorted(file for file in found if file.name not in GENERATED)


def too_wide(text: str) -> Iterator[tuple[int, str]]:
    """Lines wider than WIDTH that could be broken: no code, no table, no picture, more than one word."""
    code = False
    for number, line in enumerate(text.splitlines(), 1):
        fence = line.lstrip().startswith("```")
        code ^= fence
        if not (code or fence or line.startswith(("|", "!["))) and len(line) > WIDTH and len(line.split()) > 1:
            yield number, line


@pytest.mark.parametrize("file", documents(), ids=lambda file: str(file.relative_to(ROOT)))
def test_prose_is_wrapped(file: Path) -> None:
    assert list(too_wide(file.read_text(encoding="utf-8"))) == []


def test_code_and_tables_may_be_wide_and_prose_may_not() -> None:
    wide = "word " * 30
    assert list(too_wide(f"```\n{wide}\n```\n| {wide} |\n{'x' * 200}")) == []
    assert [number for number, _ in too_wide(f"```\n```\nshort\n{wide}\n- {wide}")] == [4, 5]
