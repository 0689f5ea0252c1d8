"""What a question can ask of a mail: its cues (what it writes about) and its details (names, figures, places)."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.concurrentqa.corpora.links import Link
from tasks.concurrentqa.corpora.mail_words import (
    EMPTY,
    GENERIC,
    KNOWN_FIRMS,
    NO_FIRST_NAMES,
    NO_LAST_NAMES,
    NO_PRODUCTS,
    PREPOSITIONS,
    UNCOUNTED,
    UNTOLD,
    UNVERSIONED,
)
from tasks.encyclopedia.passages import Passage


@dataclass(frozen=True)
class Detail:
    """Something that a sentence names: `text`, asked for as `what` ("which company", "what number of files")."""

    kind: str
    what: str
    text: str
    sentence: int


@dataclass(frozen=True)
class Cue:
    """A thing that a sentence is about, in one or two of its own words, quoted (“solar collector”, “headers”)."""

    phrase: str
    words: frozenset[str]
    sentence: int


def details(passage: Passage, links: Sequence[Link], names: Sequence[Detail]) -> list[Detail]:
    """What the passage names once: where it names two of a kind, a question about that kind would have two answers."""
    found: dict[str, list[Detail]] = defaultdict(list)
    for number, sentence in enumerate(passage.sentences):
        for detail in _figures(sentence, number):
            found[detail.what].append(detail)
    for detail in names:
        found[detail.what].append(detail)
    for link in links:
        if link.kind in _ASKED and link.surface[0].isupper():
            what, kind = f"which {_ASKED[link.kind]}", _ASKED[link.kind]
            found[what].append(Detail(kind, what, link.surface, link.sentence))
    if len(set(_YEAR.findall(passage.text))) > 1:
        found.pop("which year", None)
    for company in found.get("which company", ())[:1]:
        if KNOWN_FIRMS.intersection(re.findall(r"\w+", passage.text)) - set(company.text.split()):
            del found["which company"]
    single = []
    for _, same in sorted(found.items()):
        texts = {each.text.rstrip(".") for each in same}
        if same[0].what and len(texts) == 1 and same[0].text not in passage.sender and len(same[0].text.split()) <= 6:
            single.append(same[0])
    return single


def cues(passage: Passage, nouns: frozenset[str]) -> list[Cue]:
    """The noun phrases of one or two plain words that end in one of `nouns`, each where it first stands."""
    found: dict[frozenset[str], Cue] = {}
    for number, sentence in enumerate(passage.sentences):
        for match in _PHRASE.finditer(sentence):
            first, second = match["first"] or "", match["second"]
            bare = match["before"].lower() in PREPOSITIONS
            verbal = first.endswith("ing") or bare
            if second not in nouns or not _is_noun_like(first, second) or (first and verbal and first not in nouns):
                continue
            if bare and not first and (not second.endswith("s") or second.endswith(("ss", "us", "is"))):
                continue
            phrase = f"{first} {second}".strip()
            cue = Cue(f"“{phrase}”", bag(phrase), number)
            found.setdefault(cue.words, cue)
    return list(found.values())


def local_names(passage: Passage, first_names: frozenset[str], everyday: frozenset[str]) -> list[Detail]:
    """Persons, firms and programs that the passage names, whether once or often; `everyday` words are no surnames."""
    named = [
        detail
        for number, sentence in enumerate(passage.sentences)
        for detail in _names(sentence, number, first_names, everyday)
    ]
    return list({detail.text: detail for detail in reversed(named)}.values())


def first_names_of(passages: Iterable[Passage], people: Iterable[str]) -> frozenset[str]:
    """First names, as the senders of mails and the titles of articles on people have them."""
    names = [passage.sender for passage in passages if passage.scope == "private"] + list(people)
    words = [name.split() for name in names]
    return (
        frozenset(each[0] for each in words if len(each) in (2, 3) and re.fullmatch(r"[A-Z][a-z]{2,}", each[0]))
        - NO_FIRST_NAMES
    )


def nouns_in(texts: Iterable[str]) -> frozenset[str]:
    """The words that the texts use at least twice right between an article and the end of a noun phrase."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_NOUN.findall(text))
    return frozenset(word for word, count in counts.items() if count > 1)


