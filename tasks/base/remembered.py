"""What is noted in `.tenfold` so that a later process need not find it out again; what is not whole is forgotten."""

import json
import os
import threading
from hashlib import md5
from pathlib import Path
from typing import Any


def remember(path: Path, value: dict[str, Any]) -> None:
    """Note a value, and its checksum: a damaged note must not be taken for what was found out."""
    text = json.dumps(value).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    fresh.write_bytes(_sum(text) + b"\n" + text)
    fresh.replace(path)


def remembered(path: Path) -> dict[str, Any]:
    """The value that was noted; empty where there is none, or its bytes are others by now."""
    try:
        checksum, _, text = path.read_bytes().partition(b"\n")
        value: dict[str, Any] = json.loads(text) if checksum == _sum(text) else {}
    except (OSError, ValueError):
        return {}
    return value


def _sum(text: bytes) -> bytes:
    return md5(text, usedforsecurity=False).hexdigest().encode()
