"""Damage to a mini's files: what a failing disk, a careless hand or a kill at the wrong moment leaves."""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from minis import ELSEWHERE, Mini


def flip(path: Path) -> None:
    """Change one bit, keeping size and times, as a failing disk would."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    if data:
        data[len(data) // 2] ^= 1
    _overwrite(path, bytes(data))
    os.chmod(path, before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(path: Path) -> None:
    """Keep the first half."""
    _overwrite(path, path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    """Keep nothing but the name."""
    _overwrite(path, b"")


def lose(path: Path) -> None:
    """Remove it."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def link(path: Path) -> None:
    """Put a link in its place, to bytes that belong to somebody else."""
    other = ELSEWHERE if path.is_dir() else f"{ELSEWHERE}/a.txt"
    up = next(number for number, parent in enumerate(path.parents) if (parent / ".dvc").is_dir())
    lose(path)
    path.symlink_to("../" * (up + 1) + other)


def replace_by_file(path: Path) -> None:
    """Put a file in place of a folder, or of a file, whatever it was."""
    lose(path)
    path.write_text("nothing that belongs here")


def add(path: Path) -> None:
    """Put a file beside it."""
    (path if path.is_dir() else path.parent).joinpath("stray.txt").write_text("stray")


def _overwrite(path: Path, data: bytes) -> None:
    if path.is_symlink():
        path.unlink()  # what lies behind it is not ours to damage
    else:
        os.chmod(path, 0o644)
    path.write_bytes(data)


FILES: dict[str, Callable[[Mini], Iterable[Path]]] = {
    "output": lambda mini: _files(mini.root / "data/quick"),
    "source": lambda mini: _files(mini.root / "data/sources"),
    "description": lambda mini: _files(mini.root / "data/code"),
    "object": lambda mini: _files(mini.root / ".dvc/cache/files"),
    "run": lambda mini: _files(mini.root / ".dvc/cache/runs"),
    "state": lambda mini: _files(mini.root / ".tenfold"),
    "lock": lambda mini: (mini.root / "pipelines").glob("**/dvc.lock"),
    "params": lambda mini: (mini.root / "pipelines").glob("**/params.json"),
    "pipeline": lambda mini: (mini.root / "pipelines").glob("**/dvc.yaml"),
    "register": lambda mini: (mini.root / "pipelines").glob("**/registered.json"),
}
"""What may be damaged, a file at a time."""

FOLDERS: dict[str, Callable[[Mini], Iterable[Path]]] = {
    "output/": lambda mini: _inside(mini.root / "data/quick/mini"),
    "source/": lambda mini: _inside(mini.root / "data/sources"),
    "descriptions/": lambda mini: [mini.root / "data/code", mini.root / "data/environment"],
    "cache/": lambda mini: [mini.root / ".dvc/cache/files"],
    "runs/": lambda mini: [mini.root / ".dvc/cache/runs"],
    "state/": lambda mini: [mini.root / ".tenfold"],
    "pipeline/": lambda mini: [mini.root / "pipelines/quick"],
}
"""What may be damaged as a whole."""

TO_FILES = {each.__name__: each for each in (flip, cut, empty, lose, link, replace_by_file, add)}
TO_OUTPUTS = {each.__name__: each for each in (lose, link, replace_by_file, add)}
KINDS = [
    *((kind, how) for kind in FILES for how in TO_FILES),
    *((kind, how) for kind in ("output/", "source/", "descriptions/") for how in TO_OUTPUTS),
    *((kind, "lose") for kind in ("cache/", "runs/", "state/", "pipeline/")),
]
"""Every kind of damage."""


def damage(mini: Mini, kind: str, how: str, number: int) -> str:
    """Damage the file or folder of this kind with this number, counted round; says what was done."""
    there = sorted(path for path in {**FILES, **FOLDERS}[kind](mini) if os.path.lexists(path))
    if not there:
        return f"no {kind} to damage"
    victim = there[number % len(there)]
    {**TO_FILES, **TO_OUTPUTS}[how](victim)
    return f"{how} {victim.relative_to(mini.root)}"


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    # Not the locks of processes, which hold nothing, nor logs, which nobody reads again.
    return [path for path in folder.rglob("*") if path.is_file() and not {"locks", "turns", "logs"} & {*path.parts}]


def _inside(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
