"""Addresses and telephone numbers in a text, masked before anybody is shown it."""

import re

ADDRESS = "[address]"
TELEPHONE = "[telephone]"

# Wider than RFC 5322: what looks like an address to a reader is masked, whether or not a server would take it.
_LOCAL = r"(?:\"[^\"\s]{1,64}\"|[^\s@<>()\[\]\\,;:\"]{1,128})"
_HOST = r"(?:\[[^\s\]]{1,64}\]|[^\W_](?:[\w-]|\.(?=[\w-]))*)"
_ADDRESS = re.compile(rf"{_LOCAL}\\*(?:@{_HOST}|%40[\w-]+(?:\.[\w-]+)+)")
_AROUND = re.compile(r"(?<!\S)[^\s@%]*(?:@|%)\S*")
_AT, _DOT = r"\s?[\[({<]\s?at\s?[\])}>]\s?", r"\s?[\[({<]\s?dot\s?[\])}>]\s?"
_SPELLED = re.compile(
    rf"\b[\w.+-]+(?i:{_AT})[\w-]+(?:(?:(?i:{_DOT})|\s(?i:dot)\s|\.)[\w-]+)+"
    r"|\b[\w.+-]+ AT [\w-]+(?:(?: DOT |\.)[\w-]+)+"
    r"|\b(?i:[\w.+-]+ at [\w-]+(?: dot [\w-]+)+)"
)

_MAY_BE_SPELLED = re.compile(r"[\[({<]\s?at\s?[\])}>]| AT \w| at [\w-]+ dot ", re.IGNORECASE)

_BEFORE = r"(?<![\w.,:/$€£#-])"
_AFTER = r"(?![\w/:-]|[.,]\d)"
_INTERNATIONAL = rf"(?<![\w.,:/$€£#-])(?<![+])\+\d{{1,3}}[ .-]?(?:\(\d{{1,5}}\)[ .-]?)?\d(?:[ .-]?\d){{5,12}}{_AFTER}"
_AMERICAN = rf"{_BEFORE}(?:\+?1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[.-]\d{{4}}{_AFTER}"
_TOLL_FREE = rf"{_BEFORE}1[ .-]8\d\d[ .-]\d{{3}}[ .-]?\d{{4}}{_AFTER}"
_TRUNK = (
    rf"{_BEFORE}(?:\(0\d{{1,4}}\) ?|0[1-9]\d{{0,3}}[ -])(?!(?:19|20)\d\d\b)"
    rf"\d{{3,4}}[ -]?\d{{3,5}}(?:[ -]\d{{2,4}})?{_AFTER}"
)
_LABELLED = r"(?<=\b(?:{label}))(?P<gap>(?:\s?(?:no|number|#))?[.:]?\s{{0,2}})\(?[+\d](?:[ ().-]{{0,2}}\d){{5,14}}"
_LABELS = ("tel", "fax", "phone", "mobile", "telephone", "cell")
_PLAIN = re.compile("|".join((_INTERNATIONAL, _AMERICAN, _TOLL_FREE, _TRUNK)))
_AFTER_LABEL = [re.compile(_LABELLED.format(label=label) + _AFTER, re.IGNORECASE) for label in _LABELS]


def mask(text: str) -> str:
    """`text` with each e-mail address and each telephone number replaced by a word in brackets.

    No address survives, also where it is written with %40 or with "at" and "dot" in words of their own. A number is
    taken for a telephone number by its grouping, its + or the word before it, so that dates, versions, prices, sizes
    and IP numbers stay.
    """
    # Words with an "@" are found first, for that is fast, and the addresses in them after that.
    text = _AROUND.sub(lambda word: _ADDRESS.sub(ADDRESS, word[0]), text)
    if _MAY_BE_SPELLED.search(text):
        text = _SPELLED.sub(ADDRESS, text)
    text = _PLAIN.sub(TELEPHONE, text)
    for pattern in _AFTER_LABEL:
        text = pattern.sub(rf"\g<gap>{TELEPHONE}", text)
    return text
