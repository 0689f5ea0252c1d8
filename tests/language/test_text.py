"""Corpora: what the readers make of their sources, and that nothing leaks across the split."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.engine.catalogue import catalogue
from tasks.base.errors import UserError
from tasks.language.documents import (
    Document,
    cut,
    parse_metamath,
    read_chats,
    read_modules,
    read_summaries,
    read_theorems,
    split_paragraphs,
)
from tasks.language.text import SPAN, Domains, drop_repeats, mix, prepare_domains, split
from tasks.sources.fetch import fetch

ROOT = Path(__file__).parents[2]
SMALL = Domains(
    train_bytes=80_000, heldout_bytes=20_000, longest_train=8_000, longest_heldout=3_000, mixed_documents=30
)

SET_MM = """
$( set.mm - a test $)
$(
#*#*#*#*#*#*#*#*#*#
  Propositional calculus
#*#*#*#*#*#*#*#*#*#
  Prose about the part. $)
  $c ( ) -> -. wff |- $.  $v ph ps $.
  wph $f wff ph $.
  $( Syntax is left out. $)
  wn $a wff -. ph $.
  ${
    min $e |- ph $.
    maj $e |- ( ph -> ps ) $.
    $( Rule of _modus ponens_, see ~ conventions .  (Contributed by NM, 30-Sep-1992.)
       (Proof shortened by Wolf (the younger), 1-Jan-2001.) (New usage is discouraged.) $)
    ax-mp $a |- ps $.
  $}
$(
=-=-=-=-=-=-=
  Logical negation
=-=-=-=-=-=-=
$)
  ${
    $d x ps $.
    notnot.1 $e |- ph $.
    ${
      inner.1 $e |- ps $.
      $( Inner   theorem
         over two lines. $)
      inner $p |- ( ph ->
         -. ps ) $= ( wn ax-mp $( a comment in a proof $) ) ABC $.
    $}
    $( Double negation. (Contributed by NM, 1-Jan-2000.) $)
    notnot $p |- -. -. ph $= ? $.
  $}
  notext $p |- ph $= ABC $.
  $( Said too early. $) $v ch $.
  late $p |- ch $= ABC $.
"""


def test_theorems_have_comment_hypotheses_in_scope_and_statement_but_no_proof() -> None:
    assert list(parse_metamath(SET_MM)) == [
        (
            "0001 Propositional calculus",
            """Rule of _modus ponens_, see ~ conventions .
min $e |- ph $.
maj $e |- ( ph -> ps ) $.
ax-mp $a |- ps $.""",
        ),
        (
            "0002 Logical negation",
            """Inner theorem over two lines.
