"""Judge a paper's claims on what its stages measured."""

from pathlib import Path

from tasks.claims import Judging
from tasks.report import write_json


def judge(*, results: Path, registered: Path, config: Judging, out: Path) -> None:
    """Write verdicts.json."""
    write_json(out / "verdicts.json", {"claims": [], "controls": []})
