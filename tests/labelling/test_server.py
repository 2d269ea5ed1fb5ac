"""The real command over real HTTP: what it refuses, what it serves, and that a kill loses nothing."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest
from queues import LabelServer, make_queue

from longtail.errors import DataError
from longtail.labelling.decisions import decisions
from longtail.labelling.guard import Guard
from longtail.labelling.journal import read_journal
from longtail.labelling.labelling import label
from longtail.labelling.queue import Queue
from longtail.labelling.session import Session

TOKEN = "a-token-for-the-tests-of-labels"
EVIL = {"Host": "evil.example"}


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelServer]:
    """One whose queue no test writes into."""
    queue = make_queue(tmp_path_factory.mktemp("open") / "queue", 6)
    server = LabelServer(queue.path)
    server.enter()
    yield server
    server.kill()
    assert read_journal(queue.journal) == []


@pytest.fixture(scope="module")
def closed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelServer]:
    """One with a token."""
    server = LabelServer(make_queue(tmp_path_factory.mktemp("closed") / "queue", 6).path, "--token", TOKEN)
    yield server
    server.kill()


def first(server: LabelServer) -> str:
    return server.next("Ada")[0]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", ""])
@pytest.mark.parametrize("path", ["/", "/queue", "/image/x", "/nothing"])
def test_a_foreign_host_gets_nothing(open_server: LabelServer, host: str, path: str) -> None:
    status, said, _ = open_server.ask("GET", path, headers={"Host": host})
    assert status in {400, 421}
    assert "secret" not in str(said)
    assert status == 400 or "does not answer to that name" in said["error"]


@pytest.mark.parametrize("path", ["/next", "/decide", "/undo"])
@pytest.mark.parametrize(
    "headers",
    [
        {"X-CSRF-Token": None},
        {"X-CSRF-Token": "x" * 32},
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:1"},
        EVIL,
        {**EVIL, "Origin": "http://evil.example"},
    ],
)
def test_nothing_is_changed_from_another_page(
    open_server: LabelServer, path: str, headers: dict[str, str | None]
) -> None:
    body = {"who": "Eve", "ahead": 1, "item": first(open_server), "decision": "no", "seconds": 1, "entry": 0}
    assert open_server.ask("POST", path, body, headers)[0] in {403, 421}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff\xfe", 400),
        (b"{}", 400),
        ({"who": "", "ahead": 1}, 400),
        ({"who": "x" * 61, "ahead": 1}, 400),
        ({"who": "a\nb", "ahead": 1}, 400),
        ({"who": ["Ada"], "ahead": 1}, 400),
        ({"who": "Ada", "ahead": 13}, 400),
        ({"who": "Ada", "ahead": -1}, 400),
        ({"who": "Ada", "ahead": 1, "more": 1}, 400),
        (b" " * 5000, 413),
        (b"x" * 2_000_000, 413),
    ],
)
def test_a_wrong_body_is_told_and_bounded(open_server: LabelServer, body: object, status: int) -> None:
    try:
        found, said, _ = open_server.ask("POST", "/next", body)
    except (BrokenPipeError, ConnectionResetError):  # closed while a body of megabytes is still on its way
        assert status == 413
    else:
        assert found == status
        assert len(said["error"]) < 300


def test_a_decision_on_no_item_or_that_is_none_is_refused(open_server: LabelServer) -> None:
    assert open_server.decide("Ada", "0" * 64, "yes") == 404
    assert open_server.decide("Ada", "../queue.json", "yes") == 404
    assert open_server.decide("Ada", first(open_server), "perhaps") == 400
    body = {"who": "Ada", "ahead": 1, "item": first(open_server), "decision": "no", "seconds": -1}
    assert open_server.ask("POST", "/decide", body)[0] == 400
    text = {"Content-Type": "text/plain"}
    assert open_server.ask("POST", "/next", {"who": "Ada", "ahead": 1}, text)[0] == 415


def test_a_page_of_another_queue_is_told_so_and_writes_nothing(open_server: LabelServer) -> None:
    """The same image may be proposed as another class there."""
    item = first(open_server)
    for path, more in {
        "/next": {},
        "/decide": {"item": item, "decision": "yes", "seconds": None},
        "/undo": {"entry": 0},
    }.items():
        body = {"who": "Ada", "ahead": 1, "queue": "0" * 64, **more}
        status, said, _ = open_server.ask("POST", path, body)
        assert (status, said["error"]) == (409, "this page is of another queue; load it again")


def test_only_what_is_named_by_its_digest_is_kept_without_asking(open_server: LabelServer) -> None:
    """Another queue at the same address has other pictures of its classes."""
    _, _, image = open_server.ask("GET", f"/image/{first(open_server)}")
    assert image["Cache-Control"] == "private, max-age=86400"
    _, _, exemplar = open_server.ask("GET", "/exemplar/0/0")
    assert exemplar["Cache-Control"] == "private, no-cache"
    assert open_server.ask("GET", "/exemplar/0/0", headers={"If-None-Match": exemplar["ETag"]})[0] == 304


@pytest.mark.parametrize(
    "path",
    [
        "/image/../queue.json",
        "/image/..%2fqueue.json",
        "/image/%2e%2e/items.parquet",
        "/image/..%2f..%2f..%2fetc%2fpasswd",
        "/image//etc/passwd",
        "/image/" + "0" * 64,
        "/image/journal.jsonl",
        "/images/" + "0" * 64 + ".jpg",
        "/queue.json",
        "/items.parquet",
        "/static/page.html",
        "/exemplar/0/99",
        "/exemplar/9/0",
        "/exemplar/-1/0",
        "/exemplar/0/..%2f..%2fqueue.json",
        "/exemplar/99999999999999999999/0",
        "/\x7f",
    ],
)
def test_nothing_but_the_queue_is_served(open_server: LabelServer, path: str) -> None:
    status, said, _ = open_server.ask("GET", path.replace("\x7f", "%00"))
    assert status == 404
    assert isinstance(said, dict)


def test_no_path_of_the_disk_leaves_the_server(open_server: LabelServer) -> None:
    item = first(open_server)
    told = [open_server.ask("GET", path) for path in ("/", "/queue", f"/image/{item}", "/exemplar/0/0")]
    told.append(open_server.ask("POST", "/next", {"who": "Ada", "ahead": 4}))
    assert [status for status, _, _ in told] == [200] * 5
    for _, content, headers in told:
        assert "secret" not in f"{content!r}{headers}"
        assert "somebody" not in f"{content!r}{headers}"
        assert "/tmp" not in f"{content!r}{headers}"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
    assert told[2][1][:2] == told[3][1][:2] == b"\xff\xd8"


def test_without_the_token_there_is_only_an_empty_page(closed_server: LabelServer) -> None:
    for path in ("/queue", "/image/" + "0" * 64, "/exemplar/0/0", "/nothing"):
        name = Guard("127.0.0.1", TOKEN).cookie_name
        for cookie in (None, f"{name}=", f"{name}={TOKEN}", f"{name}=" + "0" * 64):
            status, said, _ = closed_server.ask("GET", path, headers={"Cookie": cookie})
            assert (status, "token" in said["error"]) == (403, True)
    assert closed_server.ask("POST", "/next", {"who": "Eve", "ahead": 1})[0] == 403
    status, page, headers = closed_server.ask("GET", "/")
    assert (status, "Set-Cookie" in headers) == (200, False)
    assert b"circle" not in page
    assert TOKEN.encode() not in page
    for wrong in ("", "x", TOKEN[:-1], TOKEN + "x", "%00", "é".encode().hex()):
        status, _, headers = closed_server.ask("GET", f"/?token={wrong}")
        assert (status, "Set-Cookie" in headers) == (403, False)


def test_the_token_is_shown_once_and_becomes_a_cookie(closed_server: LabelServer) -> None:
    headers = closed_server.ask("GET", f"/?token={TOKEN}")[2]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(headers["Set-Cookie"].split("; "))
    assert TOKEN not in headers["Set-Cookie"]
    assert closed_server.ask("GET", "/queue", headers={"Cookie": headers["Set-Cookie"].split(";")[0]})[0] == 200
    closed_server.enter()
    assert len(closed_server.next("Ada", 3)) == 3


def test_two_people_at_once_share_the_work(queue: Queue) -> None:
    """Each asks, looks and decides as fast as they can, side by side."""
    server = LabelServer(queue.path)
    server.enter()
    seen: dict[str, list[str]] = {"Ada": [], "Ben": []}

    def work(who: str) -> None:
        while items := server.next(who, 2):
            seen[who].append(items[0])
            assert server.decide(who, items[0], "yes" if who == "Ada" else "no") == 200

    threads = [threading.Thread(target=work, args=(who,)) for who in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status, printed, _ = server.end()
    assert status == 0
    twice = [one.item for one in queue.items.values() if one.twice]
    assert all(len(set(items)) == len(items) for items in seen.values())
    assert set(seen["Ada"]) & set(seen["Ben"]) == set(twice)
    found = decisions(queue.path)
    assert all(len(one.by_person) == 1 + one.item.twice for one in found.values())
    assert "2 unsure, 0 left; 2 decided by two people, κ" in printed


@pytest.mark.slow
@pytest.mark.parametrize("many", [1, 7])
def test_killed_in_mid_session_nothing_acknowledged_is_lost(tmp_path: Path, many: int) -> None:
    queue = make_queue(tmp_path / "queue", 400)
    server = LabelServer(queue.path, "--token", TOKEN)
    server.enter()
    acknowledged: dict[str, str] = {}

    def work(who: str) -> None:
        try:
            while items := server.next(who):
                if server.decide(who, items[0], "no") == 200:
                    acknowledged[items[0]] = who
        except (OSError, HTTPException, ValueError):  # it is dead: no answer, or half of one
            pass

    threads = [threading.Thread(target=work, args=(f"person {number}",)) for number in range(many)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 20:
        assert server.process.poll() is None
    server.kill()
    for thread in threads:
        thread.join()
    found = {item: set(one.by_person) for item, one in decisions(queue.path).items() if one.by_person}
    assert {item: {who} for item, who in acknowledged.items()}.items() <= found.items()
    again = LabelServer(queue.path, "--token", TOKEN)
    assert again.ask("GET", "/queue", headers={"Cookie": server.cookie})[0] == 200  # people need not come in anew
    again.enter()
    assert not set(again.next("person 0", 12)) & set(found)
    assert again.end()[0] == 0


def test_a_place_that_is_taken_is_told_in_a_sentence(queue: Queue) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DataError, match=f"cannot listen on 127.0.0.1:{port}: .*; give another --host or --port"):
            label(queue.path, name=None, host="127.0.0.1", port=port, token=None)
    with pytest.raises(DataError, match=r"cannot listen on nowhere.invalid:0: .*; give another"):
        label(queue.path, name=None, host="nowhere.invalid", port=0, token=TOKEN)
    session = Session(queue)
    with pytest.raises(DataError, match="another process serves"):
        label(queue.path, name=None, host="127.0.0.1", port=0, token=None)
    session.close()


def test_a_disk_that_refuses_is_told_and_nothing_is_lost(queue: Queue) -> None:
    server = LabelServer(queue.path)
    server.enter()
    item = first(server)
    limit = f"--fsize={queue.journal.stat().st_size + 10}:unlimited"
    subprocess.run(["prlimit", "--pid", str(server.process.pid), limit], check=True)
    assert server.decide("Ada", item, "yes") == 503
    subprocess.run(["prlimit", "--pid", str(server.process.pid), "--fsize=unlimited:unlimited"], check=True)
    assert server.decide("Ada", item, "yes") == 200
    server.kill()
    assert [entry.number for entry in read_journal(queue.journal)] == [0]
