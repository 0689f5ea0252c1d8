"""Two-hop questions: what they are, and how they are stored."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

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


def write_candidates(path: Path, candidates: Iterable[Candidate]) -> None:
    """Write `candidates` as a Parquet file, in their order."""
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([_plain(asdict(each)) for each in candidates]), path)


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


def _plain(value: Any) -> Any:
    """Tuples as lists, all the way down, as pyarrow wants them."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
