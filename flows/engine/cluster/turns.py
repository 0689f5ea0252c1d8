"""Who may do what at once on a host: turns that the kernel frees when their holder dies."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(path: Path, *, shared: bool = False) -> Iterator[bool]:
    """Hold a turn, alone or with all others who share it; yields whether it had to be waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        how, waited = fcntl.LOCK_SH if shared else fcntl.LOCK_EX, False
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = True
            fcntl.flock(descriptor, how)
        yield waited
    finally:
        os.close(descriptor)


@contextmanager
def host(*, alone: bool) -> Iterator[None]:
    """A stage's place on this host, beside others or alone; who has come first goes first.

    It holds for all checkouts of this user here: a measuring stage is alone on the machine, not in a folder.
    """
    place = Path(tempfile.gettempdir()) / f"tenfold-{os.getuid()}"
    with turn(place / "door"):  # who waits to be alone keeps it shut for those who come later
        inside = turn(place / "room", shared=not alone)
        inside.__enter__()
    try:
        yield
    finally:
        inside.__exit__(None, None, None)
