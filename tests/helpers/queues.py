"""A queue of drawings, made without a model; and the real command that serves it, in a process of its own."""

import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from picture_files import CLASSES, picture

from longtail.labelling.queue import Counts, Item, Proposer, Queue, QueueClass, QueueInfo, write_queue

DEFINITIONS = {
    "circle": "A filled disc in the middle, whatever its colours. A ring is none.",
    "cross": "Two bars that cross in the middle.",
}
DRAWN = 12  # different images of a class; a large queue shows them again and again


def make_queue(
    path: Path, count: int = 6, *, twice: int = 0, exemplars: int = 6, size: tuple[int, int] | None = None
) -> Queue:
    """`count` items in the order of their classes, of which two people see the first `twice`."""
    (path / "images").mkdir(parents=True)
    for code in range(len(CLASSES)):
        folder = path / "exemplars" / str(code)
        folder.mkdir(parents=True)
        for place in range(exemplars):
            picture(code, 100 + place).resize((40, 40)).save(folder / f"{place}.jpg")
        for number in range(min(DRAWN, count)):
            drawn = picture(code, number)
            (drawn.resize(size) if size else drawn).save(path / f"drawn-{code}-{number}.jpg")
    items = [_item(path, place, count, place < twice) for place in range(count)]
    for file in path.glob("drawn-*.jpg"):
        file.unlink()
    info = QueueInfo(
        task="shape",
        classes=[QueueClass(name=name, definition=DEFINITIONS.get(name)) for name in CLASSES],
        by="confidence",
        confidence=0.5,
        twice=twice / count if count else 0,
        seed=0,
        model=Proposer(digest="0" * 64),
        counts=Counts(looked_at=count, items=count, twice=twice),
    )
    write_queue(path, info, items)
    return Queue.open(path)


def _item(path: Path, place: int, count: int, twice: bool) -> Item:
    code = place * len(CLASSES) // count
    item = hashlib.sha256(str(place).encode()).hexdigest()
    os.link(path / f"drawn-{code}-{place % min(DRAWN, count)}.jpg", path / "images" / f"{item}.jpg")
    return Item(item, f"/home/somebody/secret/{place}.png", CLASSES[code], 0.99 - 0.4 * place / count, None, twice)


class LabelServer:
    """`longtail label` of a queue, on a free port; and a client that does as the page does."""

    def __init__(self, queue: Path, *options: str) -> None:
        command = [sys.executable, "-m", "longtail", "label", str(queue), "--port", "0", *options]
        environment = {**os.environ, "LONGTAIL_TRACKING": "off", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stderr is not None
        self.said = ""
        while not (found := re.search(r" at (http://(\S+):(\d+)/\S*)", self.said)):
            line = self.process.stderr.readline()
            assert line, self.said
            self.said += line
        self.address, self.host, self.port = found[1], found[2], int(found[3])
        self.cookie: str | None = None
        self.csrf = self.queue = ""

    def enter(self) -> None:
        """What the page does at first."""
        status, _, headers = self.ask("GET", "/" + self.address.split("/", 3)[3])
        assert status == 200
        if cookie := headers.get("Set-Cookie"):
            self.cookie = cookie.split(";")[0]
        about = self.ask("GET", "/queue")[1]
        self.csrf, self.queue = about["csrf"], about["queue"]

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str | None] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """The status, the content (of JSON what it holds) and the headers; headers of None are left out. A body that is
        a dict gets the queue, as the page does it.
        """
        own = {"Host": f"{self.host}:{self.port}", "Cookie": self.cookie}
        if method == "POST":
            own |= {"Origin": f"http://{self.host}:{self.port}", "X-CSRF-Token": self.csrf}
            own["Content-Type"] = "application/json"
        sent = {name: value for name, value in {**own, **(headers or {})}.items() if value is not None}
        body = {"queue": self.queue, **body} if isinstance(body, dict) else body
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, content, sent)
            reply = connection.getresponse()
            data = reply.read()
            found = json.loads(data) if reply.headers.get_content_type() == "application/json" else data
            return reply.status, found, dict(reply.headers)
        finally:
            connection.close()

    def next(self, who: str, ahead: int = 1) -> list[str]:
        """The items that somebody gets."""
        return [one["item"] for one in self.ask("POST", "/next", {"who": who, "ahead": ahead})[1]["items"]]

    def decide(self, who: str, item: str, decision: str) -> int:
        """Decide, and ask for nothing more; the status."""
        body = {"who": who, "item": item, "decision": decision, "seconds": 1.5, "ahead": 0}
        return self.ask("POST", "/decide", body)[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, str, str]:
        """End it as Ctrl-C does: exit status, what it printed, and what it said."""
        self.process.send_signal(2)
        printed, said = self.process.communicate(timeout=30)
        return self.process.returncode, printed, said
