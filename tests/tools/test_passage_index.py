"""An index of passages in shards: one writer, and the same hits as in one piece."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hashing_encoder import Hashing

from models.retrieval.index import DenseIndex
from models.retrieval.scopes import Policy, Query
from tasks.base.errors import UserError
from tasks.encyclopedia.passages import Passage
from tools.ask import passage_index
from tools.ask.passage_index import Item, PassageIndex


def test_two_processes_do_not_write_the_same_index(tmp_path: Path) -> None:
    """Catches shards that overwrite each other."""
    one, other = (PassageIndex(tmp_path / "index", "hashing") for _ in range(2))

    def items() -> Iterator[Item]:
        yield Item("1", lambda: [Passage("e1_p0", "private", "t", "words", ("words",))])
        other.update([], Hashing())

    with pytest.raises(UserError, match="Another process is indexing"):
        one.update(items(), Hashing())


def test_a_search_through_shards_finds_what_one_index_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches hits that are lost or out of order because they lie in different shards."""
    monkeypatch.setattr(passage_index, "SHARD", 7)
    encoder = Hashing()
    texts = [f"mail {number} about topic {number % 5} and {number % 3}" for number in range(40)]
    items = [
        Item(str(number), lambda n=number, t=text: [Passage(f"e{n}_p0", "private", "", t, (t,))])  # type: ignore[misc]
        for number, text in enumerate(texts)
    ]
    shards = PassageIndex(tmp_path / "index", "hashing")
    shards.update(items, encoder)
    assert len(list((tmp_path / "index").glob("shard-*"))) == 6
    whole = DenseIndex(shards.ids, encoder.encode(shards.texts(range(40))))
    query = Query(encoder.encode(["topic 3", "mail about 1"]), Policy.NONE)
    found, expected = shards.search(query, 10), whole.search(np.asarray(query.values), 10)
    assert found.positions.tolist() == expected.positions.tolist()
    assert found.scores.tolist() == expected.scores.tolist()