def everyday_words(texts: Iterable[str]) -> frozenset[str]:
    """The words that the texts write with a small letter at least five times."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(re.findall(r"(?<![\w'’./@-])[a-z]{3,}", text))
    return frozenset(word for word, count in counts.items() if count > 4)


def stem(word: str) -> str:
    """A word without its plural ending."""
    word = word.lower()
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def bag(text: str) -> frozenset[str]:
    """The words of a text, lower case and without plural endings."""
    return frozenset(stem(word) for word in re.findall(r"[^\W_]+(?:-[^\W_]+)*", text))


def _figures(sentence: str, number: int) -> Iterable[Detail]:
    if _LABEL.match(sentence):
        return
    plain = _ADDRESSES.sub(lambda match: " " * len(match[0]), sentence)
    for match in _VERSION.finditer(plain) if len(re.findall(r"\d+", plain)) <= 8 else ():
        name = match["name"]
        if (
            not UNVERSIONED.intersection(name.lower().split())
            and not re.search(r"[A-Z]{5,}", name)
            and match["version"].count(".") < 4
        ):
            yield Detail("version", f"which version of {name}", match["version"], number)
    for match in _MONEY.finditer(plain):
        yield Detail("amount", "what sum of money", match[0].strip(), number)
    for match in _SHARE.finditer(plain):
        if not match[0].startswith("100"):
            yield Detail("percentage", "what percentage", match[0], number)
    for match in _COUNT.finditer(plain):
        things = f"{match['adjective'] or ''}{match['noun']}"
        if not set(things.split()) & UNCOUNTED and not re.fullmatch(r"(?:1[5-9]|20)\d\d|[2-6]86", match["count"]):
            yield Detail("count", f"what number of {things}", match["count"], number)
    for match in re.finditer(r"\b(?:in|since|until|from|by|of) ((?:1[89]|20)\d\d)\b(?![-/.:]\d)", plain):
        yield Detail("year", "which year", match[1], number)
    for match in re.finditer(
        r"(?<![\w/.~:])/(?:etc|usr|var|home|dev|tmp|proc|boot|lib|opt|mnt|bin|sbin)(?:/[\w.+-]*\w)+", plain
    ):
        yield Detail("file", "which file or directory", match[0], number)
    for match in re.finditer(r"https?://(?!\S*(?:sex|erotic|porn|nude))([\w-]+(?:\.[\w-]+)+)", sentence):
        yield Detail("site", "which web site", match[1], number)


def _names(sentence: str, number: int, first_names: frozenset[str], everyday: frozenset[str]) -> Iterable[Detail]:
    plain = _ADDRESSES.sub(lambda match: " " * len(match[0]), sentence)
    for match in _TWO_NAMES.finditer(plain) if not _LABEL.match(plain) else ():
        last = match["last"]
        if match["first"] in first_names and last not in NO_LAST_NAMES and last.lower() not in everyday:
            yield Detail("person", "which person", f"{match['first']} {match['middle'] or ''}{match['last']}", number)
    for match in _FIRM.finditer(plain):
        if match["name"].split()[0].lower() not in everyday:
            yield Detail("company", "which company", match["name"], number)
    for match in _TYPED.finditer(plain):
        name, noun = match["name"] or match["called"], match["noun"] or match["kind"]
        if len(name) > 2 and name.lower() not in NO_PRODUCTS:
            yield Detail("product", f"which {noun}", name, number)
    for match in _CAMEL.finditer(plain):
        yield Detail("product", "", match[0], number)


_ASKED = {
    "country": "country", "city": "city", "capital": "city", "town": "city", "company": "company",
    "corporation": "company", "newspaper": "newspaper", "continent": "continent", "university": "university",
    "planet": "planet", "language": "language",
}  # fmt: skip
"""How a question asks for an article of this kind that a mail names."""

_ADDRESSES = re.compile(r"(?:https?|ftp)://\S+|www\.\S+|\[address\]|\[telephone\]|<[^<>\s]+>|\S+@\S+")
_DETERMINERS = "the|a|an|my|our|this|his|her|their|its|your|these|those|that|some|any|The|A|An|My|Our|This|These"
_AFTER = (
    r"(?=[.,;:!?)]|$| (?:of|in|for|on|is|are|was|were|to|and|or|that|which|at|with|from|by|as|has|have|had|will|would|"
    r"can|could|should|but|who|when|where|because|if|than|into|over|under|after|before|does|did|may|might)\b)"
)
_PHRASE = re.compile(
    rf"(?<![\w'’-])(?P<before>{_DETERMINERS}|{'|'.join(sorted(PREPOSITIONS))}) "
    rf"(?:(?P<first>[a-z]{{3,}}(?:-[a-z]+)*) )?(?P<second>[a-z]{{4,}}){_AFTER}"
)
_YEAR = re.compile(r"(?<![\d/.-])(?:1[5-9]|20)\d\d(?![\d/.-]\d)")
_NOUN = re.compile(
    r"\b(?:the|an?|this|its|his|their) ([a-z]{4,})(?=[,.;]| (?:of|in|is|was|for|on|that|which|with|at|by)\b)"
)
_TWO_NAMES = re.compile(
    r"(?<![\w.@/-])(?P<first>[A-Z][a-z]{2,}) (?P<middle>[A-Z]\. )?"
    r"(?P<last>(?:Mc|Mac|O'|De|Van)?[A-Z][a-zé]{2,}(?:-[A-Z][a-z]+)?)"
    r"(?![\w@/]|['’]\w{2}|-\w)(?! (?:[A-Z][a-z]|&))"
)
_LABEL = re.compile(
    r"(?:\S+ ){0,5}\S+:$|\[.*\]$|(?:X-|Received|Return-|Delivered-|Message-|Forwarded|From:|To:|Cc:|Date:)"
)
_FIRM = re.compile(
    r"(?<![\w.@/&-])(?P<name>(?:[A-Z][\w&-]+ ){1,3}(?:Inc|Corp|Corporation|Ltd|LLC|Software|Systems|Technologies|"
    r"Networks|Labs|Laboratories|Communications|Associates|Records|Electronics|Semiconductor|Entertainment|Partners))"
    r"\b(?! [A-Z][a-z])"
)
_NOUNS = (
    "package|module|program|tool|server|library|plugin|plug-in|extension|script|project|browser|client|editor|game|"
    "magazine|newspaper|book|film|movie|conference|festival|award|band|project|distribution|protocol|standard|driver|"
    "router|laptop|camera|printer|processor|chip|site|weblog|newsletter|algorithm|format|license|licence|virus|worm|"
    "filesystem|desktop|toolkit|framework|database|utility|daemon|firewall|patch|mailer|service|network|company|firm"
)
_CAMEL = re.compile(r"(?<![\w./@-])[A-Z][a-z]+[A-Z][A-Za-z]*[a-z]\b(?![-/@_])")
_TYPED = re.compile(
    rf"\b(?:the|a|an|The|this) (?P<name>[A-Z][\w+-]*(?: [A-Z][\w+-]*)?) (?P<noun>{_NOUNS})\b(?! [A-Z])"
    rf"|\b(?P<kind>{_NOUNS}) (?:called|named) [\"“'_]?(?P<called>[A-Z][\w+-]*(?: [A-Z][\w+-]*)?)\b"
)
_VERSION = re.compile(
    r"(?<![\w./$£€-])(?<!for )(?<!to )"
    r"(?P<name>[A-Z][A-Za-z+-]*(?: [A-Z][A-Za-z+-]*){0,2}|kernel|gcc|glibc|rpm|apt|perl|python|exmh|nmh|"
    r"razor|spamassassin|mutt|procmail|sendmail|postfix|apache|openssl|openssh|ssh|alsa|mplayer|xine|ogle|gnome|kde|mysql|php)"
    r"[ -](?:version |release |v\.? ?)?(?P<version>\d+\.\d+(?:\.\d+)*(?:[-.]?(?:rc|pre|beta|alpha|cvs)\d*|-\d+)?)"
    r"(?![\w%/:]|\.\d| ?(?:%|percent|million|billion|GB|MB|am|pm))"
)
_MONEY = re.compile(
    r"(?:US|C|A)?[$£€] ?\d+(?:[,.]\d+)*(?:[ -]?(?:million|billion|trillion|bn|k|K|M|m|B))?(?![\w%])"
    r"|(?<![\w.,])\d+(?:[,.]\d+)* (?:million |billion )?(?:dollars|euros?|pounds sterling|cents)\b"
)
_SHARE = re.compile(r"(?<![\w.,-])\d+(?:\.\d+)? ?(?:%|percent\b|per cent\b)")
_WORDS_FOR_NUMBERS = "four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty"
_COUNT = re.compile(
    rf"(?<![\w.,$£€/:#-])(?<!version )(?<!than )(?<!or )(?<!to )(?<!and )"
    rf"(?P<count>\d{{1,3}}(?:,\d\d\d)+|\d{{1,6}}|{_WORDS_FOR_NUMBERS})"
    rf" (?P<adjective>(?:[a-z]{{3,}}(?:-[a-z]+)? )?)(?P<noun>[a-z]{{4,}}s)(?<!ss)(?<!us)(?<!is)\b(?![-/'’])"
)


def _is_noun_like(first: str, second: str) -> bool:
    if (
        second in (EMPTY if first else UNTOLD)
        or {first, second} & GENERIC
        or first.endswith("ly")
        or second.endswith(("ly", "ed", "ing"))
    ):
        return False
    return first != second
