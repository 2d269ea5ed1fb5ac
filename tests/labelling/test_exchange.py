"""Decisions to CSV and Label Studio's JSON and back: nothing is lost, and what does not fit is one sentence."""

import csv
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from longtail.errors import DataError
from longtail.labelling.decisions import decisions
from longtail.labelling.exchange import export_decisions, import_decisions
from longtail.labelling.journal import read_journal
from longtail.labelling.queue import Queue, write_queue
from longtail.labelling.session import Session

PEOPLE = ("Ada", "=HYPERLINK(1)", 'Émile, "dit" Zola', "'=quoted", "@x")


def decide(queue: Queue) -> None:
    session = Session(queue)
    for number, item in enumerate(list(queue.items)[:5]):
        session.decide(PEOPLE[number], item, ("yes", "no", "unsure")[number % 3], number / 8)
        session.decide("Ben", item, "no", None)
    session.undo("Ben")
    session.close()


def in_force(queue: Path) -> list[tuple[Any, ...]]:
    found = decisions(queue).values()
    entries = [entry for one in found for entry in one.by_person.values()]
    return sorted((one.item, one.who, one.when, one.decision, one.seconds) for one in entries)


@pytest.mark.parametrize("name", ["decisions.csv", "decisions.json", "DECISIONS.JSON"])
def test_what_is_exported_is_imported_again(queue: Queue, tmp_path: Path, name: str) -> None:
    shutil.copytree(queue.path, tmp_path / "other")
    decide(queue)
    assert export_decisions(queue.path, tmp_path / name).endswith(": 9 decisions on 6 items")
    assert ": 9 decisions added, 0 were there" in import_decisions(tmp_path / "other", tmp_path / name)
    assert in_force(tmp_path / "other") == in_force(queue.path)
    assert all(entry.imported for entry in read_journal(tmp_path / "other/journal.jsonl"))
    for place in (tmp_path / "other", queue.path):
        before = (place / "journal.jsonl").read_bytes()
        assert ": 0 decisions added, 9 were there" in import_decisions(place, tmp_path / name)
        assert (place / "journal.jsonl").read_bytes() == before


