"""The line above a quote, "On Friday X wrote:", and the name in it."""

import re

_VERBS = (
    r"\b(?:wrote|writes?|said|says|spake|scribbled|typed|opined|noted|mumbled|asked|uttered|claimed|babbled|sez|added|"
    r"suggested)\b"
)
_END = re.compile(
    rf"(?:{_VERBS}[^.!?]{{0,40}}[:;]\s*$"
    r"|^(?:Quoting|According to|In message|At \d).{3,120}[:,]\s*$"
    r"|^\s*(?:Also )?Sprach .{2,60}:\s*$)",
    re.IGNORECASE,
)
_BARE = re.compile(r"^\s*[A-Z][\w.'-]+(?: [A-Z][\w.'-]*){0,3}:\s*$")
_DATED = re.compile(r"^\s*[*\[(<-]*\s*(?:On|At|In|Am|Le|El|The)\s.*\d", re.IGNORECASE)
_FROM_VERB = re.compile(rf"\s*,?\s*{_VERBS}.*$", re.IGNORECASE)
_ON_BEHALF = re.compile(r"^.*\bon behalf of\b", re.IGNORECASE)
_NO_NAME = re.compile(
    r"<[^>]*>|\[[^\]]*\]|\([^)]*\)?|\S*@\S*|\bmailto:\S+|\bin (?:a )?(?:message|article)\b(?: dated)?"
    r"|^(?:quoting|according to|also sprach|sprach)\b|^.*\bvoices made\b",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"[+-]?\b\d[\d:./-]*(?:am|pm|st|nd|rd|th)?\b"
    r"|\b(?:on|at|in|the|of|am|pm|a\.m|p\.m|around|about)\b"
    r"|\b(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\b\.?"
    r"|\b(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
    r"|\b(?:GMT|UTC|EDT|EST|PDT|PST|CET|BST|IST|CEST|MDT|CDT)\b",
    re.IGNORECASE,
)
_NOBODY = frozenset(
    ("you", "he", "she", "they", "i", "we", "it", "who", "someone", "somebody", "article", "dated", "too")
)
_LONGEST_NAME = 5


def ends_attribution(line: str) -> bool:
    """Whether a line may be the last of an attribution."""
    return bool(_END.search(line))


def is_bare_name(line: str) -> bool:
    """Whether a line is a name and a colon and nothing more, which attributes what is quoted below it."""
    return bool(_BARE.match(line))


def starts_dated(line: str) -> bool:
    """Whether a line begins as "On DATE" does."""
    return bool(_DATED.match(line))


def name_in(attribution: str) -> list[str]:
    """The person whom an attribution names, in a list that is empty where it names nobody ("he wrote:")."""
    text = _NO_NAME.sub(" ", _FROM_VERB.sub("", _ON_BEHALF.sub("", attribution)))
    if starts_dated(attribution) or re.search(r"\d", text):
        text = _TIME.sub(" ", text)
    text = re.sub(r"^\s*(?:in|on)\s", "", text, flags=re.IGNORECASE)
    pieces = [" ".join(piece.strip(" '\"*-=>:;.<_+/|").split()) for piece in text.split(",")]
    pieces = [piece for piece in pieces if any(letter.isalpha() for letter in piece)]
    name = pieces[-1] if pieces else ""
    fits = name and len(name.split()) <= _LONGEST_NAME and not re.search(r"[?=@:{}\"]", name)
    return [name] if fits and name.lower() not in _NOBODY else []
