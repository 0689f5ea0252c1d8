"""The articles of the encyclopedia as passages: one for each article, its opening paragraphs."""

import json
from pathlib import Path

from tasks.base.errors import UserError
from tasks.encyclopedia.passages import Passage
from tasks.mail.masking import mask
from tasks.mail.message import normalise
from tasks.mail.sentences import sentences


def read_articles(folder: Path) -> list[Passage]:
    """Each article's opening paragraphs as one passage, numbered in the order of titles."""
    path = folder / "summaries_en-us.json"
    if not path.is_file():
        raise UserError(f"The source in {folder} has no summaries_en-us.json: see what data/sources.yaml asks of it.")
    articles: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return [
        article(f"w{number}", title, record["extract"])
        for number, (title, record) in enumerate(sorted(articles.items()))
    ]


def article(name: str, title: str, text: str) -> Passage:
    """A public passage."""
    said = sentences(" ".join(mask(normalise(text)).split()))
    title = " ".join(normalise(title).split())
    return Passage(id=name, scope="public", title=title, text=" ".join(said), sentences=tuple(said))
