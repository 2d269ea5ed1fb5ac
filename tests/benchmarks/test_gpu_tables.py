"""What is measured on a GPU runs on a CPU too; where there is no GPU the table says so."""

import pytest

from benchmarks import gpu_tables
from benchmarks.table import Table


def test_without_a_gpu_the_table_says_how_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_tables, "gpu", lambda: None)
    table = gpu_tables.run(False)
    assert [row[0] for row in table.rows] == ["not measured"]
    assert "python -m benchmarks.gpu_tables" in table.notes[0]


def test_a_row_of_a_table() -> None:
    table = Table("", "", ["n", "product", "of the ceiling", "table", "ratio"])
    gpu_tables.add_table(table, 900, "cpu", ceiling=1e12)
    assert table.rows[0][0] == "900"
