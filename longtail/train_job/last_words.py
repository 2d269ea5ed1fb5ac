"""One process of the job: the stage's command line, and where Kubernetes keeps the sentence with which it ends.

In the log nothing tells that sentence from a library's line that also begins with "error: ", and torchrun's own report
comes after it. A container's termination message is ours alone, there only once the container has ended, and still
there when it has been started again.
"""

import os
from contextlib import suppress
from pathlib import Path

VARIABLE = "LONGTAIL_LAST_WORDS"
FILE = "/dev/termination-log"  # Kubernetes' default; anyone in the container may write it


def main() -> None:
    """Do what `python -m longtail` does, and leave the sentence, if it ends with one, in $LONGTAIL_LAST_WORDS."""
    from longtail.__main__ import main as command_line

    try:
        command_line()
    except SystemExit as end:
        if isinstance(end.code, str):
            with suppress(OSError):
                Path(os.environ[VARIABLE]).write_text(end.code.removeprefix("error: "), encoding="utf-8")
        raise


if __name__ == "__main__":
    main()
