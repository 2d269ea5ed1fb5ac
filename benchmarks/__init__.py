"""What everything costs, each against what a user would take instead: one command a table.

    python -m benchmarks.quintuplets [--full]      one table, on its own
    python -m benchmarks [--full] [NAME …]         several, and docs/benchmarks.md anew

A table is a module with `run(full) -> Table`. Its result is a JSON file in results/, from which the page is made.
"""
