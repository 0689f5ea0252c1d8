"""What one text changes in another, word by word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Change = tuple[Literal["kept", "added", "removed"], str]


@dataclass(frozen=True)
class Edit:
    """The words in the order in which a reader would mark them, and how many single-word edits they are."""

    changes: tuple[Change, ...]
    distance: int

    def words(self, kind: str) -> tuple[str, ...]:
        """The words that were kept, added or removed."""
        return tuple(word for change, word in self.changes if change == kind)

    @property
    def kept_share(self) -> float:
        """The share of the earlier words that is kept; 1 where there were none."""
        kept, removed = len(self.words("kept")), len(self.words("removed"))
        return kept / (kept + removed) if kept + removed else 1.0


def edit(before: Sequence[str], after: Sequence[str]) -> Edit:
    """The fewest insertions, deletions and replacements of words (Levenshtein); a replacement removes and adds."""
    rows = [list(range(len(after) + 1))]
    for i, old in enumerate(before, 1):
        row = [i]
        for j, new in enumerate(after, 1):
            row.append(min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (old != new)))
        rows.append(row)
    changes: list[Change] = []
    i, j = len(before), len(after)
    while i or j:
        if i and j and before[i - 1] == after[j - 1] and rows[i][j] == rows[i - 1][j - 1]:
            changes.append(("kept", before[i - 1]))
            i, j = i - 1, j - 1
        elif i and j and rows[i][j] == rows[i - 1][j - 1] + 1:
            changes += [("added", after[j - 1]), ("removed", before[i - 1])]
            i, j = i - 1, j - 1
        elif j and rows[i][j] == rows[i][j - 1] + 1:
            changes.append(("added", after[j - 1]))
            j -= 1
        else:
            changes.append(("removed", before[i - 1]))
            i -= 1
    return Edit(tuple(reversed(changes)), rows[-1][-1])
