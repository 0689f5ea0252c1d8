"""A mail's text taken apart: the writer's own words, what is quoted, who is quoted, and the signature."""

import re
from dataclasses import dataclass

from tasks.mail.attribution import ends_attribution, is_bare_name, name_in, starts_dated

_MARK = re.compile(r"^\s{0,4}(?:[A-Za-z]{0,4}[>»]|[A-Z][a-z]{1,12}> |[-+&=~`]{1,3}[>\]]|\|(?=\s|$)|[:})%](?=\s|$))")
_OTHER_MARK = re.compile(r"^\s{0,4}([^\w\s\"'(\[<*•-]{1,3})(?=\s|$)")
_CUT = re.compile(
    r"^[\s>]*(?:-{2,}\s?)?(?:original message|forwarded message|forwarded by .*|forwarded text|begin forwarded message"
    r"|start of forwarded message|message d'origine|urspr.ngliche nachricht)\b.{0,40}?(?:-{2,}|:|$)|^-{3,} begin\b",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r"^\s*\*?(?:From|Sent|Date|To|Cc|Subject|Reply-To|Newsgroups|Message-ID|Organi[sz]ation|X-[\w-]+):\*?(?:\s|$)", re.I
)
_FIRST_FIELD = re.compile(r"^\s*\*?(?:From|Date|Subject|To):\*?\s")
_FROM = re.compile(r"^\s*\*?From:\*?\s+(.*)")
_RULE = re.compile(r"^\s*(?:[_=*~#+-]\s?){8,}\s*$|^[-=_*]{3,}\s*$")
_LEFT_OUT = re.compile(r"^\s*(?:[\[<({]\s*)?(?:\.{3}|…|snip\w*|-+ ?snip ?-+)(?:[^\w\n]|\bsnip\w*)*$", re.IGNORECASE)
_FOOTER = re.compile(
    r"mailing list|mailman/listinfo|yahoo|subscri|sponsored by|msn\b|hotmail|list maintainer|e-?mail is|"
    r"https?://lists?\.|confidential|intended recipient|this message (?:has been|was)|free email|thinkgeek|"
    r"sf\.net|virus|privileged|disclaimer",
    re.IGNORECASE,
)
_LIST_LINE = re.compile(
    r"^\W*(?:(?:if you wish )?to (?:un)?subscribe\b|to remove yourself|(?:un)?subscribe\s?[|?:]|your use of yahoo|"
    r"you are (?:being sent|receiving|currently subscribed)|your subscribed e-?mail|do you yahoo|get your free|"
    r"send and receive hotmail|join the world.s largest|https?://\S+/listinfo/\S+\s*$|chat with friends online|"
    r"msn photos|[\w][\w' -]{1,40} mailing list\s*$|the e-?mail address for your subscription)",
    re.IGNORECASE,
)
_SPONSOR = re.compile(r"^-{10,} Yahoo! Groups Sponsor")
_UUENCODED = re.compile(r"^begin [0-7]{3} \S")
_ARMOUR = re.compile(r"^-----(BEGIN|END) PGP ([A-Z ]+)-----")
_LONGEST_SIGNATURE = 15
_HEADER_LINES = 8


@dataclass(frozen=True)
class Body:
    """The parts of a mail's text. `attribution` are the names in "X wrote:", in order."""

    own: str
    quoted: str
    attribution: tuple[str, ...]
    signature: str


def separate(text: str) -> Body:
    """Take a mail's text apart, line by line.

    Quotes are lines that begin with a mark (">", "Tom>", "|", …) or with whatever else follows "X wrote:" on every
    line, and all that follows "Original Message" or a copied header, unless marked quotes follow that.
    """
    lines = _without_armour([line.rstrip() for line in text.split("\n")])
    own: list[str] = []
    quoted: list[str] = []
    names: list[str] = []
    mark = ""
    index = 0
    while index < len(lines):
        line = lines[index]
        skipped = _copied_header(lines, index)
        if skipped:
            names += _authors(lines[index : index + skipped])
            after = next((later for later in lines[index + skipped :] if later.strip()), "")
            until = index + skipped if _is_quote(after, "") else len(lines)
            quoted += lines[index:until]
            index = until
            continue
        if _is_quote(line, mark):
            _take_attribution(own, names)
            quoted.append(_MARK.sub("", line.replace(mark, "", 1) if mark else line, count=1).strip())
        else:
            own.append(line)
            if ends_attribution(line):
                mark = _other_mark(lines[index + 1 : index + 8]) or mark
        index += 1
    own, signature = _signature(_without_attributions(own, names))
    return Body(_tidy(own), _tidy(quoted), tuple(dict.fromkeys(names)), _tidy(signature))


