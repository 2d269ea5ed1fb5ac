"""`longtail label`: serve the page of a queue, until it is ended."""

import sys
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from longtail.errors import DataError
from longtail.labelling.agreement import CHOICES, agreement
from longtail.labelling.decisions import decisions
from longtail.labelling.guard import Guard
from longtail.labelling.queue import LONGEST, Queue
from longtail.labelling.session import Session
from longtail.sources.quoting import shown


def label(queue: Path, *, name: str | None, host: str, port: int, token: str | None) -> None:
    """Serve the queue until the process is told to end; then say what was decided.

    Raises DataError if the queue cannot be read, another process serves it, the address cannot be had, or the extra
    `label` is missing.
    """
    try:
        from longtail.labelling.server import serve
    except ImportError as error:
        raise DataError(f"label needs the package {error.name}: install longtail with its extra `label`") from error
    guard, opened = Guard(host, token), Queue.open(queue)
    opened.check_images()
    session = Session(opened)
    with closing(session):
        try:
            server = serve(session, guard, host, port, name)
        except (OSError, OverflowError) as error:
            raise DataError(f"cannot listen on {shown(host)}:{port}: {error}; give another --host or --port") from error
        place = f"[{host}]" if ":" in host else host
        address = f"http://{place}:{server.port}/{f'?token={quote(token)}' if token else ''}"
        with suppress(KeyboardInterrupt):
            print(f"label: {len(opened.items)} images at {address} (Ctrl-C ends it)", file=sys.stderr, flush=True)
            server.serve_forever()
    print(summary(queue))


def summary(queue: Path) -> str:
    """What was decided in a queue directory, and how far people agree, in a sentence."""
    place = shown(queue, LONGEST)
    merged = [one.merged for one in decisions(queue).values()]
    together, _ = agreement(queue)
    counts = ", ".join(f"{merged.count(choice)} {choice}" for choice in CHOICES)
    kappa = "undefined" if together.kappa is None else f"{together.kappa:.2f}"
    return f"{place}: {counts}, {merged.count(None)} left; {together.items} decided by two people, κ {kappa}"
