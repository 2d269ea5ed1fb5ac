"""Decisions as Label Studio's JSON: one task an item, one annotation a decision in force.

Source: https://labelstud.io/guide/task_format. The labelling configuration that fits is in docs/labelling.md.
"""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from longtail.labelling.decisions import Decided
from longtail.labelling.journal import Entry
from longtail.labelling.queue import Queue

CONTROL, OBJECT = "decision", "image"  # the names in the labelling configuration
OURS = "longtail: "  # before the name of who decided: any other note on a result is one that people made


def written_as(queue: Queue, every: Sequence[Decided]) -> str:
    """The text of the file: all items, also those without a decision; what the model says as a prediction."""
    return json.dumps([_task(queue, one) for one in every], indent=1, ensure_ascii=False) + "\n"


def read_from(text: str) -> list[dict[str, object]]:
    """The decisions in a file of Label Studio's. Raises ValueError if it is none.

    An annotation that was skipped, or sent without a choice, has none. Who it is, is what an export of ours says, or
    else Label Studio's user.
    """
    tasks = json.loads(text)
    if not isinstance(tasks, list):
        raise ValueError("it is no list of tasks")
    try:
        return [
            _record(task["data"], annotation)
            for task in tasks
            for annotation in task.get("annotations", ())
            if not annotation.get("was_cancelled") and annotation["result"]
        ]
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"a task is not as Label Studio writes it: {error!r}") from None


def _task(queue: Queue, one: Decided) -> dict[str, Any]:
    about = one.item
    yes = {"model_version": queue.info.model.digest[:12], "score": about.confidence, "result": [_result("yes")]}
    return {
        "data": {
            "image": f"/data/local-files/?d={quote(queue.path.resolve().name)}/images/{about.item}.jpg",
            "item": about.item,
            "source": about.source,
            "proposed": about.proposed,
        },
        "annotations": [_annotation(entry) for entry in one.by_person.values()],
        "predictions": [yes],
    }


def _annotation(entry: Entry) -> dict[str, Any]:
    # Label Studio's own users are numbers; the name is kept where it keeps notes on a result.
    result = {**_result(str(entry.decision)), "meta": {"text": [f"{OURS}{entry.who}"]}}
    return {
        "result": [result],
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": entry.when.isoformat(),
        "lead_time": entry.seconds,
    }


def _result(decision: str) -> dict[str, Any]:
    return {"from_name": CONTROL, "to_name": OBJECT, "type": "choices", "value": {"choices": [decision]}}


def _record(data: Any, annotation: Any) -> dict[str, object]:
    result = annotation["result"][0]
    notes = (result.get("meta") or {}).get("text")
    ours = [note for note in notes if str(note).startswith(OURS)] if isinstance(notes, list) else []
    if not ours and isinstance(notes, list) and annotation.get("completed_by") is None:
        ours = notes[:1]  # an export of ours from before names had a mark; nobody has touched it
    return {
        "item": data["item"],
        "proposed": data.get("proposed"),
        "who": str(ours[0]).removeprefix(OURS) if ours else _user(annotation.get("completed_by")),
        # Whoever corrects a decision leaves when it was made as it is. Both are times of one form, in UTC.
        "when": max(annotation["created_at"], annotation.get("updated_at") or ""),
        "decision": result["value"]["choices"][0],
        "seconds": annotation.get("lead_time"),
    }


def _user(completed_by: Any) -> str:
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return f"Label Studio user {completed_by}" if isinstance(completed_by, int) else str(completed_by or "Label Studio")
