"""Where this repository is, and the files in it."""

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
    """The MD5 of a file."""
    return md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def slug(path: str) -> str:
    """A path as a single file name."""
    return path.strip("/").replace("/", "--")
