"""Nouns that first sentences use to say what something is, and the coarse type of each."""

from tasks.language.tables import read_table


def words(*lines: str) -> frozenset[str]:
    """The words of some text, as a set."""
    return frozenset(" ".join(lines).split())


_TABLE = read_table("data/concurrentqa/words.yaml")

COARSE: dict[str, str] = {noun: coarse for coarse, text in _TABLE["nouns"].items() for noun in text.split()}
"""The coarse type of a fine type (a singular noun)."""

TRANSPARENT = words(_TABLE["transparent_nouns"])
"""Nouns that say nothing themselves: the head of "type of bridge" is "bridge"."""

PEOPLE = frozenset(word for word, coarse in COARSE.items() if coarse == "person")

_IRREGULAR: dict[str, str] = _TABLE["irregular_plurals"]
_UNCHANGED: tuple[str, ...] = tuple(_TABLE["unchanged_endings"])


def singular(noun: str) -> str:
    """The singular of an English noun, lower case."""
    if noun.endswith("s") and noun[:-1] in COARSE:
        return noun[:-1]
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    for ending, plain in _IRREGULAR.items():
        if ending in {"men", "women", "people"} and noun.endswith(ending) and len(noun) > len(ending) + 2:
            return noun[: -len(ending)] + plain
    if noun.endswith(_UNCHANGED):
        return noun
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if noun.endswith(("sses", "shes", "ches", "xes", "zes", "ases", "uses")) and noun not in {
        "phases",
        "causes",
        "houses",
        "databases",
    }:
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and len(noun) > 3 else noun


def coarse_type(noun: str) -> str:
    """The coarse type of a singular noun, by its ending where the lexicon lacks it; "other" if that says nothing."""
    if noun in COARSE:
        return COARSE[noun]
    if noun.endswith(("ologist", "ographer", "wright", "woman", "ician")):
        return "person"
    if noun.endswith(("ology", "ography", "onomy", "ism")):
        return "discipline"
    return "other"
