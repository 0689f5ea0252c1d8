"""How an article is mentioned in a sentence, and whether a text mentions it."""

import re
from collections import Counter
from collections.abc import Iterable

from tasks.encyclopedia.leads import Lead, plain
from tasks.encyclopedia.names import NAME, Titles, base_title
from tasks.encyclopedia.nouns import words
from tasks.encyclopedia.passages import Passage

_PROPER = words("person place organisation work event realm people deity language")
_KINDS = words(
    "country city state province region island continent empire kingdom sea ocean river lake mountain planet "
    "prefecture territory district dynasty company university organisation organization peninsula bay gulf strait "
    "caliphate sultanate town republic band party agency war period movement era age conflict civilization "
    "revolution rebellion newspaper magazine archipelago desert county constellation galaxy"
)


_A_NAME = re.compile(NAME)
_ARTICLED = re.compile(
    r" (?:Mountains|Islands|River|Ocean|Sea|Desert|Peninsula|Empire|dynasty|Caliphate|Sultanate|Wars?|Rebellion|Alps)$|"
    r"^(?:University|Kingdom|Republic|House|Order) of "
)


class Mentions:
    """Names of the articles as a sentence uses them."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self._articles = {passage.id: passage for passage in passages if passage.id.startswith("w")}
        self._titles = Titles(self._articles.values())
        self._bases = Counter(base_title(passage.title).lower() for passage in self._articles.values())

    def lead(self, article: str) -> Lead:
        """What the first sentence says of the article."""
        return self._titles.lead[article]

    def kind(self, article: str) -> str:
        """A noun to take the article up by: "city", "country", "person"."""
        lead = self.lead(article)
        if lead.coarse == "person":
            return "person"
        if lead.fine == "capital":
            return "city"
        if lead.fine in _KINDS:
            return lead.fine
        return {"place": "place", "realm": "realm", "organisation": "organisation"}.get(lead.coarse, "thing")

    def spoken(self, article: str) -> str:
        """The article's name inside a sentence: "the Nile", "Paris", "the rock dove"; "" if it would be ambiguous."""
        passage = self._articles[article]
        title, lead = passage.title, self.lead(article)
        base = base_title(title)
        if base != title:
            qualifier = title[len(base) + 2 : -1]
            if self._bases[base.lower()] > 1 or lead.coarse in {"work", "technology", "organisation", "language"}:
                if not re.match(r"(?:\d{4} )?[a-z]", qualifier) or lead.coarse not in _PROPER | {"technology"}:
                    return ""
                return f"the {qualifier} {base}"
        if lead.coarse == "work" or lead.coarse == "person":
            return base
        text = plain(passage.text)
        small = base[:1].lower() + base[1:]
        if lead.coarse not in _PROPER and re.match(rf"{re.escape(base)}(?:s|es) ", text):
            # "Pears are a genus of trees": English speaks of pears, not of Pear.
            return small + text[len(base) :].split(" ")[0]
        generic = lead.coarse == "substance" or re.search(rf"[a-z,] {re.escape(small)}\b", text)
        name = small if generic and lead.coarse not in _PROPER and not base[:2].isupper() else base
        articled = _ARTICLED.search(name) or re.match(rf"(?:An?|The) {re.escape(base)}\b", text, re.I)
        return f"the {name}" if articled and not re.match(r"[Tt]he ", name) else name

    def of_kind(self, sentence: str, coarse: str) -> list[str]:
        """The articles of a coarse type whose full titles stand in `sentence`, in their order, each once."""
        found: list[str] = []
        for match in _A_NAME.finditer(plain(sentence)):
            article = self._titles.find(re.sub(r"'s?$|[.,]$", "", match.group()), (coarse,))
            if article and article not in found and self._articles[article].title[:1].isupper():
                found.append(article)
        return found

    def occurs(self, phrase: str, text: str) -> bool:
        """Whether the words of `phrase` stand in `text` as whole words, whatever their case and spaces."""
        pattern = r"\s+".join(re.escape(word) for word in plain(phrase).lower().split())
        return re.search(rf"(?<!\w){pattern}(?!\w)", plain(text).lower()) is not None

    def names_occur(self, article: str, text: str) -> bool:
        """Whether `text` uses one of the article's names, or for a person the last of them."""
        names = {base_title(name) for name in self._titles.names[article]}
        if self.lead(article).coarse == "person":
            last = base_title(self._articles[article].title).split(" ")[-1]
            if len(last) > 3:
                names.add(last)
        return any(self.occurs(re.sub(r"^[Tt]he ", "", name), text) for name in sorted(names) if len(name) > 2)
