"""The page on which a person annotates: one picture at a time, on loopback, each edit saved before it is confirmed."""

import hashlib
import re
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from tasks.base.errors import UserError
from tools.annotate.agreement import MARKS, TOKENS
from tools.annotate.pictures import Picture, read
from tools.annotate.rounds import Annotations
from tools.annotate.store import Decision, Event, clashes, contested, versions

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

HERE = Path(__file__).parent
ASSETS = {".js": "text/javascript", ".css": "text/css"}
LONGEST = 20_000
"""Characters of a text: a caption has some hundred."""
LARGEST = 2**20
"""Bytes of a request."""
OWN = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?")
"""Hosts under which the page may be asked for. A foreign name that resolves to this machine is none (DNS rebinding)."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; sandbox"
"""A picture may be an SVG from anywhere: as an image it runs nothing, and as a page of its own neither."""


class Edit(BaseModel):
    """What the page sends to be saved. It repeats the round, the person and the bytes that it shows."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(pattern=r"^[0-9a-zA-Z-]{8,64}$")
    after: str = Field(max_length=64)
    round: int
    by: str = Field(max_length=200)
    sha256: str
    state: Decision
    text: str = Field(max_length=LONGEST)
    seconds: float = Field(ge=0, le=3600)


def application(annotations: Annotations, folder: Path, number: int, by: str) -> "FastAPI":
    """The page's server over a folder of pictures, for one person in one round."""
    from fastapi import FastAPI, HTTPException, Request, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import HTMLResponse, JSONResponse
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    template = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined).get_template(
        "annotate.html.jinja"
    )
    by_sha = {picture.sha256: picture for picture in annotations.pictures}

    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        problem = refusal(request)
        answer = JSONResponse({"detail": problem}, 403) if problem else await call(request)
        answer.headers.setdefault("Content-Security-Policy", POLICY)
        answer.headers.setdefault("Cache-Control", "no-store")
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        answer.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return answer

    @app.exception_handler(RequestValidationError)
    def misfit(request: Request, problem: RequestValidationError) -> Response:
        """In a sentence, and without what was sent: it may hold what no answer can, such as half a character."""
        return JSONResponse({"detail": f"The server did not take that: {problem.errors()[0]['msg']}."}, 422)

    def known(key: str) -> Picture:
        picture = annotations.by_key.get(key)
        if picture is None:
            raise HTTPException(404, "This picture is not among those that the server now has: reload the page.")
        return picture

    @app.get("/")
    def page() -> HTMLResponse:
        store = hashlib.sha256(str(annotations.store.resolve()).encode()).hexdigest()[:12]
        settings = {"round": number, "by": by, "store": store, "tokens": TOKENS, "marks": MARKS, "longest": LONGEST}
        return HTMLResponse(template.render(settings=settings, round=number, by=by, folder=folder.name))

    @app.get("/assets/{name}")
    def asset(name: str) -> Response:
        assets = {path.name: path for path in HERE.iterdir() if path.suffix in ASSETS}
        if name not in assets:
            raise HTTPException(404, "There is no such file.")
        return Response(assets[name].read_bytes(), media_type=ASSETS[assets[name].suffix])

    @app.get("/picture/{sha256}")
    def picture(sha256: str, request: Request) -> Response:
        if request.headers.get("sec-fetch-dest", "image") not in ("image", "empty"):
            raise HTTPException(403, "Pictures are shown on the page only.")
        found = by_sha.get(sha256)
        data = read(folder, found) if found else None
        if found is None or data is None:
            raise HTTPException(404, "This picture has changed or gone since the server started: start it again.")
        headers = {"Content-Security-Policy": PICTURE_POLICY, "Cache-Control": "private, max-age=3600",
                   "Vary": "Sec-Fetch-Dest"}  # fmt: skip
        return Response(data, media_type=found.media, headers=headers)

    @app.get("/api/pictures")
    def pictures() -> dict[str, Any]:
        with annotations.lock:
            annotations.round(number).refresh()
            listed = [line(annotations, each, number) for each in annotations.pictures]
            return {"seen": len(annotations.round(number).log.events), "last": _last(annotations, number, by),
                    "pictures": listed}  # fmt: skip

    @app.get("/api/changes")
    def changes(seen: int) -> dict[str, Any]:
        """What has changed since that many events, by whichever page."""
        with annotations.lock:
            one = annotations.round(number)
            one.refresh()
            places = dict.fromkeys(one.place(event) for event in one.log.events[max(seen, 0) :])
            touched = [annotations.by_path[path] for path in places if path]
            return {"seen": len(one.log.events), "round": number, "by": by,
                    "pictures": [line(annotations, each, number) for each in touched]}  # fmt: skip

    @app.get("/api/search")
    def search(words: str = "") -> list[str]:
        """The keys of the pictures whose path, alt-text or text has all these words."""
        wanted = words.casefold().split()
        with annotations.lock:
            annotations.round(number).refresh()
            return [
                each.key
                for each in annotations.pictures
                if all(word in _searched(annotations, each, number) for word in wanted)
            ]

    @app.get("/api/pictures/{key}")
    def one(key: str) -> dict[str, Any]:
        with annotations.lock:
            annotations.round(number).refresh()
            return detail(annotations, known(key), number, by)

    @app.post("/api/pictures/{key}")
    def save(key: str, edit: Edit) -> dict[str, Any]:
        shown = known(key)
        if (edit.round, edit.by) != (number, by):
            raise HTTPException(409, f"The server now runs round {number} for {by}: reload the page.")
        if edit.sha256 != shown.sha256:
            raise HTTPException(404, "The picture has changed since: reload the page.")
        text = edit.text.strip() if edit.state == "accepted" else edit.text
        if edit.state == "accepted" and not text:
            raise HTTPException(422, "There is no text to accept: write one, or skip the picture.")
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        kept = edit.model_dump(exclude={"text"}) | {"text": text, "image": shown.path, "time": now}
        with annotations.lock:
            log = annotations.round(number).log
            try:
                log.append(Event(**kept))
            except OSError as problem:
                raise HTTPException(507, f"Not saved, the disk says: {problem.strerror or problem}.") from None
            annotations.round(number).refresh()
            events = annotations.events(shown, number)
            place = next(place for place, event in enumerate(events) if event.id == edit.id)
            clash = clashes(events[place - 1], events[place]) if place else False
            return {"clash": clash, **line(annotations, shown, number), "versions": told(events)}

    return app


