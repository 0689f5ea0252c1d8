"""What this machine has and lacks."""

import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from flows.engine.console import cores
from tasks.base.environment import device_class, processor_model
from tasks.base.files import ROOT
from tasks.base.instructions import PORTABLE, allowed
from tasks.running.digests import Digests
from tasks.running.spools import git


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
        _instructions(),
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


def _instructions() -> Check:
    """Which records this machine can confirm byte by byte, by the instructions to which its libraries are held."""
    level = allowed(processor_model())
    advice = (
        "a processor with AVX2, and no TENFOLD_NATIVE, confirms the common record; this one has a record of its own"
    )
    if not (ROOT / "data/environment").exists():
        return Check("instructions", level, level == PORTABLE, False, advice)
    locks = [file.read_text() for file in sorted(ROOT.glob("pipelines/*/*/dvc.lock"))]
    recorded = [digest for text in locks for digest in re.findall(DESCRIBED, text)]
    same = recorded.count(Digests().digest("data/environment"))
    found = f"{level}; can confirm {same} of {len(recorded)} recorded stages byte by byte"
    return Check("instructions", found, level == PORTABLE, False, advice)


def _repository() -> Check:
    """Whether git says which commit this is: it refuses in a checkout that belongs to another user."""
    try:
        asked = git("rev-parse", "--short", "HEAD")
    except FileNotFoundError:
        return Check("commit", "unknown", False, False)
    if asked.returncode == 0:
        return Check("commit", asked.stdout.strip(), True, False)
    said = asked.stderr.strip() or "git does not say why"
    return Check("commit", f"unknown, so results will not name it: {said}", False, False)


DESCRIBED = r"path: data/environment\n +hash: md5\n +md5: (\S+)"
"""In a lock: the digest of what a stage's machine was, where its bytes are to be the same on others."""

NEEDED = ("torch", "prefect", "mlflow", "dvc", "fastapi")
"""Libraries whose other versions are known to break something here."""


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    return {name: pins[name] for name in NEEDED if name in pins}
