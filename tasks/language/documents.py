"""Documents of text: what they are, and how they are read out of the sources."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.base.errors import UserError


@dataclass(frozen=True)
class Document:
    """A text with its name, its domain and the group that may not be split."""

    domain: str
    name: str
    group: str
    text: str

    @property
    def size(self) -> int:
        """Bytes in UTF-8."""
        return len(self.text.encode())


def split_paragraphs(text: str) -> list[str]:
    """The blocks between blank lines, each with its own indentation."""
    return [block.rstrip() for block in re.split(r"\n(?:[ \t]*\n)+", text.strip("\n")) if block.strip()]


def cut(text: str, limit: int) -> str:
    """The leading paragraphs that fit in `limit` bytes; the first one is kept whatever its length."""
    blocks = split_paragraphs(text)
    size = 0
    for count, block in enumerate(blocks):
        size += len(block.encode()) + 2
        if count and size > limit + 2:
            return "\n\n".join(blocks[:count])
    return "\n\n".join(blocks)


def _content(folder: Path, name: str) -> str:
    """The text of a source's file; UserError where a folder that the user pointed at lacks it."""
    if not (folder / name).is_file():
        raise UserError(f"The source in {folder} has no {name}: see what data/sources.yaml asks of it.")
    return (folder / name).read_text(encoding="utf-8")


def read_summaries(folder: Path) -> list[Document]:
    """Encyclopedia: the opening paragraph of each English article, in `{title: {extract: …}}`."""
    articles = json.loads(_content(folder, "summaries_en-us.json"))
    return [
        Document("encyclopedia", title, title, " ".join(article["extract"].split()))
        for title, article in sorted(articles.items())
    ]


def read_modules(folder: Path) -> list[Document]:
    """Code: Python files, without the comments that state copyright or licence.

    A package is one group, and so is a module with its underscored twin (`decimal`, `_pydecimal`).
    """
    documents = []
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder)
        group = re.sub(r"^_(py)?", "", name.parts[0].removesuffix(".py"))
        blocks = split_paragraphs(path.read_text(encoding="utf-8", errors="replace").expandtabs())
        text = "\n\n".join(block for block in blocks if not _LEGAL.search(block))
        documents.append(Document("code", name.as_posix(), group, text))
    return documents


_LEGAL = re.compile(r"^\s*#.*\b(copyright|licen[sc]ed?)\b", re.IGNORECASE | re.MULTILINE)


def read_chats(folder: Path) -> list[Document]:
    """Conversation between two, called A and B: one paragraph a turn, one line a message."""
    chats = json.loads(_content(folder, "dataset.json"))
    documents = []
    for name, chat in sorted(chats.items()):
        turns = [turn for turn in chat["messages"] if turn]
        speakers = list(dict.fromkeys(turn[0]["sender"] for turn in turns))
        if len(speakers) == 2:
            lines = ["\n".join(" ".join(message["text"].split()) for message in turn) for turn in turns]
            said = [
                f"{'AB'[speakers.index(turn[0]['sender'])]}: {text}" for turn, text in zip(turns, lines, strict=True)
            ]
            documents.append(Document("conversation", name, name, "\n\n".join(said)))
    return documents


def read_theorems(folder: Path) -> list[Document]:
    """Mathematics: each section of `set.mm`, its theorems with comment and statement, without proofs."""
    sections: dict[str, list[str]] = {}
    for section, theorem in parse_metamath(_content(folder, "set.mm")):
        sections.setdefault(section, []).append(theorem)
    return [Document("mathematics", name, name, "\n\n".join(ts)) for name, ts in sections.items()]


_METAMATH = re.compile(
    r"(?<!\S)(?:"
    r"\$\(\s(?P<comment>.*?)\s\$\)"
    r"|(?P<scope>\$[{}])"
    r"|(?P<label>\S+)\s+\$(?P<kind>[eap])\s+(?P<statement>[^$]*?)\s\$[=.]"
    r")(?!\S)",
    re.DOTALL,
)
_HEADING = re.compile(r"^(#\*#\*|####|=-=-|-\.-\.)[^\n]*\n(?P<title>.*?)\n\1", re.DOTALL | re.MULTILINE)
_CREDIT = re.compile(
    r"\s*\((?:Contributed|Revised|Proof shortened|Proposed|Moved|Extracted|Modified|Shortened)\b"
    r"[^()]*(?:\([^()]*\)[^()]*)*\)"
    r"|\s*\((?:New usage|Proof modification) is discouraged\.\)"
)


def parse_metamath(database: str) -> Iterator[tuple[str, str]]:
    """Yield (section, theorem) for every asserted statement `|- …` that has a comment, in order.

    A theorem's first line is its comment without credits and dates; then come its hypotheses (`$e`)
    and the statement itself (`$a` for an axiom or definition, `$p` for a theorem).
    Grammar: Megill and Wheeler 2019, "Metamath", section 4.1.
    """
    section, count = "preface", 0
    comment, comment_end = "", 0
    hypotheses: list[str] = []
    scopes: list[int] = []
    for match in _METAMATH.finditer(database):
        if match["comment"] is not None:
            comment, comment_end = match["comment"], match.end()
            heading = _HEADING.search(comment)
            if heading:
                count += 1
                section = f"{count:04d} {' '.join(heading['title'].split())}"
        elif match["scope"] == "${":
            scopes.append(len(hypotheses))
        elif match["scope"] == "$}":
            del hypotheses[scopes.pop() :]
        else:
            line = f"{match['label']} ${match['kind']} {' '.join(match['statement'].split())} $."
            if match["kind"] == "e":
                hypotheses.append(line)
            elif match["statement"].startswith("|-") and not database[comment_end : match.start()].strip():
                prose = " ".join(_CREDIT.sub("", comment).split())
                if prose:
                    yield section, "\n".join([prose, *hypotheses, line])
