"""Two-hop questions: what they are, and how they are stored."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

Chain = Literal["EE", "EW", "WE", "WW"]
"""Where the two hops lead, in order: E to a private e-mail, W to a public article."""

CHAINS: tuple[Chain, ...] = ("EE", "EW", "WE", "WW")


@dataclass(frozen=True)
class Candidate:
    """A question that two passages answer together, before any filter has seen it.

    `passages` are the ids of the first and the second hop, `support` the indices of their sentences that are needed,
    `bridge` what joins them (an entity or a sender), `senders` the people whose mails are involved. `family` is the
    recipe that made it and `wording` the family's hand-written phrasing ("family/3").
    """

    question: str
    answer: str
    chain: Chain
    type: Literal["bridge", "comparison"]
    family: str
    wording: str
    passages: tuple[str, str]
    support: tuple[tuple[int, ...], tuple[int, ...]]
    bridge: str
    senders: tuple[str, ...] = ()


def write_candidates(path: Path, candidates: Sequence[Candidate], kind: type[Candidate] = Candidate) -> None:
    """Write `candidates`, all of one `kind`, as a Parquet file in their order; without any it has columns alone."""
    import pyarrow
    import pyarrow.parquet

    strings = pyarrow.list_(pyarrow.string())
    nested = {"passages": strings, "senders": strings, "support": pyarrow.list_(pyarrow.list_(pyarrow.int64()))}
    names = [field.name for field in fields(kind)]
    schema = pyarrow.schema([(name, nested.get(name, pyarrow.string())) for name in names])
    columns = {name: [getattr(candidate, name) for candidate in candidates] for name in names}
    pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), path)


def read_candidates(path: Path) -> list[Candidate]:
    """Read what `write_candidates` wrote."""
    import pyarrow.parquet

    names = [field.name for field in fields(Candidate)]
    return [
        Candidate(
            **{
                **row,
                "passages": tuple(row["passages"]),
                "support": tuple(tuple(hop) for hop in row["support"]),
                "senders": tuple(row["senders"]),
            }
        )
        for row in pyarrow.parquet.read_table(path, columns=names).to_pylist()
    ]
