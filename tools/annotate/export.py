"""Write what was annotated as records of the released shape (Altogether-FT)."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError
from tools.annotate.rounds import Annotations


def records(annotations: Annotations, last: int, source: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """A record for each picture that is accepted in round `last`, and how many others stand where.

    A round in which the picture was not accepted has no text in the record. `source` is for alt-texts that do not say.
    """
    found = []
    for picture in annotations.pictures:
        if annotations.accepted(picture, last):
            rounds = {number: annotations.accepted(picture, number) for number in range(1, last + 1)}
            texts = {f"round{number}": event.text for number, event in rounds.items() if event}
            alt = annotations.alt(picture)
            found.append({**texts, "alt": alt.text, "source": alt.source or source, "img_path": picture.path})
    counts = annotations.counts(last)
    return found, {name: count for name, count in counts.items() if count and name != "accepted"}


def write(found: list[dict[str, Any]], out: Path) -> None:
    """Write the records as `{"data": […]}`, wholly or not at all, never over another file.

    Raises:
        UserError: there is nothing to write, or the file is there already, or cannot be written.
    """
    if not found:
        raise UserError("No picture has an accepted text in that round: accept some before --export.")
    if out.exists():
        raise UserError(f"{out} exists already: name a new file, or remove that one first.")
    fresh = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump({"data": found}, file, ensure_ascii=False, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, out)
    except OSError as problem:
        raise UserError(f"{out} cannot be written ({problem.strerror}): name another file.") from None
    finally:
        fresh.unlink(missing_ok=True)
