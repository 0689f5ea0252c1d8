"""Passages of the two corpora: what they are, and how they are stored."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

Scope = Literal["public", "private"]


@dataclass(frozen=True)
class Passage:
    """An article, or a part of a mail.

    `id` is "w12" for a Wikipedia article, "f12" for an entry of the computing dictionary and "e12_p0" for part 0 of
    mail 12 (as in ConcurrentQA's own data). `title` is a mail's subject without "Re:". `text` holds the passage's own
    words in `sentences`; what a mail quotes, and the names it attributes that to, are kept apart. A mail that answers
    none has `reply_to` -1.
    """

    id: str
    scope: Scope
    title: str
    text: str
    sentences: tuple[str, ...]
    message: int = -1
    part: int = -1
    sender: str = ""
    date: str = ""
    mailing_list: str = ""
    thread: int = -1
    reply_to: int = -1
    attribution: str = ""
    quoted: str = ""
    program: str = ""

    @property
    def rendered(self) -> str:
        """The text that every retriever and reader sees."""
        if self.scope == "public":
            return f"{self.title}. {self.text}"
        header = {"From": self.sender, "List": self.mailing_list, "Date": self.date, "Subject": self.title}
        return " | ".join(f"{name}: {value}" for name, value in header.items() if value) + "\n" + self.text


def write_passages(path: Path, passages: Iterable[Passage]) -> None:
    """Write `passages` as a Parquet file, in their order."""
    import pyarrow
    import pyarrow.parquet

    rows = [{**asdict(passage), "sentences": list(passage.sentences)} for passage in passages]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def read_passages(path: Path) -> list[Passage]:
    """Read what `write_passages` wrote."""
    import pyarrow.parquet

    names = [field.name for field in fields(Passage)]
    rows = pyarrow.parquet.read_table(path, columns=names).to_pylist()
    return [Passage(**{**row, "sentences": tuple(row["sentences"])}) for row in rows]
