"""The labelling page over HTTP: one page, what it asks, and the images of the queue; nothing else is served."""

import socket
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask, Response, abort, jsonify, make_response, request, send_file
from pydantic import BaseModel, Field, ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from longtail.labelling.guard import Guard
from longtail.labelling.journal import Choice, Who
from longtail.labelling.page import read_page
from longtail.labelling.session import Session

BODY = 4096  # bytes of a request's body
AHEAD = 12  # items that a person may have before them
IDLE = 60  # seconds until a connection that says nothing is closed


class Asked(BaseModel, extra="forbid"):
    """The body of every POST: who asks, of which queue, and how many items they want before them.

    A page that stayed open while another queue came to its address would answer what it has not shown: the same image
    may be in both, and proposed as another class.
    """

    who: Who
    queue: str
    ahead: int = Field(ge=0, le=AHEAD)


class Decision(Asked):
    """What somebody says of an item, after looking at it for `seconds`; null if it did not arrive."""

    item: str
    decision: Choice
    seconds: float | None = Field(ge=0, le=86_400)


class Undo(Asked):
    """The number of the decision that somebody takes back."""

    entry: int


Body = TypeVar("Body", bound=Asked)


class Handler(WSGIRequestHandler):
    """Says nothing of requests, whose addresses may have the token in them, and waits for no one for ever."""

    timeout = IDLE

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing."""


def serve(session: Session, guard: Guard, host: str, port: int, name: str | None = None) -> BaseWSGIServer:
    """A server that listens; `serve_forever` answers. Port 0 is any that is free. Raises OSError if there is no such
    address, or it is taken.
    """
    app = application(session, guard, name)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=128) as listening:
        return make_server(host, port, app, threaded=True, request_handler=Handler, fd=listening.fileno())


def application(session: Session, guard: Guard, name: str | None) -> Flask:
    """What is answered. `name` is offered to those who have not said who they are."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY
    page, policy = read_page()
    _guarded(app, guard, policy)
    _pictures(app, session)
    exemplars = [len(files) for files in session.queue.exemplars()]
    about = {
        "csrf": guard.csrf,
        "queue": session.queue.digest,
        "task": session.queue.info.task,
        "name": name,
        "classes": [
            {"name": one.name, "definition": one.definition, "exemplars": count}
            for one, count in zip(session.queue.info.classes, exemplars, strict=True)
        ],
    }

    @app.get("/")
    def index() -> Response:
        entered, token = make_response(page, {"Content-Type": "text/html; charset=utf-8"}), request.args.get("token")
        if guard.is_token(token):
            # No redirect follows: a browser that comes by a link from elsewhere would not show a strict cookie there.
            entered.set_cookie(guard.cookie_name, guard.cookie, httponly=True, samesite="Strict")
        elif token is not None:
            abort(403, "that is not the token; open the address that the server printed")
        return entered

    @app.get("/queue")
    def queue() -> Response:
        return jsonify(about)

    _changes(app, session)
    return app


def _changes(app: Flask, session: Session) -> None:
    """What people do; each answer has what they have before them next, and the progress."""

    def state(asked: Asked, **more: Any) -> Response:
        items = [
            {"item": one.item, "class": session.queue.number(one.proposed), "confidence": one.confidence}
            for one in session.next(asked.who, asked.ahead)
        ]
        return jsonify(items=items, progress=session.progress(asked.who)._asdict(), **more)

    def asked_of(kind: type[Body]) -> Body:
        body = _body(kind)
        if body.queue != session.queue.digest:
            abort(409, "this page is of another queue; load it again")
        return body

    @app.post("/next")
    def next_items() -> Response:
        return state(asked_of(Asked))

    @app.post("/decide")
    def decide() -> Response:
        asked = asked_of(Decision)
        if asked.item not in session.queue.items:
            abort(404, "the queue has no such item")
        try:
            entry = session.decide(asked.who, asked.item, asked.decision, seconds=asked.seconds)
        except OSError as error:
            abort(503, f"not saved: {error.strerror}")
        return state(asked, entry=entry.number)

    @app.post("/undo")
    def undo() -> Response:
        asked = asked_of(Undo)
        try:
            item = session.undo(asked.who, asked.entry)
        except OSError as error:
            abort(503, f"not saved: {error.strerror}")
        return state(asked, undone=item and item.item)


def _pictures(app: Flask, session: Session) -> None:
    exemplars = session.queue.exemplars()

    @app.get("/image/<item>")
    def image(item: str) -> Response:
        if item not in session.queue.items:
            abort(404)
        response = _jpeg(session.queue.image(item))
        response.headers["Cache-Control"] = "private, max-age=86400"  # named by its digest
        return response

    @app.get("/exemplar/<int:number>/<int:place>")
    def exemplar(number: int, place: int) -> Response:
        if number >= len(exemplars) or place >= len(exemplars[number]):
            abort(404)
        return _jpeg(exemplars[number][place])


def _jpeg(file: Path) -> Response:
    """The file. The browser may keep it and asks each time whether it is the same: another queue has the same address
    for another picture.
    """
    response = send_file(file.absolute(), mimetype="image/jpeg")
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _body(kind: type[Body]) -> Body:
    if request.mimetype != "application/json":
        abort(415, "the body must be JSON")
    try:
        return kind.model_validate_json(request.get_data())
    except ValidationError as error:
        first = error.errors()[0]
        abort(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")


def _guarded(app: Flask, guard: Guard, content_policy: str) -> None:
    """Refuse what may not be answered, before anything else looks at it; and say to browsers what they may do."""

    @app.before_request
    def look() -> None:
        if not guard.knows_host(request.headers.get("Host")):
            abort(421, "this server does not answer to that name; use the address that it printed")
        if request.path != "/" and not guard.lets_in(request.cookies.get(guard.cookie_name)):
            abort(403, "open the address with the token that the server printed")
        origin, csrf = request.headers.get("Origin"), request.headers.get("X-CSRF-Token")
        if request.method not in ("GET", "HEAD") and not guard.may_change(request.headers["Host"], origin, csrf):
            abort(403, "the request does not come from this server's page")

    @app.after_request
    def headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = content_policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Any:
        return jsonify(error=error.description), error.code