def refusal(request: "Request") -> str | None:
    """Why a request is not this page's own, if it is not: another site's page must neither read nor write here."""
    headers = request.headers
    host, site = headers.get("host", ""), headers.get("sec-fetch-site", "same-origin")
    if not OWN.fullmatch(host):
        return "Open the page as 127.0.0.1 or localhost."
    opened = request.method == "GET" and request.url.path == "/" and headers.get("sec-fetch-dest") == "document"
    if site not in ("same-origin", "none") and not opened:
        return "Another site asked for this."
    if request.method in ("GET", "HEAD"):
        return None
    if headers.get("origin") != f"http://{host}":
        return "Another site asked for this."
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return "Only JSON is taken."
    length = headers.get("content-length", "")
    return None if length.isdecimal() and int(length) <= LARGEST else "The text is too long."


def line(annotations: Annotations, picture: Picture, number: int) -> dict[str, Any]:
    """What the list has of a picture."""
    events = annotations.events(picture, number)
    return {
        "key": picture.key,
        "path": picture.path,
        "sha256": picture.sha256,
        "state": annotations.state(picture, number),
        "contested": contested(events),
        "latest": events[-1].id if events else "",
    }


def detail(annotations: Annotations, picture: Picture, number: int, by: str) -> dict[str, Any]:
    """What the page has of the picture that it shows: the texts before, the text now, and who wrote what."""
    events = annotations.events(picture, number)
    previous = annotations.previous(picture, number)
    shown = events[-1] if events else None
    if contested(events):
        shown = next((event for event in reversed(events) if event.by == by), shown)
    return {
        **line(annotations, picture, number),
        "width": picture.width,
        "height": picture.height,
        "alt": annotations.alt(picture).text,
        "previous": {"text": previous.text, "round": previous.round, "state": previous.state, "by": previous.by},
        "text": shown.text if shown else previous.text,
        "changed_picture": any(event.sha256 != picture.sha256 for event in events),
        "versions": told(events),
    }


def told(events: list[Event]) -> list[dict[str, Any]]:
    """The versions of a text with who wrote them, when, and what was decided."""
    return [event.model_dump(include={"time", "by", "state", "text"}) for event in versions(events)]


def _last(annotations: Annotations, number: int, by: str) -> str:
    """The picture to go on with: the one that this person edited last, the first one at the beginning."""
    one = annotations.round(number)
    for event in reversed(one.log.events):
        if event.by == by and (path := one.place(event)):
            return annotations.by_path[path].key
    return annotations.pictures[0].key


def _searched(annotations: Annotations, picture: Picture, number: int) -> str:
    events = annotations.events(picture, number)
    text = events[-1].text if events else annotations.previous(picture, number).text
    return f"{picture.path}\n{annotations.alt(picture).text}\n{text}".casefold()


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 is any free one.

    Raises:
        UserError: the port is taken.
    """
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(("127.0.0.1", port))
    except OSError:
        raise UserError(
            f"Port {port} is taken, perhaps by another tenfold annotate: choose another one, as in --port {port + 1}."
        ) from None
    return bound


def serve(app: "FastAPI", bound: socket.socket) -> None:
    """Serve until Ctrl-C."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[bound])
