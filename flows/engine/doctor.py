"""What this machine has and lacks."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from flows.engine.console import cores
from tasks.base.environment import device_class
from tasks.base.files import ROOT


@dataclass(frozen=True)
class Check:
    """One thing looked at: what was found, whether that will do, and what to do if not."""

    name: str
    found: str
    passed: bool
    needed: bool
    advice: str = ""


def examine() -> list[Check]:
    """Look at the interpreter, the tools, the libraries, the disk and the device."""
    python = ".".join(map(str, sys.version_info[:3]))
    free = shutil.disk_usage(ROOT).free / 1e9
    checks = [
        Check("Python", python, sys.version_info >= (3, 11), True, "install Python 3.11 or later"),
        Check("free disk", f"{free:.0f} GB", free > 5, True, "free at least 5 GB"),
        Check("cores", str(cores()), True, False),
        Check("device", device_class(), True, False),
    ]
    for tool, use, needed in (
        ("git", "the record of code", True),
        ("npm", "data from npm packages", False),
        ("apt-get", "data from Debian packages", False),
        ("dpkg-deb", "data from Debian packages", False),
    ):
        path = shutil.which(tool)
        checks.append(Check(tool, path or f"absent, needed for {use}", bool(path), needed, f"install {tool}"))
    checks.append(_repository())
    pinned = _pins()
    for library, expected in pinned.items():
        try:
            found = version(library)
        except PackageNotFoundError:
            found = "absent"
        advice = f"install {library}=={expected}, for which Tenfold was tested"
        checks.append(Check(library, found, found.split("+")[0] == expected, library in NEEDED, advice))
    return checks


def _repository() -> Check:
    """Whether git says which commit this is: it refuses in a checkout that belongs to another user."""
    try:
        asked = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    except FileNotFoundError:
        return Check("commit", "unknown", False, False)
    if asked.returncode == 0:
        return Check("commit", asked.stdout.strip(), True, False)
    said = asked.stderr.strip() or "git does not say why"
    return Check("commit", f"unknown, so results will not name it: {said}", False, False)


NEEDED = ("torch", "prefect", "mlflow", "dvc", "fastapi")
"""Libraries whose other versions are known to break something here."""


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    return {name: pins[name] for name in NEEDED if name in pins}
