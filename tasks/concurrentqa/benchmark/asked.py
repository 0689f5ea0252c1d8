"""What an earlier benchmark asked about in dev and test: nothing of it is asked there again.

What came of those questions has been published, and settings were chosen on them, so that a claim which they suggested
can be tested by other questions alone.
"""

from collections.abc import Collection
from hashlib import sha256

from tasks.language.tables import read_table

_TABLE = read_table("data/concurrentqa/asked.yaml")

WORDINGS: frozenset[str] = frozenset(_TABLE["wordings"].split())
"""Wordings by their names ("family/3")."""

_DIGESTS = frozenset(_TABLE["parts"].split())


def asked_before(parts: Collection[str]) -> set[str]:
    """Those of these bridges and senders (as `splits.parts` writes them) that were asked about."""
    return {part for part in parts if digest(part) in _DIGESTS}


def digest(part: str) -> str:
    """How the table names a bridge or a sender: people's names need not stand there."""
    return sha256(part.encode()).hexdigest()[:12]
