"""Text corpora: documents of several domains, de-duplicated, split, and checked for leaks.

A document belongs to a group (a package, a section of a book of theorems) that lies wholly on one
side of the split. Repeated paragraphs are dropped before the split; afterwards a training paragraph
goes when the held-out text contains most of it, so the two sides share no document, no near-copy and
no long span.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.config import Count, Fraction, Index, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.language.documents import (
    Document,
    cut,
    read_chats,
    read_modules,
    read_summaries,
    read_theorems,
    split_paragraphs,
)

SPAN = 200
"""Characters: no span this long may stand in both training and held-out text."""


@config
class Domains:
    """How large the corpora are, and what counts as a copy. Sizes are in UTF-8 bytes.

    `heldout_bytes` is a floor a domain, `train_bytes` a ceiling. A document is cut at a paragraph
    after `longest_train` or `longest_heldout` bytes, for variety, and one shorter than
    `shortest_document` is left out. A paragraph is a copy when more than `copied_share` of its
    `shingle_words`-word shingles occur on the other side. `mixed_documents` change domain once, after
    about `mixed_side_bytes`.
    """

    seed: Index = 0
    train_bytes: Count = 2_500_000
    heldout_bytes: Count = 150_000
    shortest_document: Count = 200
    longest_train: Count = 16_000
    longest_heldout: Count = 5_000
    mixed_documents: Count = 180
    mixed_side_bytes: Count = 800
    shingle_words: Count = 8
    copied_share: Fraction = 0.5


def prepare_domains(*, wikipedia: Path, stdlib: Path, metamath: Path, chats: Path, config: Domains, out: Path) -> None:
    """Write `train`, `heldout` and `mixed` (Parquet) and `sizes.json` for three domains.

    `train` and `heldout` have the columns domain, document, text; `mixed` has document, kind, first,
    second, switch_byte, text, where `switch_byte` is the offset of the change in the text's UTF-8 bytes.
    Real switches (a docstring before its code, a comment before its formula) begin with `prose`;
    `concatenated` ones join two held-out documents of different domains. Where Metamath is not
    available the chats take the place of mathematics. Raises UserError when a domain is too small.
    """
    sources = {"encyclopedia": wikipedia, "code": stdlib, "mathematics": metamath}
    read = {"encyclopedia": read_summaries, "code": read_modules, "mathematics": read_theorems}
    if (metamath / "unavailable.json").exists():
        del sources["mathematics"], read["mathematics"]
        sources["conversation"], read["conversation"] = chats, read_chats
        spool.note("Metamath is not available here, so conversations stand in for mathematics.")
    documents = [document for domain in sources for document in read[domain](sources[domain])]
    train, heldout = split(documents, config)
    mixed = mix(heldout, config)
    heldout = [replace(d, text=cut(d.text, config.longest_heldout)) for d in heldout]
    _write_rows(out / "train.parquet", map(_row, train))
    _write_rows(out / "heldout.parquet", map(_row, heldout))
    _write_rows(out / "mixed.parquet", mixed)
    sizes = _sizes(sources, train, heldout, mixed)
    (out / "sizes.json").write_text(json.dumps(sizes, indent=1, sort_keys=True) + "\n")
    spool.table("sizes", sizes)


# ------------------------------------------------------------------ de-duplication and split


def split(documents: list[Document], config: Domains) -> tuple[list[Document], list[Document]]:
    """Return (train, heldout): no shared group, near-copy or span of `SPAN` characters between them.

    Both are in an order drawn by the seed. The held-out documents are whole, so that real switches of
    domain can be found in them; what is written of them is their first `longest_heldout` bytes. A
    group that would fill a fifth of that goes to training, so that the held-out text is varied.
    """
    documents = [d for d in drop_repeats(documents) if d.size >= config.shortest_document]
    documents.sort(key=lambda d: _draw(config.seed, d.domain, d.name))
    heldout = [d for name in _domains(documents) for d in _hold_out(documents, name, config)]
    held_groups = {(d.domain, d.group) for d in heldout}
    copies = _Copies(heldout, config)
    train: list[Document] = []
    left = dict.fromkeys(_domains(documents), config.train_bytes)
    for document in documents:
        if (document.domain, document.group) in held_groups:
            continue
        clean = replace(document, text=copies.leave_out(cut(document.text, config.longest_train)))
        fits = config.shortest_document <= clean.size <= left[clean.domain]
        if fits and not _shares_span(clean.text, copies.windows):
            copies.remember(clean.text)
            left[clean.domain] -= clean.size
            train.append(clean)
    heldout = [replace(d, text=copies.leave_out_remembered(d.text)) for d in heldout]
    heldout = [d for d in heldout if d.size >= config.shortest_document]
    # Paragraphs that left have made new neighbours, so the rule about spans is applied to the final texts.
    windows = _windows(heldout)
    return [d for d in train if not _shares_span(d.text, windows)], heldout


def drop_repeats(documents: list[Document]) -> list[Document]:
    """Drop each paragraph of 80 characters or more that an earlier document has, but for spacing and case.

    Licence headers and shared boilerplate leak between the sides of a split; short lines
    (`import os`) are the language itself and stay.
    """
    first: dict[str, str] = {}
    kept = []
    for document in documents:
        paragraphs = []
        for paragraph in split_paragraphs(document.text):
            key = " ".join(paragraph.casefold().split())
            if len(key) < 80 or first.setdefault(key, document.name) == document.name:
                paragraphs.append(paragraph)
        kept.append(replace(document, text="\n\n".join(paragraphs)))
    return kept


class _Copies:
    """The shingles and windows of the held-out text, and those shingles that training text had as well."""

    def __init__(self, heldout: list[Document], config: Domains) -> None:
        self.size, self.share = config.shingle_words, config.copied_share
        self.windows = _windows(heldout)
        self.shingles = {shingle for document in heldout for shingle in self._shingles(document.text)}
        self.remembered: set[str] = set()

    def leave_out(self, text: str) -> str:
        """Drop the paragraphs of a training text that the held-out text mostly contains."""
        blocks = split_paragraphs(text)
        return "\n\n".join(
            b for b in blocks if not self._copied(b, self.shingles) and not _shares_span(b, self.windows)
        )

    def remember(self, text: str) -> None:
        """Note which of the held-out shingles this training text contains."""
        self.remembered.update(self.shingles.intersection(self._shingles(text)))

    def leave_out_remembered(self, text: str) -> str:
        """Drop the paragraphs of a held-out text that the training texts together mostly contain."""
        return "\n\n".join(b for b in split_paragraphs(text) if not self._copied(b, self.remembered))

    def _shingles(self, text: str) -> list[str]:
        words = text.casefold().split()
        return [" ".join(words[i : i + self.size]) for i in range(len(words) - self.size + 1)]

    def _copied(self, block: str, shingles: set[str]) -> bool:
        own = self._shingles(block)
        return sum(shingle in shingles for shingle in own) > self.share * len(own)


def _windows(documents: list[Document]) -> set[str]:
    """Every stretch of half a span in the documents."""
    half = SPAN // 2
    return {d.text[i : i + half] for d in documents for i in range(len(d.text) - half + 1)}


def _shares_span(text: str, windows: set[str]) -> bool:
    """Whether the text may share a span: each span of SPAN characters covers one of these half steps."""
    half = SPAN // 2
    return any(text[i : i + half] in windows for i in range(0, len(text) - half + 1, half))


def _hold_out(documents: list[Document], domain: str, config: Domains) -> list[Document]:
    groups: dict[str, list[Document]] = {}
    for document in documents:
        if document.domain == domain:
            groups.setdefault(document.group, []).append(document)
    taken: list[Document] = []
    size = 0
    for name in sorted(groups, key=lambda group: _draw(config.seed, domain, "group", group)):
        group_size = sum(len(cut(d.text, config.longest_heldout).encode()) for d in groups[name])
        if 5 * group_size <= config.heldout_bytes:
            taken += groups[name]
            size += group_size
        # A twentieth more than asked for, because near-copies of training text are still to go.
        if 20 * size >= 21 * config.heldout_bytes:
            return taken
    raise UserError(
        f"The {domain} documents are too few for {config.heldout_bytes} held-out bytes: "
        "point its source at more text, or ask for less with heldout_bytes."
    )


def _draw(seed: int, *names: str) -> str:
    """A place in an order that depends on the seed and the names alone, not on the other documents."""
    return hashlib.sha256("\0".join([str(seed), *names]).encode()).hexdigest()


def _domains(documents: list[Document]) -> list[str]:
    return sorted({d.domain for d in documents})


# ------------------------------------------------------------------ mixed documents


def mix(heldout: list[Document], config: Domains) -> list[dict[str, Any]]:
    """Rows of documents that change domain once, from held-out documents only.

    A third each are real prose before real code, real prose before real formulas, and concatenations;
    where the real ones are fewer, concatenations take their place.
    """
    rows = []
    for found in (docstrings(heldout, config), comments(heldout, config)):
        found.sort(key=lambda row: _draw(config.seed, row["document"]))
        rows += found[: config.mixed_documents // 3]
    return rows + concatenations(heldout, config.mixed_documents - len(rows), config)


_DOCSTRING = re.compile(
    r'^(?P<indent> *)[rR]?"""(?P<prose>[^"]+?)\s*"""\n(?P<code>.+?)(?=\n[^\n]*"""|\Z)',
    re.DOTALL | re.MULTILINE,
)


def docstrings(heldout: list[Document], config: Domains) -> list[dict[str, Any]]:
    """Real prose before real code: a long docstring without examples, then the code that follows it."""
    rows = []
    for document in (d for d in heldout if d.domain == "code"):
        for match in _DOCSTRING.finditer(document.text):
            lines = match["prose"].lstrip().split("\n")
            prose = "\n".join(line.removeprefix(match["indent"]) for line in lines)
            code = cut(match["code"].strip("\n"), config.mixed_side_bytes)
            if _is_prose(prose, config) and 4 * len(code.encode()) >= config.mixed_side_bytes:
                name = f"{document.name}, line {document.text.count(chr(10), 0, match.start()) + 1}"
                rows.append(_mixed(name, "docstring", "prose", "code", prose + '\n"""\n', code))
    return rows


def comments(heldout: list[Document], config: Domains) -> list[dict[str, Any]]:
    """Real prose before real formulas: a theorem's long comment, then its hypotheses and statement."""
    rows = []
    for document in (d for d in heldout if d.domain == "mathematics"):
        for theorem in split_paragraphs(document.text):
            prose, formulas = theorem.split("\n", 1)
            if _is_prose(prose, config):
                label = formulas.rsplit("\n", 1)[-1].split()[0]
                rows.append(_mixed(label, "comment", "prose", "mathematics", prose + "\n", formulas))
    return rows


def _is_prose(text: str, config: Domains) -> bool:
    """Whether a text is mostly words, and a third to twice as long as one side of a mixed document."""
    words = sum(character.isalpha() or character in " \n" for character in text)
    size = len(text.encode())
    fits = config.mixed_side_bytes <= 3 * size and size <= 2 * config.mixed_side_bytes
    return fits and ">>>" not in text and words > 0.88 * len(text)


def concatenations(heldout: list[Document], count: int, config: Domains) -> list[dict[str, Any]]:
    """Join pieces of held-out documents of two domains, each ordered pair of domains in turn."""
    domains = _domains(heldout)
    pairs = [(first, second) for first in domains for second in domains if first != second]
    documents = {domain: [d for d in heldout if d.domain == domain] for domain in domains}
    rows = []
    for i in range(count):
        turn, pair = divmod(i, len(pairs))
        # Each pair starts elsewhere in its domains, so that documents meet different partners.
        sides = [
            documents[d][(turn + pair * (len(documents[d]) // len(pairs))) % len(documents[d])] for d in pairs[pair]
        ]
        before, after = (cut(_body(side), config.mixed_side_bytes) for side in sides)
        name = " + ".join(side.name for side in sides)
        rows.append(_mixed(name, "concatenated", *pairs[pair], before + "\n\n", after))
    return rows


def _body(document: Document) -> str:
    """The text, for code from its first class or function on: what comes before is mostly prose."""
    start = re.search(r"^(?:class \w.*:$|def \w+\(|async def|@\w)", document.text, re.MULTILINE)
    return document.text[start.start() :] if start and document.domain == "code" else document.text


def _mixed(name: str, kind: str, first: str, second: str, before: str, after: str) -> dict[str, Any]:
    return {
        "document": name,
        "kind": kind,
        "first": first,
        "second": second,
        "switch_byte": len(before.encode()),
        "text": before + after,
    }


# ------------------------------------------------------------------ output


def _row(document: Document) -> dict[str, Any]:
    return {"domain": document.domain, "document": document.name, "text": document.text}


def _write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    Dataset.from_list(list(rows)).to_parquet(str(path))


def _sizes(
    sources: dict[str, Path], train: list[Document], heldout: list[Document], mixed: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    rows = []
    for domain, folder in sources.items():
        source = json.loads((folder / "source.json").read_text(encoding="utf-8"))
        origin = {"source": source["name"], "sha256": source["sha256"]}
        for name, documents in (("train", train), ("heldout", heldout)):
            own = [d.size for d in documents if d.domain == domain]
            rows.append({"domain": domain, "split": name, "documents": len(own), "bytes": sum(own), **origin})
    for kind in sorted({row["kind"] for row in mixed}):
        own = [len(row["text"].encode()) for row in mixed if row["kind"] == kind]
        size = {"documents": len(own), "bytes": sum(own)}
        rows.append({"domain": kind, "split": "mixed", **size, "source": "heldout", "sha256": ""})
    return rows