notnot.1 $e |- ph $.
inner.1 $e |- ps $.
inner $p |- ( ph -> -. ps ) $.""",
        ),
        ("0002 Logical negation", "Double negation.\nnotnot.1 $e |- ph $.\nnotnot $p |- -. -. ph $."),
    ]


def test_a_section_of_theorems_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "set.mm").write_text(SET_MM)
    documents = read_theorems(tmp_path)
    assert [(d.name, len(split_paragraphs(d.text))) for d in documents] == [
        ("0001 Propositional calculus", 1),
        ("0002 Logical negation", 2),
    ]


def test_summaries_are_their_extracts_on_one_line(tmp_path: Path) -> None:
    articles = {
        "Zebra": {"extract": "Zebras are\n striped."},
        "Ant": {"extract": "Ants dig.", "topic": "Life"},
    }
    (tmp_path / "summaries_en-us.json").write_text(json.dumps(articles))
    assert [(d.name, d.text) for d in read_summaries(tmp_path)] == [
        ("Ant", "Ants dig."),
        ("Zebra", "Zebras are striped."),
    ]


@pytest.mark.parametrize("read", [read_summaries, read_chats, read_theorems])
def test_a_folder_without_its_file_is_told_in_a_sentence(read: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no .*: see what data/sources\.yaml asks"):
        read(tmp_path)


def test_chats_name_no_speaker_and_need_two(tmp_path: Path) -> None:
    said = [("u-1", ["Hello", "you"]), ("u-2", ["Hi\n!"]), ("u-1", ["So?"])]
    turns = [[{"sender": who, "text": text} for text in texts] for who, texts in said]
    (tmp_path / "dataset.json").write_text(json.dumps({"c": {"messages": turns}, "d": {"messages": turns[:1]}}))
    assert [d.text for d in read_chats(tmp_path)] == ["A: Hello\nyou\n\nB: Hi !\n\nA: So?"]


def test_modules_lose_their_licence_and_stay_with_their_twins(tmp_path: Path) -> None:
    (tmp_path / "email").mkdir()
    licence = "# Copyright (C) 2001 Foundation\n# Author: somebody\n\n"
    (tmp_path / "email" / "a.py").write_text(licence + "import os\n\n\n\tdef licence():\n\t\treturn 'copyright'\n")
    for name in ("_pydecimal.py", "decimal.py", "_strptime.py"):
        (tmp_path / name).write_text("import os\n")
    read = {d.name: d for d in read_modules(tmp_path)}
    assert read["email/a.py"].text == "import os\n\n        def licence():\n                return 'copyright'"
    assert {name: d.group for name, d in read.items()} == {
        "email/a.py": "email",
        "_pydecimal.py": "decimal",
        "decimal.py": "decimal",
        "_strptime.py": "strptime",
    }


BLOCKS = st.lists(st.text("ab \n\t", min_size=1), max_size=6)


@given(BLOCKS)
def test_paragraphs_lose_blank_lines_only(blocks: list[str]) -> None:
    text = "\n\n".join(blocks)
    kept = split_paragraphs(text)
    assert [line.rstrip() for line in "\n".join(kept).split("\n") if line.strip()] == [
        line.rstrip() for line in text.split("\n") if line.strip()
    ]
    assert all(block == block.rstrip() and block.strip() and "\n\n" not in block for block in kept)
    assert split_paragraphs("\n\n".join(kept)) == kept


@given(BLOCKS, st.integers(1, 40))
def test_a_cut_is_the_longest_beginning_that_fits(blocks: list[str], limit: int) -> None:
    kept = split_paragraphs("\n\n".join(blocks))
    short = split_paragraphs(cut("\n\n".join(blocks), limit))
    assert short == kept[: len(short)]
    assert len("\n\n".join(short)) <= limit or len(short) == 1
    if len(short) < len(kept):
        assert len("\n\n".join(kept[: len(short) + 1])) > limit


# ------------------------------------------------------------------ leaks


def shared_spans(train: list[str], heldout: list[str]) -> set[str]:
    """Every span of SPAN characters on both sides, found the slow and certain way."""
    spans = [{text[i : i + SPAN] for text in side for i in range(len(text) - SPAN + 1)} for side in (train, heldout)]
    return spans[0] & spans[1]


def normal(text: str) -> str:
    return " ".join(text.casefold().split())


def words(seed: int, count: int) -> str:
    draw = random.Random(seed)
    return " ".join("".join(draw.choices("abcdefghié", k=draw.randint(2, 9))) for _ in range(count))


def library(copies: random.Random) -> list[Document]:
    """Documents of one paragraph or more, among them copies that are exact, respaced, altered or partial."""
    documents = []
    for number in range(240):
        blocks = [words(1000 * number + block, copies.randint(20, 90)) for block in range(copies.randint(1, 4))]
        if number and copies.random() < 0.4:
            source = copies.choice(split_paragraphs(copies.choice(documents).text))
            altered = source.split(" ")
            altered[len(altered) // 2] = "changed"
            at = copies.randrange(max(1, len(source) - 260))
            # Six short lines in a row: none is long enough to be a copy, but together they are a long span.
            lines = "\n\n".join(words(-line, 6) for line in range(1, 8))
            span = source[at : at + 260] + blocks[0]
            forms = [source, source.upper().replace(" ", "  "), " ".join(altered), span, lines]
            blocks.insert(copies.randrange(len(blocks) + 1), copies.choice(forms))
        documents.append(Document("prose", f"d{number}", f"g{number // 2}", "\n\n".join(blocks)))
    return documents


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 5))
def test_no_group_copy_or_long_span_is_on_both_sides(drawn: int, seed: int) -> None:
    """Catches a split by document alone, and one that removes only exact copies."""
    documents = library(random.Random(drawn))
    group = {d.name: d.group for d in documents}
    train, heldout = split(documents, replace(SMALL, seed=seed, train_bytes=150_000))
    assert sum(d.size for d in heldout) >= SMALL.heldout_bytes * 0.9
    assert sum(d.size for d in train) <= 150_000
    assert not {group[d.name] for d in train} & {group[d.name] for d in heldout}
    assert not shared_spans([d.text for d in train], [d.text for d in heldout])
    blocks = [{normal(b) for d in side for b in split_paragraphs(d.text)} for side in (train, heldout)]
    assert not {b for b in blocks[0] & blocks[1] if len(b) >= 80}


@pytest.mark.parametrize("seed", range(4))
def test_a_near_copy_never_crosses(seed: int) -> None:
    """One word in twenty changed: no 200-character span is shared, yet it is the same text."""
    documents = [Document("prose", f"d{i}", f"g{i}", words(i, 120)) for i in range(120)]
    for i in range(0, 120, 2):
        altered = documents[i].text.split(" ")
        altered[10::20] = ["changed"] * len(altered[10::20])
        documents.append(Document("prose", f"copy{i}", f"copy{i}", " ".join(altered)))
    train, heldout = split(documents, replace(SMALL, seed=seed))
    held = {d.name.replace("copy", "d") for d in heldout}
    assert held
    assert not held & {d.name.replace("copy", "d") for d in train}


@pytest.mark.parametrize("seed", range(4))
def test_a_short_paragraph_never_meets_a_longer_one_that_quotes_it(seed: int) -> None:
    """Twelve words: too few for a long span, and few beside the paragraph that quotes them."""
    documents = []
    for i in range(100):
        quote = words(i, 12)
        documents.append(Document("prose", f"short{i}", f"short{i}", quote + "\n\n" + words(1000 + i, 100)))
        documents.append(Document("prose", f"long{i}", f"long{i}", words(2000 + i, 60) + " " + quote))
    sides = split(documents, replace(SMALL, seed=seed, train_bytes=150_000))
    crossed = 0
    for one, other in (sides, sides[::-1]):
        names = {d.name for d in one}
        blocks = {block for d in one for block in split_paragraphs(d.text)}
        text = "\n".join(d.text for d in other)
        for i in range(100):
            assert words(i, 12) not in blocks or words(i, 12) not in text
            crossed += f"short{i}" in names and words(i, 12) in text
    assert crossed


def test_boilerplate_stays_only_where_it_is_first() -> None:
    header = "# This file is part of something, and this sentence stands at the top of each of its files."
    documents = [Document("code", f"{i}.py", f"{i}", f"{header}\n\nimport os\n\nbody {i}") for i in range(3)]
    texts = [d.text for d in drop_repeats(documents)]
    assert texts[0] == documents[0].text
    assert texts[1:] == ["import os\n\nbody 1", "import os\n\nbody 2"]


def test_the_seed_draws_the_split_and_other_documents_do_not() -> None:
    documents = [Document("prose", f"d{i}", f"d{i}", words(i, 90)) for i in range(200)]
    names = [{d.name for d in split(documents, replace(SMALL, seed=seed))[1]} for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]
    fewer = {d.name for d in split([d for d in documents if d.name not in ("d3", "d7")], SMALL)[1]}
    assert len(fewer ^ names[0]) <= 4


def test_too_little_text_is_a_sentence() -> None:
    with pytest.raises(UserError, match="The prose documents are too few for 20000 held-out bytes"):
        split([Document("prose", "d", "d", words(0, 200))], SMALL)


# ------------------------------------------------------------------ the stage


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four fetched sources: this Python's own library, and generated ones of the real shapes."""
    root = tmp_path_factory.mktemp("sources")
    folders = {name: root / name for name in ("wikipedia", "stdlib", "metamath", "chats")}
    for name, folder in folders.items():
        folder.mkdir()
        about = {"name": name, "sha256": "0" * 64}
        (folder / "source.json").write_text(json.dumps(about))
    fetch(config=catalogue()["python-stdlib"].source, out=folders["stdlib"])
    articles = {f"Article {i}": {"extract": words(i, 90)} for i in range(250)}
    (folders["wikipedia"] / "summaries_en-us.json").write_text(json.dumps(articles))
    sections = []
    for i in range(250):
        theorem = f"$( {words(10_000 + i, 60)} $) t{i} $p |- ( ph -> {words(20_000 + i, 30)} ) $= ABC $."
        sections.append(f"$(\n=-=-=-=\n  Section {i}\n=-=-=-=\n$)\n{theorem}\n")
    (folders["metamath"] / "set.mm").write_text("".join(sections))
    chats = {}
    for i in range(250):
        turns = [[{"sender": str(j % 2), "text": words(30_000 + 10 * i + j, 15)}] for j in range(8)]
        chats[f"chat {i}"] = {"messages": turns}
    (folders["chats"] / "dataset.json").write_text(json.dumps(chats))
    return folders


