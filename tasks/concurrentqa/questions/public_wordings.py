"""What public questions ask about the bridge."""

from tasks.language.tables import read_table

ASKING: dict[str, tuple[str, ...]] = {
    relation: tuple(wordings.splitlines())
    for relation, wordings in read_table("data/concurrentqa/wordings.yaml")["asking"].items()
}
"""The wordings of each relation."""
