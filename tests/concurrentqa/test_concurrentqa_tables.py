"""What people review in data/concurrentqa is what the code reads: nothing hidden, nothing unread, nothing unnoticed."""

from collections.abc import Iterator

import pytest
import yaml
from conftest import ROOT

from tasks.base.manifest import manifest
from tasks.concurrentqa.corpora import mail_words
from tasks.concurrentqa.questions import private_wordings
from tasks.language.tables import read_table

WORDS = "data/concurrentqa/words.yaml"
WORDINGS = "data/concurrentqa/wordings.yaml"
ASKED = "data/concurrentqa/asked.yaml"


@pytest.mark.parametrize("path", [WORDS, WORDINGS, ASKED])
def test_no_key_hides_another(path: str) -> None:
    """YAML keeps the last of two equal keys, so that the first would be reviewed but never read."""
    for mapping in mappings(yaml.compose((ROOT / path).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)):
        keys = [key.value for key, _ in mapping.value]
        assert sorted(keys) == sorted(set(keys))


def test_no_word_is_listed_twice() -> None:
    """A noun under two types would count under one of them only; a word that stands twice outlives its removal."""
    table = read_table(WORDS)
    lists = {"nouns": " ".join(table["nouns"].values()), "transparent": table["transparent_nouns"]}
    for name, text in {**lists, **table["words_of_mails"]}.items():
        assert sorted(text.split()) == sorted(set(text.split())), name
    adjectives = [adjective for each in table["nationalities"].values() for adjective in each]
    assert sorted(adjectives) == sorted(set(adjectives))


def test_wordings_are_whole_lines_that_differ() -> None:
    """An empty line would be asked as an empty question, and a wording that stands twice would reach two splits."""
    table = read_table(WORDINGS)
    texts = [*table["asking"].values(), *table["same"].values(), *table["mails"].values()]
    texts += [comparing["wordings"] for comparing in table["comparing"].values()]
    texts += [leading[part] for leading in table["leading"].values() for part in ("phrases", "clauses")]
    for text in texts:
        lines = text.splitlines()
        assert lines
        assert all(line and line == line.strip() for line in lines), text
        assert len(set(lines)) == len(lines), text


def test_every_list_of_the_mails_is_read() -> None:
    """A list without a name in the code would be reviewed and change nothing."""
    assert names(mail_words) == set(read_table(WORDS)["words_of_mails"])
    table = read_table(WORDINGS)
    assert names(private_wordings) == {*table["mails"], *table["named_in_mails"], "events", "paths", "inverse"}


def test_the_tables_are_part_of_the_code_that_makes_questions() -> None:
    """Else a changed wording would leave the old questions standing as if they were current."""
    assert {WORDS, WORDINGS} <= set(manifest("tasks.concurrentqa.questions.generate")["files"])
    assert ASKED in manifest("tasks.concurrentqa.benchmark.build")["files"]


def names(module: object) -> set[str]:
    """The tables of a module, by their names in YAML."""
    return {name.lower() for name in vars(module) if name.isupper() and not name.startswith("_")}


def mappings(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    """A node's mappings at every depth."""
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from mappings(value)