def _is_quote(line: str, mark: str) -> bool:
    """Whether a line is marked as a quote, by a usual mark or by this mail's own; a drawn table's rows are not."""
    if mark and line.lstrip().startswith(mark):
        return True
    stripped = line.strip()
    is_row = stripped.startswith("|") and len(stripped) > 1 and stripped.endswith("|")
    return bool(_MARK.match(line)) and not is_row


def _other_mark(lines: list[str]) -> str:
    """An unusual mark that the next lines share, three or more of them, as in "# "; or ""."""
    following = [line for line in lines if line.strip()][:3]
    found = {match[1] for line in following if (match := _OTHER_MARK.match(line))}
    return found.pop() if len(found) == 1 and all(_OTHER_MARK.match(line) for line in following) else ""


def _take_attribution(own: list[str], names: list[str]) -> bool:
    """Take the one to three lines "On DATE X wrote:" off the end of `own`, and note the name."""
    end = len(own)
    while end and not own[end - 1].strip():
        end -= 1
    if not end or end < len(own) - 2 or not (ends_attribution(own[end - 1]) or is_bare_name(own[end - 1])):
        return False
    start = _attribution_start(own, end)
    names += name_in(" ".join(line.strip() for line in own[start:end]))
    del own[start:]
    return True


def _attribution_start(own: list[str], end: int) -> int:
    """Where the attribution that ends before `end` begins: at most two lines further up, at its "On DATE"."""
    if not starts_dated(own[end - 1]):
        for start in (end - 2, end - 3):
            if start < 0 or not own[start].strip():
                break
            if starts_dated(own[start]):
                return start
    return end - 1


def _without_attributions(own: list[str], names: list[str]) -> list[str]:
    """Own lines without "On DATE X wrote:" whose quote was cut out by the writer."""
    kept: list[str] = []
    for line in own:
        kept.append(line)
        if ends_attribution(line):
            start = _attribution_start(kept, len(kept))
            if starts_dated(kept[start]) or re.search(r"<\S+@\S+>", line):
                names += name_in(" ".join(part.strip() for part in kept[start:]))
                del kept[start:]
    return kept


def _copied_header(lines: list[str], index: int) -> int:
    """How many lines "Original Message" and a copied header ("From: … Sent: … Subject: …") take here; 0 if none."""
    cut = bool(_CUT.match(lines[index]))
    if not cut and not _FIRST_FIELD.match(lines[index]):
        return 0
    end = index + cut
    fields = 0
    for place in range(end, min(end + _HEADER_LINES, len(lines))):
        if _FIELD.match(lines[place]):
            fields += 1
            end = place + 1
        elif lines[place].strip() and not (fields and lines[place][:1].isspace()):
            # Some programs wrap a field without indenting what follows: more of the header must come after that.
            wrapped = fields and place + 1 < len(lines) and _FIELD.match(lines[place + 1])
            if not wrapped:
                break
    return end - index if cut or fields >= 3 else 0


def _authors(header: list[str]) -> list[str]:
    for place, line in enumerate(header):
        if match := _FROM.match(line):
            wrapped = header[place + 1 : place + 2]
            more = wrapped[0] if wrapped and not _FIELD.match(wrapped[0]) else ""
            return name_in(f"{match[1]} {more} wrote:")
    return []


def _without_armour(lines: list[str]) -> list[str]:
    """Lines without PGP's signatures, files that are written out in uuencode, and advertisements of Yahoo's lists."""
    kept: list[str] = []
    inside = False
    for line in lines:
        match = _ARMOUR.match(line)
        if match:
            inside = match[1] == "BEGIN" and match[2] != "SIGNED MESSAGE"
        elif _SPONSOR.match(line) or _UUENCODED.match(line):
            inside = True
        elif inside and (line == "end" or re.match(r"^-{10,}[-~_>]*$", line)):
            inside = False
        elif not inside and not re.match(r"^Hash: (?:SHA|MD|RIPEMD)\d+", line):
            kept.append(line)
    return kept


def _signature(own: list[str]) -> tuple[list[str], list[str]]:
    """Split own lines where the signature, or what a list or a mail service adds, begins."""
    filled = [index for index, line in enumerate(own) if line.strip()]
    for index in filled[-_LONGEST_SIGNATURE - 1 :]:
        line = own[index]
        rest = [other for other in own[index + 1 :] if other.strip()]
        if (
            line.strip() in ("--", "---", "-----", "- --")
            or (_RULE.match(line) and any(_FOOTER.search(other) for other in rest[:6]))
            or _LIST_LINE.match(line)
        ):
            return own[:index], own[index:]
    return own, []


def _tidy(lines: list[str]) -> str:
    """Lines as one text, at most one blank line in a row, and rules without words left out."""
    kept = [line for line in lines if not _RULE.match(line) and not _LEFT_OUT.match(line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")
