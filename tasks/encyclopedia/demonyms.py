"""Which country a nationality stands for."""

from tasks.language.tables import read_table

COUNTRY: dict[str, str] = {
    adjective: country
    for country, adjectives in read_table("data/concurrentqa/words.yaml")["nationalities"].items()
    for adjective in adjectives
}
"""Adjective → the title of its country's article."""