def prepare(sources: dict[str, Path], out: Path, config: Domains = SMALL) -> dict[str, list[dict[str, Any]]]:
    out.mkdir()
    prepare_domains(**sources, config=config, out=out)
    return read(out)


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    import pyarrow.parquet

    return {path.stem: pyarrow.parquet.read_table(path).to_pylist() for path in folder.glob("*.parquet")}


def test_the_stage_writes_what_it_says_with_the_same_bytes_each_time(sources: dict[str, Path], tmp_path: Path) -> None:
    written = prepare(sources, tmp_path / "one")
    prepare(sources, tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    assert {row["domain"] for row in written["train"]} == {"encyclopedia", "code", "mathematics"}
    assert list(written["train"][0]) == ["domain", "document", "text"]
    for side in ("train", "heldout"):
        for domain in ("encyclopedia", "code", "mathematics"):
            own = [len(row["text"].encode()) for row in written[side] if row["domain"] == domain]
            sizes = json.loads((tmp_path / "one" / "sizes.json").read_text())
            (size,) = [row for row in sizes if (row["domain"], row["split"]) == (domain, side)]
            assert (size["documents"], size["bytes"]) == (len(own), sum(own))
            assert len(size["sha256"]) == 64
            assert sum(own) <= SMALL.train_bytes if side == "train" else sum(own) >= SMALL.heldout_bytes * 0.9


def no_leak(corpus: dict[str, list[dict[str, Any]]]) -> None:
    train = [row["text"] for row in corpus["train"]]
    assert not shared_spans(train, [row["text"] for side in ("heldout", "mixed") for row in corpus[side]])
    key = [{(row["domain"], row["document"]) for row in corpus[side]} for side in ("train", "heldout")]
    assert not key[0] & key[1]


def test_real_code_does_not_leak(sources: dict[str, Path], tmp_path: Path) -> None:
    no_leak(prepare(sources, tmp_path / "out", replace(SMALL, train_bytes=600_000)))


def test_the_corpora_that_were_built_here_do_not_leak() -> None:
    """Whatever corpora this checkout has made; a fresh clone has none yet."""
    corpora = {path.read_bytes(): path.parent for path in ROOT.glob("data/*/btx/*/mixed.parquet")}
    for folder in corpora.values():
        no_leak(read(folder))


def test_a_mixed_document_changes_where_it_says(sources: dict[str, Path], tmp_path: Path) -> None:
    corpus = prepare(sources, tmp_path / "out")
    held = {(row["domain"], row["document"]) for row in corpus["heldout"]}
    assert len(corpus["mixed"]) == SMALL.mixed_documents
    assert {row["kind"] for row in corpus["mixed"]} == {"docstring", "comment", "concatenated"}
    library_files = {path.name: path.read_text() for path in sources["stdlib"].rglob("*.py")}
    for row in corpus["mixed"]:
        before, after = row["text"].encode()[: row["switch_byte"]], row["text"].encode()[row["switch_byte"] :]
        assert before.decode() + after.decode() == row["text"]
        assert row["first"] != row["second"]
        if row["kind"] == "docstring":
            name = row["document"].split(", line ")[0]
            assert ("code", name) in held
            assert before.endswith(b'\n"""\n')
            assert before.count(b'"""') == 1
            assert split_paragraphs(after.decode())[0] in library_files[Path(name).name].expandtabs()
        elif row["kind"] == "comment":
            assert before.count(b"\n") == 1
            assert after.startswith(row["document"].encode() + b" $p |- ")
        else:
            documents = row["document"].split(" + ")
            assert {(row["first"], documents[0]), (row["second"], documents[1])} <= held
            assert before.endswith(b"\n\n")


def test_each_ordered_pair_of_domains_is_joined_equally_often(sources: dict[str, Path], tmp_path: Path) -> None:
    documents = read_summaries(sources["wikipedia"])[:9] + read_theorems(sources["metamath"])[:9]
    rows = mix(
        documents + read_chats(sources["chats"])[:9],
        replace(SMALL, mixed_documents=36, mixed_side_bytes=5000),
    )
    pairs = [(row["first"], row["second"]) for row in rows]
    assert len(set(pairs)) == 6
    assert {pairs.count(pair) for pair in pairs} == {6}
    assert len({row["text"] for row in rows}) == 36


def test_conversation_stands_in_where_metamath_is_missing(
    sources: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "unavailable.json").write_text('{"source": "metamath", "reason": "No apt-get."}')
    corpus = prepare({**sources, "metamath": missing}, tmp_path / "out")
    assert {row["domain"] for row in corpus["heldout"]} == {"encyclopedia", "code", "conversation"}
    assert "conversations stand in for mathematics" in capsys.readouterr().out
    no_leak(corpus)
