"""What the mails of one sender tell together: the name that they go by, and how they close."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from tasks.mail.message import Message

CLOSING_LINES = 10
"""The last lines of a mail among which its closing is looked for."""

REPEATED = 3
"""In how many mails of one sender a line must be to belong to how they close."""


def named_alike(messages: Sequence[Message]) -> list[Message]:
    """The messages with each address under one name, the one it used most often."""
    used: dict[str, Counter[str]] = defaultdict(Counter)
    for message in messages:
        used[message.address][message.sender] += 1
    best = {address: min(names, key=lambda name: (-names[name], name)) for address, names in used.items()}
    return [replace(message, sender=best[message.address]) if message.address else message for message in messages]


def without_closings(messages: Sequence[Message]) -> list[Message]:
    """The messages without the last lines that their senders repeat: a signature without "-- ", an imprint.

    What is taken off a mail's own words is added to its signature.
    """
    lines: dict[str, Counter[str]] = defaultdict(Counter)
    for message in messages:
        lines[message.sender].update({_alike(line) for line in _last(message.body.own)})
    found = []
    for message in messages:
        kept = message.body.own.split("\n")
        closing: list[str] = []
        while kept and (not kept[-1].strip() or lines[message.sender][_alike(kept[-1])] >= REPEATED):
            closing.insert(0, kept.pop())
        signature = "\n".join([*closing, message.body.signature]).strip("\n")
        found.append(replace(message, body=replace(message.body, own="\n".join(kept), signature=signature)))
    return found


def _last(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()][-CLOSING_LINES:]


def _alike(line: str) -> str:
    return " ".join(line.lower().split())
