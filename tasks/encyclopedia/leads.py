"""What an article's first sentence says its subject is, by the head noun of "X is a …" and not by the first noun."""

import re
from dataclasses import dataclass

from tasks.encyclopedia.nouns import COARSE, TRANSPARENT, coarse_type, singular, words
from tasks.encyclopedia.passages import Passage

_SPACES = str.maketrans({"\xa0": " ", "\u2009": " ", "\u202f": " ", "\n": " ", "’": "'"})
_COPULA = re.compile(r"(?<!that )(?<!which )(?<!who )\b(is|was|are|were|refers? to|(?:is|are) both)\b ")
_ADVERBS = re.compile(
    r"(?:(?:also|often|usually|generally|traditionally|typically|primarily|mainly|commonly|officially|historically|"
    r"currently|formerly|both|either|now|originally|sometimes|arguably|widely|considered|regarded|in (?:\w+ )?\w+,) )+"
)
_DETERMINER = re.compile(
    r"(?:(?:one|any|several|each|some|member|most|either) of (?:the |a |several |various |many |two |three |four )*|"
    r"(?:an?|the|any|each|two|three|four|several|various|all|those|these|his|her|its|some|another|certain) )+"
)
_PREPOSITIONS = words(
    "of in on at by for from with to between as under near since during among than until over into through across "
    "against within along around above below after before about without off via upon per behind inside beyond "
    "throughout towards toward like but while if except despite whereby because so such"
)
_RELATIVES = words(
    "that which who whom whose where when is was are were has have had can may will it he she they there"
)
_PARTICIPLES = words(
    "written spoken built known made found grown held given drawn played fought worn eaten led run native born "
    "taken seen used born set cut bound sung kept driven won shot sold taught thought told able due similar equal "
    "common prominent popular famous notable active responsible best most adjacent related characteristic capable "
    "typical unique endemic indigenous south north east west northeast northwest southeast southwest"
)
_GERUNDS = words(
    "comprising containing including involving having describing concerning dealing encompassing covering using "
    "serving lasting consisting belonging extending featuring forming occurring resulting originating ranging "
    "starring appearing allowing making providing running separating spanning stretching connecting linking "
    "referring relating pertaining participating beginning dating flowing bordering lying producing causing "
    "representing showing depicting telling carrying being giving holding studying combining focusing meaning "
    "taking bearing located situated based published released created founded developed introduced established "
    "invented designed directed owned headquartered spoken formed composed characterized characterised defined "
    "derived named called"
)
_NOUNS_IN_LY = words("family fly butterfly dragonfly jelly anomaly assembly monopoly supply reply bed seed breed")
_TRAILING = words(
    "and or often typically usually widely best commonly originally primarily mainly generally naturally largely "
    "mostly loosely normally currently traditionally initially first up out most more also together sometimes"
)


@dataclass(frozen=True)
class Lead:
    """`subject` before the verb, `verb`, `complement` after it, `heads` of the complement's noun phrase (singular)."""

    subject: str
    verb: str
    complement: str
    heads: tuple[str, ...]
    fine: str
    coarse: str


def plain(text: str) -> str:
    """`text` with every kind of space as a space, character by character, so that positions stay."""
    return text.translate(_SPACES)


def read_lead(passage: Passage) -> Lead:
    """Read the first sentence; `heads` is empty and `coarse` "other" where it has no "is a …"."""
    sentence = plain(passage.sentences[0]) if passage.sentences else ""
    bare = re.sub(r" ?\([^()]*\)", "", sentence)
    if topic := re.match(r"(?:In|For|Within|Under|As) [^,]{2,60}(?:, (?:and|or)? ?[a-z ]{2,40})?, ", bare):
        bare = bare[topic.end() :]
    copula = _COPULA.search(bare)
    if copula is None:
        return Lead(bare, "", "", (), *_by_title(passage.title))
    complement = bare[copula.end() :].rstrip(" .")
    heads = noun_heads(complement)
    fine, coarse = _typed(heads)
    if coarse in {"person", "place"} and re.match(r"An? ", bare):
        # "A judge is an official …" is a kind of person, no person.
        coarse = "concept"
    if coarse == "other":
        named, kind = _by_title(passage.title)
        fine, coarse = (named, kind) if kind != "other" else (fine, coarse)
    return Lead(bare[: copula.start()].strip(), copula.group(1), complement, heads, fine, coarse)


def noun_heads(complement: str, depth: int = 0) -> tuple[str, ...]:
    """The head nouns, singular and lower case, of the noun phrase that opens `complement` (one for each conjunct)."""
    text = complement
    if adverbs := _ADVERBS.match(text):
        text = text[adverbs.end() :]
    if determiner := _DETERMINER.match(text):
        text = text[determiner.end() :]
    tokens = text.split()
    kept: list[str] = []
    for at, word in enumerate(tokens):
        lower = word.lower().rstrip(",;:.")
        following = tokens[at + 1].lower().strip(',;:."“') if at + 1 < len(tokens) else ""
        if lower in _PREPOSITIONS or lower in _RELATIVES or (lower in _GERUNDS and (kept or at)):
            break
        verbal = lower in _PARTICIPLES or (lower.endswith(("ed", "ly")) and len(lower) > 3)
        if verbal and lower not in _NOUNS_IN_LY and (following in _PREPOSITIONS or following in {"", "and", "or"}):
            break
        kept.append(word)
        if word.endswith((";", ":")):
            break
    while kept and kept[-1].lower().strip(",;:") in _TRAILING:
        kept.pop()
    heads = []
    for part in re.split(r",? (?:and|or|and/or) |, ", " ".join(kept)):
        last = part.strip(" ,;:.\"“”'").split(" ")[-1].split("/")[-1]
        if last and last[0].isalpha():
            heads.append(singular(last.lower().split("-")[-1] if "-" in last else last.lower()))
    rest = " ".join(tokens[len(kept) :])
    if heads and heads[-1] in TRANSPARENT and rest.startswith("of ") and depth < 3:
        inner = noun_heads(rest[3:], depth + 1)
        return (*[head for head in heads[:-1] if head in COARSE], *inner) if inner else tuple(heads)
    return tuple(heads)


def _typed(heads: tuple[str, ...]) -> tuple[str, str]:
    """The first head that the lexicon knows; otherwise the last."""
    for head in heads:
        if head in COARSE:
            return head, COARSE[head]
    return (heads[-1], coarse_type(heads[-1])) if heads else ("", "other")


def _by_title(title: str) -> tuple[str, str]:
    """The type that a title's own last or first noun gives away ("Great Northern War", "Battle of Hastings")."""
    tokens = re.sub(r" \(.*\)$", "", title).split(" ")
    for word in (tokens[-1], tokens[0]) if len(tokens) > 1 else ():
        noun = singular(word.lower())
        if COARSE.get(noun) in {"event", "place", "organisation"}:
            return noun, COARSE[noun]
    return "", "other"
