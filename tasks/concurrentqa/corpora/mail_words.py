"""Lists of words that the linker and the makers of questions over e-mails go by; their table says what each is."""

from tasks.encyclopedia.nouns import words
from tasks.language.tables import read_table

_LISTS = {name: words(text) for name, text in read_table("data/concurrentqa/words.yaml")["words_of_mails"].items()}

GENERIC = _LISTS["generic"]
UNTOLD = _LISTS["untold"]
EMPTY = _LISTS["empty"]
UNVERSIONED = _LISTS["unversioned"]
UNCOUNTED = _LISTS["uncounted"]
NO_FIRST_NAMES = _LISTS["no_first_names"]
NO_LAST_NAMES = _LISTS["no_last_names"]
NO_PRODUCTS = _LISTS["no_products"]
PREPOSITIONS = _LISTS["prepositions"]
ROBOTS = _LISTS["robots"]
UNFIT = _LISTS["unfit"]
RISKY = _LISTS["risky"]
AMBIGUOUS = _LISTS["ambiguous"]
VAGUE = _LISTS["vague"]
SMALL = _LISTS["small"]
STOP = _LISTS["stop"]
STARTERS = _LISTS["starters"]
STATES = _LISTS["states"]
KNOWN_FIRMS = _LISTS["known_firms"]
