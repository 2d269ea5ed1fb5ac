"""Measure the tables, each in a process of its own, and write docs/benchmarks.md from all results."""

import argparse
import subprocess
import sys

from benchmarks.page import LARGE, PAGE, TABLES, page


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *TABLES], help="tables; none: all of them")
    parser.add_argument("--full", action="store_true", help="the large sizes too: an hour or more")
    parser.add_argument("--page", action="store_true", help="measure nothing, only write the page")
    asked = parser.parse_args()
    failed = []
    for name in [] if asked.page else asked.names or TABLES:
        for size in ([], ["--full"]) if asked.full and name in LARGE else ([],):
            print("==", name, *size, flush=True)
            if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *size], check=False).returncode:
                failed.append(" ".join([name, *size]))
    PAGE.write_text(page(), encoding="utf-8")
    if failed:
        sys.exit(f"error: these tables failed and keep their former figures: {', '.join(failed)}")


if __name__ == "__main__":
    main()
