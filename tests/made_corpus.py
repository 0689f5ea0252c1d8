"""A corpus of three made-up domains, small enough to train on in a test."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

WORDS = {
    "code": ["def ", "self.", "return ", "(x)", "\n    ", "import "],
    "mathematics": ["|- ", "( A + B )", " = ", "-> ", "forall x ", "e. NN "],
    "prose": ["the ", "river ", "was ", "a ", "town, ", "künste "],
}


def make_corpus(folder: Path) -> Path:
    """Write train, heldout and mixed documents as `tasks.language.text` does."""
    random = np.random.default_rng(0)

    def document(domain: str, words: int) -> str:
        return "".join(random.choice(WORDS[domain], words))

    rows = {
        split: [
            {"domain": domain, "document": f"{domain}-{number}", "text": document(domain, words)}
            for domain in WORDS
            for number in range(count)
        ]
        for split, count, words in (("train", 30, 60), ("heldout", 6, 60))
    }
    mixed = []
    for number in range(6):
        first, second = random.permutation(list(WORDS))[:2].tolist()
        head, tail = document(first, 30), document(second, 30)
        switch = len(head.encode())
        mixed.append(
            {
                "document": f"mixed-{number}",
                "kind": "concatenated",
                "first": first,
                "second": second,
                "switch_byte": switch,
                "text": head + tail,
            }
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (*rows.items(), ("mixed", mixed)):
        parquet.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")
    return folder
