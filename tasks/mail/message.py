"""One e-mail: from its bytes to who wrote it, when, in answer to what, and which of its words are the writer's own."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from email import message_from_bytes
from email.header import decode_header
from email.message import Message as Parsed
from email.parser import BytesHeaderParser
from email.utils import parseaddr, parsedate_to_datetime
from typing import Any

from tasks.mail import charsets
from tasks.mail.body import Body, separate
from tasks.mail.page import page_to_text

LARGEST_PART = 1 << 20
"""Bytes of a text part, as transferred, above which it is not decoded."""

DEEPEST = 50
"""Mails and parts inside each other that are read: what is further in is nobody's letter but a loop of forwards."""

_BEFORE_HEADERS = re.compile(
    rb"(?:\xef\xbb\xbf|\0+|[ \t]*\r*\n|Microsoft Mail Internet Headers[^\n]*\n|>?From [^\n]*\n)+"
)

_LOOKED_AT = 1 << 12
"""Bytes of a mail by which it is seen how its lines end."""

_SPACES = re.compile(r"[\u00a0\u2007\u202f]")
_INVISIBLE = re.compile(r"[\u200b-\u200f\u2060\ufeff\u00ad]|[^\S\n\t ]|[\x00-\x08\x0e-\x1f\x7f]")
_REPLY = re.compile(
    r"^\s*(?:(?:re|aw|sv|antw|fwd?|fw|wg)(?:\s?\[\d+\]|\^\d+|\(\d+\))?\s?:\s*|\[[\w .:/-]{2,40}\]\s*)+", re.IGNORECASE
)
_MARK = re.compile(r"^\s*(?:\[[^\]]*\]\s*)?(?:re|aw|sv|antw)(?:\s?\[\d+\]|\^\d+)?\s?:", re.IGNORECASE)
_SPELLED = re.compile(r"^([^\s@]+) at ([^\s@]+\.[^\s@]+)(?=\s|$)")
_ID = re.compile(r"<([^<>\s]+)>")


@dataclass(frozen=True)
class Message:
    """A mail. `sender` is a display name or, without one, the address's local part; `address` is for joining only.

    `answers` are the message ids that it replies to, nearest first. `subject` is without "Re:" and list tags;
    `is_reply` says whether it had a "Re:". `date` is YYYY-MM-DD, or empty where there is none to be read. `program` is
    the mail program. `done` names what was unusual, for counting: "only HTML", "an unknown charset",
    "bytes that fit no letter", "attachments", "a part too large to decode", "no date", "a broken structure", "parts
    nested too deeply".
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
    parsed = _parsed(headers_first(raw), done)
    text = "\n".join(_texts(parsed, done))
    name, address = _writer(parsed)
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


def headers_first(raw: bytes) -> bytes:
    """A mail without what programs leave before its headers: a byte order mark, empty lines, a banner, mbox's line.

    Lines that a careless transfer ended twice ("\\r\\r\\n") end once, or the first of them would be all of the headers.
    """
    if b"\r\r\n" in raw[:_LOOKED_AT]:
        raw = raw.replace(b"\r\r\n", b"\r\n")
    before = _BEFORE_HEADERS.match(raw)
    return raw[before.end() :] if before else raw


def _parsed(raw: bytes, done: set[str]) -> Parsed:
    """A mail in its parts; of one whose parts are nested too deeply for the parser, the headers alone."""
    try:
        return message_from_bytes(raw)
    except RecursionError:
        done.add("parts nested too deeply")
        parsed = BytesHeaderParser().parsebytes(raw)
        parsed.set_payload("")
        del parsed["Content-Type"]
        return parsed


def _writer(parsed: Parsed) -> tuple[str, str]:
    """Name and address. They are told apart before they are decoded, for an encoded name may hold a comma."""
    try:
        # Archives of lists on the web write "ada at engine.example (Ada Byron)".
        written = next((value for name, value in parsed.raw_items() if name.lower() == "from"), "")
        name, address = parseaddr(_SPELLED.sub(r"\1@\2", written))
    except Exception:  # The standard library raises many kinds on broken fields.
        name, address = "", ""
    if "@" in address and "=?" not in address:
        return _decoded(name), address.lower()
    name, address = parseaddr(_header(parsed, "From"))
    return name, address.lower()


def bare_subject(subject: str) -> str:
    """A subject without "Re:", "Fwd:" and the tags of mailing lists in front."""
    return _REPLY.sub("", subject).strip() or subject.strip()


def normalise(text: str) -> str:
    """Text with plain spaces for no-break ones, "\\n" for every line end, and without invisible characters."""
    return _INVISIBLE.sub("", _SPACES.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")))


def _header(parsed: Parsed, name: str) -> str:
    """A header's text on one line; what cannot be decoded is kept as it stands."""
    value = parsed.get(name)
    return "" if value is None else _decoded(value)


def _decoded(value: Any) -> str:
    try:
        pieces = decode_header(value)
    except Exception:  # The standard library raises many kinds on broken encoded words.
        pieces = [(str(value), None)]
    text = ""
    for piece, charset in pieces:
        # The parser keeps bytes that are not ASCII as surrogates.
        data = piece if isinstance(piece, bytes) else piece.encode("utf-8", "surrogateescape")
        text += charsets.decode(data, charset or "utf-8")[0]
    return " ".join(normalise(text.encode("utf-8", "replace").decode("utf-8")).split())


def _texts(part: Parsed, done: set[str], depth: int = 0) -> Iterator[str]:
    """The texts that a mail shows, in order; of alternatives the plain one, unless it is blank."""
    if depth > DEEPEST:
        done.add("parts nested too deeply")
        return
    if not part.is_multipart():
        yield from _text(part, done)
        return
    children = [child for child in part.get_payload() if isinstance(child, Parsed)]
    if part.get_content_type() == "message/rfc822":
        for child in children:
            yield "---- Forwarded Message ----\n" + "\n".join(_texts(child, done, depth + 1))
    elif part.get_content_type() == "multipart/alternative":
        plain = [child for child in children if child.get_content_type() == "text/plain"]
        for child in (*plain[:1], *children[::-1]):
            text = "\n".join(_texts(child, done, depth + 1))
            if any(letter.isalnum() for letter in text):
                yield text
                return
    else:
        for child in children:
            yield from _texts(child, done, depth + 1)


def _text(part: Parsed, done: set[str]) -> Iterator[str]:
    """What a part without parts says: its text, if it is one and no attachment."""
    kind = part.get_content_type()
    if part.get_content_disposition() == "attachment" or kind not in ("text/plain", "text/html"):
        done.add("attachments")
        return
    if len(str(part.get_payload())) > LARGEST_PART:
        done.add("a part too large to decode")
        return
    data = part.get_payload(decode=True)
    text, how = charsets.decode(data if isinstance(data, bytes) else b"", _charset(part))
    if how == charsets.MENDED:
        done.add("bytes that fit no letter")
    if how == charsets.GUESSED:
        done.add("an unknown charset")
    if kind == "text/html":
        done.add("only HTML")
        text = page_to_text(text)
    yield normalise(text)


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
