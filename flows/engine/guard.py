"""Who may speak with the servers that this repository starts on loopback: its own programs, and its own pages.

Any web page that is open in a browser of this machine can send requests to 127.0.0.1, and Prefect's server would run
the commands that they name. So whoever asks shows a token that lies in a file only this user can read: a program in
the Authorization header, a browser in a cookie, which it gets by opening a link with the token once.
"""

import base64
import hmac
import json
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from tasks.base.files import STATE

USER = "tenfold"
TOKEN = STATE / "token"
SHAPE = re.compile(r"[A-Za-z0-9_-]{43}")
"""What a token looks like; a file with anything else is damaged."""
OPEN = ("/health", "/api/health")
"""What says nothing but that the server is up."""
UNAUTHORIZED = "Open the link that `tenfold ui` has printed; it brings the token that this page needs."
MISDIRECTED = "This server answers to its own loopback address only."
FORBIDDEN = "This server answers its own pages only."

ENTRANCE = """<!doctype html><title>tenfold</title><script>
for (const [name, value] of Object.entries(%s)) localStorage.getItem(name) ?? localStorage.setItem(name, value);
location.replace(%s + location.hash);
</script>"""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def token() -> str:
    """The secret of this checkout's servers, made when it is first needed."""
    with suppress(FileNotFoundError):
        if SHAPE.fullmatch(known := TOKEN.read_text(errors="replace")):
            return known
        TOKEN.unlink()
    TOKEN.parent.mkdir(parents=True, exist_ok=True)
    fresh = TOKEN.with_name(f".token.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(32))
    with suppress(FileExistsError):  # another process was quicker
        os.link(fresh, TOKEN)
    fresh.unlink()
    return TOKEN.read_text()


def credentials() -> str:
    """What a program shows: "user:password"."""
    return f"{USER}:{token()}"


def link(address: str) -> str:
    """What a person opens in a browser."""
    return f"{address}/?token={token()}"


class Guard:
    """An ASGI app that lets through to another one what comes from our own programs and pages.

    `port` is the one that the server listens on; `stored` is what the pages are to find in the browser's own storage
    when somebody enters for the first time.
    """

    def __init__(self, app: App, port: int, stored: Mapping[str, object] | None = None) -> None:
        self._app = app
        self._stored = {name: json.dumps(value) for name, value in (stored or {}).items()}
        self._token = token()
        self._credentials = credentials()
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        # Browsers send a host's cookies to all its ports, so each port's has a name of its own.
        self._cookie = f"tenfold-{port}"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, headers)
            return
        status, why = self._stranger(headers)
        if status:
            await _answer(send, status, why)
        elif scope["method"] == "GET" and "token" in (asked := parse_qs(scope["query_string"].decode("latin-1"))):
            await self._enter(scope, send, asked["token"][0])
        elif self._knows_token(headers) or (scope["method"] == "GET" and scope["path"] in OPEN):
            await self._app(scope, receive, send)
        else:
            await _answer(send, 401, UNAUTHORIZED)

    def _stranger(self, headers: list[tuple[str, str]]) -> tuple[int, str]:
        """With which status and sentence to refuse who asks, by the address and the page they come from; 0 if not."""
        hosts = [value for name, value in headers if name == "host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 421, MISDIRECTED  # a name that somebody has pointed at loopback
        for name, value in headers:
            if name == "origin" and value != f"http://{hosts[0]}":
                return 403, FORBIDDEN
            # A page at another port of loopback is called same-site.
            if name == "sec-fetch-site" and value not in ("same-origin", "none"):
                return 403, FORBIDDEN
        return 0, ""

    def _knows_token(self, headers: list[tuple[str, str]]) -> bool:
        for name, value in headers:
            kind, _, shown = value.partition(" ")
            if name == "authorization" and kind.lower() == "basic" and self._same(_decoded(shown), self._credentials):
                return True
            if name == "cookie" and self._same(_cookies(value).get(self._cookie, ""), self._token):
                return True
        return False

    async def _enter(self, scope: Message, send: Send, shown: str) -> None:
        """Give a browser that opens the link the cookie, and the address without the token."""
        if not self._same(shown, self._token):
            await _answer(send, 401, UNAUTHORIZED)
            return
        cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        # Never to "//somewhere", which would be another host.
        place = "/" + scope["raw_path"].decode("latin-1").lstrip("/")
        headers = {"Set-Cookie": cookie, "Referrer-Policy": "no-referrer"}
        if self._stored:
            page = ENTRANCE % (json.dumps(self._stored), json.dumps(place).replace("<", "\\u003c"))
            await _answer(send, 200, page, headers | {"Content-Type": "text/html; charset=utf-8"})
        else:
            await _answer(send, 303, "", headers | {"Location": place})

    async def _socket(self, scope: Message, receive: Receive, send: Send, headers: list[tuple[str, str]]) -> None:
        """Let a WebSocket through; some of Prefect's clients show the token only in the first message of theirs."""
        status, _ = self._stranger(headers)
        if not status and self._knows_token(headers):
            await self._app(scope, receive, send)
        elif not status and "prefect" in scope.get("subprotocols", ()):
            # Where this protocol is spoken, Prefect says nothing before it has got that message.
            await self._app(scope, self._with_token_first(receive), send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    def _with_token_first(self, receive: Receive) -> Receive:
        heard = False

        async def checked() -> Message:
            nonlocal heard
            message = await receive()
            if message["type"] != "websocket.receive" or heard:
                return message
            heard = True
            return message if self._is_token(message) else {"type": "websocket.disconnect", "code": 1008}

        return checked

    def _is_token(self, message: Message) -> bool:
        try:
            said = json.loads(message.get("text") or message.get("bytes") or "")
            return said["type"] == "auth" and self._same(said["token"], self._credentials)
        except (ValueError, KeyError, TypeError, AttributeError):
            return False

    def _same(self, shown: str, known: str) -> bool:
        return hmac.compare_digest(shown.encode(), known.encode())


def _decoded(shown: str) -> str:
    try:
        return base64.b64decode(shown, validate=True).decode()
    except ValueError:
        return ""


def _cookies(header: str) -> dict[str, str]:
    # Other programs of this machine set cookies, too, of which Python's parser may not like one.
    return {name.strip(): value.strip() for name, _, value in (each.partition("=") for each in header.split(";"))}


async def _answer(send: Send, status: int, text: str, headers: dict[str, str] | None = None) -> None:
    told = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", **(headers or {})}
    raw = [(name.lower().encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": text.encode()})
