"""One e-mail: from its bytes to who wrote it, when, in answer to what, and which of its words are the writer's own."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from email import message_from_bytes
from email.header import decode_header
from email.message import Message as Parsed
from email.utils import parseaddr, parsedate_to_datetime
from html.parser import HTMLParser

from tasks.mail.body import Body, separate

LARGEST_PART = 1 << 20
"""Bytes of a text part, as transferred, above which it is not decoded."""

_SPACES = re.compile(r"[\u00a0\u2007\u202f]")
_INVISIBLE = re.compile(r"[\u200b-\u200f\u2060\ufeff\u00ad]|[^\S\n\t ]|[\x00-\x08\x0e-\x1f\x7f]")
_REPLY = re.compile(
    r"^\s*(?:(?:re|aw|sv|antw|fwd?|fw|wg)(?:\s?\[\d+\]|\^\d+|\(\d+\))?\s?:\s*|\[[\w .:/-]{2,40}\]\s*)+", re.IGNORECASE
)
_MARK = re.compile(r"^\s*(?:\[[^\]]*\]\s*)?(?:re|aw|sv|antw)(?:\s?\[\d+\]|\^\d+)?\s?:", re.IGNORECASE)
_ID = re.compile(r"<([^<>\s]+)>")


@dataclass(frozen=True)
class Message:
    """A mail. `sender` is a display name or, without one, the address's local part; `address` is for joining only.

    `answers` are the message ids that it replies to, nearest first. `subject` is without "Re:" and list tags;
    `is_reply` says whether it had a "Re:". `date` is YYYY-MM-DD, or empty where there is none to be read. `program` is
    the mail program. `done` names what was unusual, for counting: "only HTML", "an unknown charset",
    "attachments", "a part too large to decode", "no date", "a broken structure".
    """

    id: str
    answers: tuple[str, ...]
    sender: str
    address: str
    date: str
    subject: str
    is_reply: bool
    mailing_list: str
    program: str
    body: Body
    done: tuple[str, ...]


def parse(raw: bytes) -> Message:
    """Read one mail, whatever is broken in it: this never raises, and `done` says what it met."""
    done: set[str] = set()
    parsed = message_from_bytes(raw)
    text = "\n".join(_texts(parsed, done))
    name, address = parseaddr(_header(parsed, "From"))
    address = address.lower()
    date = _date(_header(parsed, "Date"))
    if not date:
        done.add("no date")
    if parsed.defects:
        done.add("a broken structure")
    subject = _header(parsed, "Subject")
    replied = _ID.findall(_header(parsed, "In-Reply-To"))[:1]
    references = _ID.findall(_header(parsed, "References"))[::-1]
    return Message(
        id=next(iter(_ID.findall(_header(parsed, "Message-Id"))), ""),
        answers=tuple(dict.fromkeys([*replied, *references])),
        sender=_person(name, address),
        address=address,
        date=date,
        subject=bare_subject(subject),
        is_reply=bool(_MARK.match(subject)),
        mailing_list=_mailing_list(parsed),
        program=_header(parsed, "X-Mailer") or _header(parsed, "User-Agent"),
        body=separate(text),
        done=tuple(sorted(done)),
    )


def bare_subject(subject: str) -> str:
    """A subject without "Re:", "Fwd:" and the tags of mailing lists in front."""
    return _REPLY.sub("", subject).strip() or subject.strip()


def normalise(text: str) -> str:
    """Text with plain spaces for no-break ones, "\\n" for every line end, and without invisible characters."""
    return _INVISIBLE.sub("", _SPACES.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")))


def _header(parsed: Parsed, name: str) -> str:
    """A header's text on one line; what cannot be decoded is kept as it stands."""
    value = parsed.get(name)
    if value is None:
        return ""
    try:
        pieces = decode_header(value)
    except Exception:  # The standard library raises many kinds on broken encoded words.
        pieces = [(str(value), None)]
    text = "".join(
        _decode(piece, charset or "ascii")[0] if isinstance(piece, bytes) else piece for piece, charset in pieces
    )
    return " ".join(normalise(text.encode("utf-8", "replace").decode("utf-8")).split())


