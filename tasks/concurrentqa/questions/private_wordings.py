"""The hand-written wordings of questions over e-mails, family by family; their table says what each asks."""

import re

from tasks.language.tables import read_table

_TABLE = read_table("data/concurrentqa/wordings.yaml")
_MAILS: dict[str, tuple[str, ...]] = {family: tuple(text.splitlines()) for family, text in _TABLE["mails"].items()}
_NAMED: dict[str, tuple[tuple[str, str], ...]] = {
    by: tuple((form["phrase"], form["clause"]) for form in forms) for by, forms in _TABLE["named_in_mails"].items()
}

NAMED_SENDER = _MAILS["named_sender"]
THEMED_SENDER = _MAILS["themed_sender"]
THREAD_DETAIL = _MAILS["thread_detail"]
WHO_ANSWERED = _MAILS["who_answered"]
EARLIER_MAIL = _MAILS["earlier_mail"]
LATER_WRITER = _MAILS["later_writer"]
DESCRIBED_WRITER = _MAILS["described_writer"]
DESCRIBED_ON_LIST = _MAILS["described_on_list"]
DESCRIBED_DETAIL = _MAILS["described_detail"]
DESCRIBED_SUBJECT = _MAILS["described_subject"]
ARTICLE_DETAIL = _MAILS["article_detail"]
EARLIER_YEAR = _MAILS["earlier_year"]

BY_SUBJECT = _NAMED["by_subject"]
BY_LIST = _NAMED["by_list"]
BY_THEME = _NAMED["by_theme"]

EVENTS: dict[str, str] = _TABLE["events"]
PATHS: dict[str, str] = _TABLE["paths"]
INVERSE: dict[str, str] = _TABLE["inverse"]


def filled(wording: str, **slots: str) -> str:
    """A wording with its slots filled; its sentences begin with a capital."""
    template = re.sub(r"(^|[.?] )\{(\w+)\}", r"\1{\2_}", wording)
    capital = {f"{name}_": text[:1].upper() + text[1:] for name, text in slots.items()}
    return template.format(**slots, **capital)
