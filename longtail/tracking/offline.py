"""What a failure to deliver means, and a note for the steps that follow, so that not each waits for a dead server."""

import re
import time
from contextlib import suppress

from longtail.tracking import journal

# The note holds for a minute: a dead server then costs a pipeline a few seconds a minute, not a few a step.
NOTE_SECONDS = 60.0

# What MLflow's client says of an answer that tells of an error, and of one whose status it would have tried again on.
ANSWERED = re.compile(r"(?:failed with error code|too many) (\d{3})|^(\d{3}) (?:Client|Server) Error")
CREDENTIALS = re.compile(r"//\S*@")  # in an address that MLflow or its client quotes
REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED")


def mark(uri: str) -> None:
    """Note that the store at `uri` failed just now."""
    with suppress(OSError):  # without the note, every step finds out by itself
        journal.root().mkdir(parents=True, exist_ok=True)
        (journal.root() / "offline").write_text(uri, encoding="utf-8")


def recent(uri: str) -> bool:
    """Whether a step noted in the last minute that the store at `uri` failed."""
    note = journal.root() / "offline"
    try:
        return time.time() - note.stat().st_mtime < NOTE_SECONDS and note.read_text(encoding="utf-8") == uri
    except OSError:
        return False


def clear() -> None:
    """Forget the note: the store has answered."""
    with suppress(OSError):  # a stale note lasts a minute
        (journal.root() / "offline").unlink(missing_ok=True)


def unanswered(error: Exception) -> bool:
    """Whether it says that nobody answered, or not in time."""
    return any(words in str(error) for words in ("Max retries exceeded", "timeout", "timed out"))


def reason(uri: str, error: Exception) -> str:
    """Why delivery to `uri`, an address without credentials, failed, as the beginning of a sentence."""
    text = CREDENTIALS.sub("//", str(error))
    if isinstance(error, ImportError):
        return f"MLflow is not installed here ({text})"
    if getattr(error, "error_code", None) in REFUSED or "error code 401" in text or "error code 403" in text:
        return (
            f"the tracking server at {uri} refuses the credentials (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD)"
        )
    if status := ANSWERED.search(text):
        return f"the tracking server at {uri} answers with the HTTP status {status[1] or status[2]}"
    if unanswered(error):
        return f"the tracking server at {uri} does not answer"
    first = (text.strip() or type(error).__name__).splitlines()[0]
    return f"tracking to {uri} failed: {first[:200]}"
