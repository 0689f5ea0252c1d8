"""That the user asked to stop, and help for the sentences that a user reads."""

import os
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from tasks.base.errors import UserError
from tasks.base.files import ROOT

if TYPE_CHECKING:
    from pydantic import ValidationError

FEW = 12
"""So many names are listed where none is like the word that was given; of more, the nearest are."""
NEAREST = 3


class Interrupted(UserError):
    """The user asked to stop."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean x?`, or what is known, to end a sentence about an unknown word."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1) or [name for name in names if word.rpartition("/")[2] in name][:NEAREST]
    if close:
        return f" Did you mean {' or '.join(close)}?"
    if len(names) > FEW:
        return f" The nearest of {len(names)}: {', '.join(get_close_matches(word, names, n=NEAREST, cutoff=0))}."
    return f" Known: {', '.join(names)}." if names else ""


def first_error(problem: "ValidationError") -> str:
    """The first thing that is wrong with some settings, as part of a sentence."""
    first = problem.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    said = first["msg"][:1].lower() + first["msg"][1:]
    return f"{where}: {said}" if where else said


def why(problem: Exception) -> str:
    """What is wrong with a file that cannot be imported, and in which line."""
    if isinstance(problem, UserError):
        return str(problem)
    if isinstance(problem, SyntaxError):
        file, line = problem.filename or "", problem.lineno
    else:
        place = traceback.extract_tb(problem.__traceback__)[-1]
        file, line = place.filename, place.lineno
    where = os.path.relpath(file, ROOT) if file.startswith(str(ROOT)) else file
    return f"{where}, line {line}: {type(problem).__name__}: {problem}"
