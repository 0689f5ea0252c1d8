"""Where this repository is, JSON files in it, and digests of files and folders."""

import json
from hashlib import md5
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".tenfold"
"""Working state of this machine: checkpoints, spools, locks, logs. Nothing in it is a result."""


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON with sorted keys."""
    path.write_text(json.dumps(value, sort_keys=True, indent=1) + "\n", encoding="utf-8")


def file_digest(path: Path) -> str:
    return md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def folder_digest(folder: str | Path) -> str:
    """The digest of a folder or file as DVC computes it, so that one name for the bytes holds everywhere."""
    folder = Path(folder)
    if folder.is_file():
        return file_digest(folder)
    files = (path for path in folder.rglob("*") if path.is_file())
    listing = [{"md5": file_digest(path), "relpath": path.relative_to(folder).as_posix()} for path in files]
    listing.sort(key=lambda entry: entry["relpath"])
    return md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def slug(path: str) -> str:
    """A path as a single file name."""
    return path.strip("/").replace("/", "--")