def _decode(data: bytes, charset: str) -> tuple[str, bool]:
    """`data` as text, and whether its charset was known and fitted; else UTF-8, else Windows' Latin."""
    for candidate in (charset, "utf-8"):
        try:
            return data.decode(candidate), candidate == charset
        except (LookupError, ValueError):
            continue
    return data.decode("cp1252", "replace"), False


def _texts(part: Parsed, done: set[str]) -> Iterator[str]:
    """The texts that a mail shows, in order; of alternatives the plain one."""
    kind = part.get_content_type()
    if part.is_multipart():
        children = [child for child in part.get_payload() if isinstance(child, Parsed)]
        if kind == "message/rfc822":
            for child in children:
                inner = "\n".join(_texts(child, done))
                yield "---- Forwarded Message ----\n" + inner
        elif kind == "multipart/alternative":
            plain = [child for child in children if child.get_content_type() == "text/plain"]
            yield from _texts((plain or children[-1:] or [Parsed()])[0], done)
        else:
            for child in children:
                yield from _texts(child, done)
    elif part.get_content_disposition() == "attachment" or part.get_content_maintype() != "text":
        done.add("attachments")
    elif kind in ("text/plain", "text/html"):
        payload = part.get_payload()
        if len(str(payload)) > LARGEST_PART:
            done.add("a part too large to decode")
            return
        data = part.get_payload(decode=True)
        text, known = _decode(data if isinstance(data, bytes) else b"", _charset(part))
        if not known:
            done.add("an unknown charset")
        if kind == "text/html":
            done.add("only HTML")
            text = html_to_text(text)
        yield normalise(text)
    else:
        done.add("attachments")


def _charset(part: Parsed) -> str:
    try:
        return str(part.get_content_charset("ascii"))
    except Exception:  # A charset parameter with a broken encoding of its own.
        return "ascii"


def _date(header: str) -> str:
    try:
        date = parsedate_to_datetime(header)
        return date.date().isoformat() if date.tzinfo is None else date.astimezone(UTC).date().isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def _person(name: str, address: str) -> str:
    """A name to show: the display name, or the address's local part where that is missing or is an address."""
    name = " ".join(name.strip(" '\"").split())
    if "@" in name or not any(letter.isalnum() for letter in name):
        name = (name if "@" in name else address).partition("@")[0].strip(" <'\"")
    return name


def _mailing_list(parsed: Parsed) -> str:
    """The list's name by its List-Id, or else the local part of the address that it is posted to."""
    found = _header(parsed, "List-Id")
    name, _, rest = found.partition("<")
    name = re.split(r"[\s.,:-]*(?:\b[Ss]ee )?https?://", name)[0].strip(" \"'.")
    if name:
        return name
    if rest:
        return rest.split(".")[0].strip("> ")
    posted = _header(parsed, "List-Post") or _header(parsed, "X-BeenThere")
    match = re.search(r"([\w.+-]+)@", posted)
    return match[1] if match else ""


def html_to_text(page: str) -> str:
    """What a page says: one line a block, "> " before what it quotes, without scripts and styles."""
    reader = _Page()
    try:
        reader.feed(page)
        reader.close()
    except (ValueError, AssertionError):  # Malformed declarations; what was read before them is kept.
        pass
    return reader.text()


class _Page(HTMLParser):
    APART = frozenset(("h1", "h2", "h3", "h4", "h5", "h6", "hr", "p", "table", "ul", "ol", "blockquote", "dl"))
    BLOCKS = APART | {"body", "br", "center", "dd", "div", "dt", "form", "li", "pre", "section", "td", "th", "tr"}
    SILENT = frozenset(("script", "style", "title", "noscript", "template"))

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[tuple[int, list[str]]] = [(0, [])]
        self.depth = 0
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.SILENT:
            self.silent += 1
        self._break(tag, 1)
        if tag == "li":
            self.lines[-1][1].append("* ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.SILENT:
            self.silent = max(0, self.silent - 1)
        self._break(tag, -1)

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.lines[-1][1].append(data)

    def _break(self, tag: str, by: int) -> None:
        if tag == "blockquote":
            self.depth = max(0, self.depth + by)
        if tag in self.BLOCKS:
            if tag in self.APART:
                self.lines.append((self.depth, []))
            self.lines.append((self.depth, []))

    def text(self) -> str:
        joined = [("> " * depth, " ".join("".join(pieces).split())) for depth, pieces in self.lines]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(line and quote + line for quote, line in joined)).strip()
