"""A store of annotations over the pictures of a folder: where each stands in each round, and what it starts from."""

import json
import os
import secrets
import threading
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError
from tools.annotate.alts import Alt
from tools.annotate.pictures import Picture, number_of
from tools.annotate.store import Event, Log, State, settled, state

MEMORY = "images.json"


@dataclass(frozen=True)
class Previous:
    """The text that a round starts from: of which round (0: the alt-text), in which state, by whom."""

    text: str
    round: int
    state: str
    by: str


class Round:
    """One round's events by picture. A moved file is found again by its bytes."""

    def __init__(self, log: Log, pictures: list[Picture]) -> None:
        self.log = log
        self._names = {picture.path for picture in pictures}
        self._moved = {picture.sha256: picture.path for picture in reversed(pictures)}
        self._indexed: list[Event] = []
        self._seen = 0
        self.by_path: dict[str, list[Event]] = {}
        self.elsewhere: set[str] = set()

    def refresh(self) -> None:
        """Take in what was written since the last look."""
        self.log.refresh()
        if self._indexed is not self.log.events:
            self._indexed, self._seen = self.log.events, 0
            self.by_path, self.elsewhere = defaultdict(list), set()
        fresh = self._indexed[self._seen :]
        self._seen += len(fresh)
        for event in fresh:
            path = self.place(event)
            if path is None:
                self.elsewhere.add(event.image)
            else:
                self.by_path[path].append(event)

    def place(self, event: Event) -> str | None:
        """The path of the picture that an event is about; None if the folder has it no more."""
        return event.image if event.image in self._names else self._moved.get(event.sha256)


class Annotations:
    """What the store says of the pictures. Callers of several threads hold `lock`."""

    def __init__(self, store: Path, pictures: list[Picture], alts: dict[str, Alt]) -> None:
        self.store, self.pictures, self.alts = store, pictures, alts
        self.by_key = {picture.key: picture for picture in pictures}
        self.by_path = {picture.path: picture for picture in pictures}
        self.lock = threading.RLock()
        self._rounds: dict[int, Round] = {}

    def numbers(self) -> list[int]:
        """The rounds that have a log, in order."""
        found = (path.stem.removeprefix("round-") for path in self.store.glob("round-*.jsonl"))
        return sorted(int(number) for number in found if number.isdecimal())

    def round(self, number: int) -> Round:
        if number not in self._rounds:
            self._rounds[number] = Round(Log(self.store / f"round-{number}.jsonl"), self.pictures)
            self._rounds[number].refresh()
        return self._rounds[number]

    def events(self, picture: Picture, number: int) -> list[Event]:
        return self.round(number).by_path.get(picture.path, [])

    def state(self, picture: Picture, number: int) -> State:
        return state(self.events(picture, number), picture.sha256)

    def accepted(self, picture: Picture, number: int) -> Event | None:
        """The event that holds the picture's accepted text in a round."""
        if self.state(picture, number) != "accepted":
            return None
        return settled(self.events(picture, number), picture.sha256)

    def previous(self, picture: Picture, number: int) -> Previous:
        """What the round starts from: the accepted text of the one before, else its draft, else what that started from.

        At the bottom is the alt-text.
        """
        for earlier in range(number - 1, 0, -1):
            event = settled(self.events(picture, earlier), picture.sha256)
            if event:
                return Previous(event.text, earlier, self.state(picture, earlier), event.by)
        return Previous(self.alt(picture).text, 0, "alt", "")

    def alt(self, picture: Picture) -> Alt:
        return self.alts.get(picture.path, Alt(""))

    def counts(self, number: int) -> dict[str, int]:
        """How many pictures stand where in a round."""
        found: Counter[str] = Counter(self.state(picture, number) for picture in self.pictures)
        return {name: found[name] for name in ("to do", "draft", "accepted", "skipped")}

    def start(self, number: int) -> None:
        """Mend what a crash has left, and see that the round can be worked on.

        Raises:
            UserError: the round before has nothing accepted.
        """
        for each in self.numbers():
            self.round(each).log.repair()
            self.round(each).refresh()
        if number > 1 and not self.counts(number - 1)["accepted"]:
            raise UserError(
                f"Round {number - 1} has no accepted text yet: "
                f"accept some with --round {number - 1} before you begin round {number}."
            )

    def notes(self) -> list[str]:
        """Sentences about what is odd in the logs.

        Raises:
            UserError: the store is about other pictures.
        """
        found = []
        for number in self.numbers():
            one = self.round(number)
            found += one.log.notes
            if one.elsewhere and not one.by_path:
                raise UserError(
                    f"The annotations in {self.store} are about other pictures ({min(one.elsewhere)}, …): "
                    "choose another folder with --store."
                )
            if one.elsewhere:
                gone = number_of(len(one.elsewhere), "annotated picture")
                found.append(f"Round {number}: {gone} not in the folder any more; the texts stay in the log.")
        return found

    def people(self, number: int) -> set[str]:
        """Who has accepted texts in a round."""
        events = (self.accepted(picture, number) for picture in self.pictures)
        return {event.by for event in events if event}


def recall(store: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Alt]]:
    """What the store remembers of the pictures' files, and their alt-texts.

    Raises:
        UserError: the file is damaged.
    """
    try:
        memory = json.loads((store / MEMORY).read_text())
        return memory["files"], {path: Alt(**alt) for path, alt in memory["alts"].items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}, {}
    except OSError as problem:
        raise UserError(f"{store} cannot be read ({problem.strerror}): choose another folder with --store.") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{store / MEMORY} is damaged: remove it and give --alt again.") from None


def remember(store: Path, files: dict[str, dict[str, Any]], alts: dict[str, Alt]) -> None:
    """Write that down for the next start."""
    fresh = store / f".{MEMORY}.{secrets.token_hex(4)}"
    content = {"files": files, "alts": {path: asdict(alt) for path, alt in sorted(alts.items())}}
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=0)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, store / MEMORY)