def test_csv_has_a_row_a_decision_and_no_cell_that_a_spreadsheet_would_run(queue: Queue, tmp_path: Path) -> None:
    decide(queue)
    export_decisions(queue.path, tmp_path / "d.csv")
    with (tmp_path / "d.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
    first = next(iter(queue.items.values()))
    assert (rows[0]["source"], rows[0]["proposed"], rows[0]["merged"]) == (first.source, "circle", "unsure")


def test_label_studio_gets_tasks_with_choices_and_predictions(queue: Queue, tmp_path: Path) -> None:
    decide(queue)
    export_decisions(queue.path, tmp_path / "d.json")
    tasks = json.loads((tmp_path / "d.json").read_text(encoding="utf-8"))
    assert len(tasks) == 6
    assert tasks[5]["annotations"] == []
    one = tasks[0]
    assert one["data"]["image"] == f"/data/local-files/?d=queue/images/{next(iter(queue.items))}.jpg"
    result = {key: one["annotations"][0]["result"][0][key] for key in ("from_name", "to_name", "type", "value")}
    assert result == {"from_name": "decision", "to_name": "image", "type": "choices", "value": {"choices": ["yes"]}}
    assert one["predictions"][0]["score"] == pytest.approx(0.99)


def test_what_label_studio_writes_itself_is_read(queue: Queue, tmp_path: Path) -> None:
    """Users as numbers or with an address, skipped tasks, drafts and further fields."""
    items = list(queue.items)

    def annotation(choice: str, by: object, *, meta: object = None, **more: object) -> dict[str, object]:
        value = {"choices": [choice]}
        result = {"id": "x", "from_name": "decision", "to_name": "image", "type": "choices", "value": value}
        result |= {"meta": meta} if meta else {}
        when = "2026-03-09T22:16:08.728353Z"
        return {"id": 1, "result": [result], "created_at": when, "lead_time": 4.3, "completed_by": by, **more}

    tasks: list[dict[str, object]] = [
        {"id": 1, "data": {"item": items[0]}, "annotations": [annotation("yes", 10)], "drafts": [], "project": 83},
        {"id": 2, "data": {"item": items[1]}, "annotations": [annotation("no", {"id": 3, "email": "a@b.c"})]},
        {"id": 3, "data": {"item": items[2]}, "annotations": [annotation("no", 10, was_cancelled=True, result=[])]},
        {"id": 4, "data": {"item": items[3]}},
        {"id": 7, "data": {"item": items[3]}, "annotations": [annotation("no", 10, result=[])]},
        {"id": 5, "data": {"item": items[4]}, "annotations": [annotation("no", 10, meta={"text": ["blurry"]})]},
        {"id": 6, "data": {"item": items[5]}, "annotations": [annotation("no", 10, meta={"text": "longtail: Zoe"})]},
    ]
    (tmp_path / "ls.json").write_text(json.dumps(tasks))
    import_decisions(queue.path, tmp_path / "ls.json")
    found = [(one.item, one.who, one.decision, one.seconds) for one in read_journal(queue.journal)]
    assert found == [
        (items[0], "Label Studio user 10", "yes", 4.3),
        (items[1], "a@b.c", "no", 4.3),
        (items[4], "Label Studio user 10", "no", 4.3),
        (items[5], "Label Studio user 10", "no", 4.3),
    ]


def test_what_was_corrected_in_label_studio_counts(queue: Queue, tmp_path: Path) -> None:
    decide(queue)
    export_decisions(queue.path, tmp_path / "d.json")
    tasks = json.loads((tmp_path / "d.json").read_text(encoding="utf-8"))
    one = next(one for one in tasks[1]["annotations"] if one["result"][0]["meta"]["text"] == [f"longtail: {PEOPLE[1]}"])
    assert one["result"][0]["value"] == {"choices": ["no"]}
    one["result"][0]["value"] = {"choices": ["yes"]}
    one["updated_at"] = (datetime.now(UTC) + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    (tmp_path / "d.json").write_text(json.dumps(tasks))
    assert ": 1 decisions added, 8 were there" in import_decisions(queue.path, tmp_path / "d.json")
    assert decisions(queue.path)[list(queue.items)[1]].by_person[PEOPLE[1]].decision == "yes"


@pytest.mark.parametrize("name", ["d.csv", "d.json"])
def test_what_was_asked_otherwise_is_refused(queue: Queue, tmp_path: Path, name: str) -> None:
    """A yes to one class is none to another: queues of several turns have images in common."""
    decide(queue)
    export_decisions(queue.path, tmp_path / name)
    items = [one._replace(proposed="cross" if one.proposed == "circle" else "circle") for one in queue.items.values()]
    other = shutil.copytree(queue.path, tmp_path / "other")
    (other / "journal.jsonl").unlink()
    write_queue(other, queue.info, items)
    with pytest.raises(DataError, match=r"says yes to 'circle' of .* asks whether it is 'cross'"):
        import_decisions(other, tmp_path / name)
    assert read_journal(other / "journal.jsonl") == []


@pytest.mark.parametrize("name", ["queue.json", "more/d.csv"])
def test_nothing_is_exported_into_the_queue(queue: Queue, name: str) -> None:
    (queue.path / "more").mkdir()
    with pytest.raises(DataError, match="lies in the queue"):
        export_decisions(queue.path, queue.path / name)
    assert Queue.open(queue.path).digest == queue.digest


HEAD = "item,who,when,decision,seconds\n"
WHEN = "2026-01-01T00:00:00Z"
SURROGATE = json.dumps(
    [
        {
            "data": {"item": "ITEM"},
            "annotations": [
                {
                    "created_at": WHEN,
                    "result": [{"value": {"choices": ["yes"]}, "meta": {"text": ["longtail: \ud800"]}}],
                }
            ],
        }
    ]
)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("d.csv", "", "holds no decisions: it has no column decision, item, when, who"),
        ("d.csv", "item,who\n", "it has no column decision, when"),
        ("d.csv", HEAD + f"{'f' * 64},Ada,{WHEN},yes,1\n", "has 1 items that are not in"),
        ("d.csv", HEAD + f"../../etc/passwd,Ada,{WHEN},yes,1\n", "has 1 items that are not in"),
        ("d.csv", HEAD + f"ITEM,Ada,{WHEN},perhaps,1\n", "decision 1 has a wrong decision: 'perhaps'"),
        ("d.csv", HEAD + f"ITEM,,{WHEN},yes,1\n", "decision 1 has a wrong who"),
        ("d.csv", HEAD + "ITEM,Ada,yesterday,yes,1\n", "decision 1 has a wrong when: 'yesterday'"),
        ("d.csv", HEAD + "ITEM,Ada,2026-01-01T00:00:00,yes,1\n", "decision 1 has a wrong when"),
        ("d.csv", HEAD + f"ITEM,Ada,{WHEN},yes,nan\n", "decision 1 has a wrong seconds"),
        ("d.csv", HEAD + f"ITEM,{'x' * 9999},{WHEN},yes,1\n", "decision 1 has a wrong who"),
        ("d.csv", HEAD + "ITEM\n", "decision 1 has a wrong who"),
        ("d.csv", HEAD + '"ITEM', "holds no decisions"),
        ("d.csv", b"\xff\xfe", "holds no decisions"),
        ("d.json", "", "holds no decisions"),
        ("d.json", "{}", "it is no list of tasks"),
        ("d.json", "[1]", "a task is not as Label Studio writes it"),
        ("d.json", '[{"data": {}, "annotations": [{}]}]', "a task is not as Label Studio writes it"),
        ("d.json", '[{"data": {"item": "ITEM"}, "annotations": [{"result": [{}]}]}]', "not as Label Studio writes it"),
        ("d.json", '[{"data": {"item": "ITEM"}, "annotations": null}]', "not as Label Studio writes it"),
        ("d.json", "[" * 100_000, "holds no decisions"),
        ("d.json", SURROGATE, "decision 1 has a wrong who"),
        ("d.txt", "x", "ends neither in .csv nor in .json"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_adds_nothing(
    queue: Queue, tmp_path: Path, name: str, content: str | bytes, says: str
) -> None:
    good = f"ITEM,Ada,{WHEN},yes,1\n"
    if isinstance(content, str):
        content += good if content.endswith("1\n") else ""
        content = content.replace("ITEM", next(iter(queue.items))).encode()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as told:
        import_decisions(queue.path, tmp_path / name)
    assert says in str(told.value)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 1000
    assert read_journal(queue.journal) == []


def test_files_that_are_not_there_are_told(queue: Queue, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        import_decisions(queue.path, tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="ends neither"):
        export_decisions(queue.path, tmp_path / "decisions")
    with pytest.raises(DataError, match="is no queue"):
        export_decisions(tmp_path / "nowhere", tmp_path / "decisions.csv")
    assert not (tmp_path / "decisions.csv").exists()
