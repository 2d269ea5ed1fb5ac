"""The page of benchmarks is what the kept results make, and an aim that is missed says why."""

import importlib
from pathlib import Path

import pytest

from benchmarks import page as pages
from benchmarks import table as tables
from benchmarks.page import PAGE, TABLES, page
from benchmarks.table import RESULTS, Aim, Table, read, write


def test_the_page_is_made_from_the_results() -> None:
    assert PAGE.read_text() == page()


def test_every_result_belongs_to_a_table_that_has_a_command() -> None:
    assert {file.stem.removesuffix("-full") for file in RESULTS.glob("*.json")} <= set(TABLES)
    for name in TABLES:
        assert callable(importlib.import_module(f"benchmarks.{name}").run)


def test_a_missed_aim_has_a_reason() -> None:
    for file in RESULTS.glob("*.json"):
        assert [aim.what for aim in read(file).aims if not aim.met and not aim.reason] == []


def made() -> Table:
    table = Table("Speed", "Ours against theirs.", ["what", "ratio"], settings={"n": "10"}, machine={"cores": "2"})
    table.add("ours", 1.5)
    table.aims += [Aim("as fast", "≤ 1", "1.50 (1.40 to 1.60)", False, "it copies"), Aim("exact", "0", "0", True)]
    return table


def test_a_table_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert read(write("speed", made())) == made()


def test_the_page_shows_aims_tables_and_why_an_aim_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    monkeypatch.setattr(pages, "RESULTS", tmp_path)
    monkeypatch.setattr(pages, "TABLES", ("speed",))
    write("speed", made())
    write("speed-full", made())
    text = page()
    assert text.count("| as fast | ≤ 1 | 1.50 (1.40 to 1.60) | **missed** |") == 2
    assert "- **as fast**: it copies" in text
    assert "`python -m benchmarks.speed`. Ours" in text
    assert "`python -m benchmarks.speed --full`. Ours" in text
    assert "| ours | 1.5 |" in text
    assert "Settings: n 10." in text
    assert "Machine: cores 2." in text


def test_a_row_has_a_cell_for_every_column() -> None:
    with pytest.raises(ValueError, match="1 cells in a table of 2"):
        made().add("alone")
