"""Fetch one source of data: through the ordinary client, checked against its hash, only what is used.

The catalogue is `data/sources.yaml`. An archive is verified before it is opened and its members are
read into memory before the first file is written, so a failure leaves nothing behind.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Literal

from models.config import config
from tasks.base import spool
from tasks.base.errors import RetryableError, UserError
from tasks.base.files import write_json
from tasks.sources.archives import read_archive

Kind = Literal["wheel", "npm", "debian", "stdlib", "folder"]

TIMEOUT = 900
"""Seconds that one client may take; the largest package here has 100 MB."""


class Unavailable(UserError):
    """This machine cannot have the source at all: its client is missing, or the release lacks it."""


@config
class Source:
    """A source of data: what decides which bytes are kept of it.

    `files` are shell patterns of what to keep, in which `*` also matches `/`. `sha256` is that of the
    downloaded wheel, tarball or .deb; a folder and the standard library have the hash of `digest`,
    the library one for each Python version.
    """

    name: str
    kind: Kind
    files: tuple[str, ...] = ("*",)
    package: str = ""
    version: str = ""
    path: str = ""
    sha256: str = ""
    sha256_by_python: dict[str, str] = field(default_factory=dict)
    optional: bool = False

    def __post_init__(self) -> None:
        """Refuse an entry that lacks what its kind needs."""
        needs = {"stdlib": (), "folder": ("path",)}.get(self.kind, ("package", "version", "sha256"))
        missing = [name for name in needs if not getattr(self, name)]
        if missing:
            raise ValueError(f"a source of kind {self.kind} needs {' and '.join(missing)}")

    @property
    def folder(self) -> str:
        """Where a source of kind folder lies; empty for the other kinds, and where nothing lies there."""
        found = os.path.expanduser(self.path) if self.kind == "folder" else ""
        return found if os.path.isdir(found) else ""


def fetch(*, config: Source, out: Path, folder: Path | None = None) -> None:
    """Write the kept files of one source below their common folder, and `source.json` about it.

    `folder` is what a source of kind folder is read from: an input, so that what changes in it is fetched again.
    An optional source that this machine cannot have leaves only `unavailable.json`. Raises UserError
    in one sentence for a wrong hash, a damaged or hostile archive, a missing client or folder;
    RetryableError when the network does not answer.
    """
    try:
        read = _own_folder(config, folder) if config.kind == "folder" else _READ[config.kind](config)
    except Unavailable as reason:
        if not config.optional:
            raise
        write_json(out / "unavailable.json", {"source": config.name, "reason": str(reason)})
        spool.note(f"The optional source {config.name} is not available: {reason}")
        return
    files, sha256, version = read
    common = os.path.commonpath([PurePosixPath(name).parent for name in files])
    for name, data in sorted(files.items()):
        target = out / PurePosixPath(name).relative_to(common)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    about = {"name": config.name, "kind": config.kind, "package": config.package}
    write_json(out / "source.json", {**about, "version": version, "sha256": sha256})


def digest(files: dict[str, bytes]) -> str:
    """The canonical sha256 of a set of files: their relative paths, lengths and bytes, in order of path."""
    total = hashlib.sha256()
    for name, data in sorted(files.items()):
        total.update(f"{name}\0{len(data)}\0".encode() + data)
    return total.hexdigest()


# ------------------------------------------------------------------ the kinds

Read = tuple[dict[str, bytes], str, str]
"""Kept files by path, the sha256 that identifies them, the version they have."""


def _wheel(source: Source) -> Read:
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder) / "requirement"
        requirement.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n")
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-input"]
        _client(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                *options,
                "--dest",
                f"{folder}/wheel",
                "-r",
                str(requirement),
            ],
            source,
            folder,
            wrong_hash="DO NOT MATCH THE HASHES",
        )
        return _archive(source, Path(folder, "wheel"))


def _npm(source: Source) -> Read:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "npm",
            "pack",
            f"{source.package}@{source.version}",
            "--ignore-scripts",
            "--loglevel=error",
        ]
        _client(command, source, folder)
        return _archive(source, Path(folder))


def _debian(source: Source) -> Read:
    if shutil.which("dpkg-deb") is None:
        raise _missing("dpkg-deb", source)
    with tempfile.TemporaryDirectory() as folder:
        command = ["apt-get", "--quiet", "download", f"{source.package}={source.version}"]
        try:
            _client(command, source, folder)
        except Unavailable:
            # Fresh containers have no package lists; private ones need no root and leave the system as it is.
            for name in ("state/lists/partial", "cache/archives/partial", "deb"):
                Path(folder, name).mkdir(parents=True)
            lists = ["-o", f"Dir::State::lists={folder}/state/lists", "-o", f"Dir::Cache={folder}/cache"]
            _client(["apt-get", "--quiet", *lists, "update"], source, folder)
            _client([command[0], *lists, *command[1:]], source, f"{folder}/deb")
            shutil.move(next(Path(folder, "deb").glob("*.deb")), folder)
        return _archive(source, Path(folder))


def _stdlib(source: Source) -> Read:
    root = Path(sysconfig.get_paths()["stdlib"])
    version = platform.python_version()
    files = _folder_files(source, root)
    if not files:
        raise Unavailable(f"This Python has no library files in {root}: use one that is installed unpacked.")
    found = digest(files)
    if source.sha256_by_python.get(version) != found:
        spool.note(
            f"The standard library of this Python {version} is not one that the catalogue knows, "
            "so digests and figures may differ from the published ones."
        )
    return files, found, version


def _own_folder(source: Source, folder: Path | None) -> Read:
    if folder is None:
        raise Unavailable(f"The folder {source.path} of the source {source.name} does not exist: correct its path.")
    files = _complete(source, _folder_files(source, folder))
    found = digest(files)
    if source.sha256 and found != source.sha256:
        raise _wrong_hash(source, found)
    return files, found, source.version


_READ = {"wheel": _wheel, "npm": _npm, "debian": _debian, "stdlib": _stdlib}


# ------------------------------------------------------------------ clients

_NETWORK = re.compile(
    r"timed? ?out|connection|temporary failure|could ?n.?t? resolve|failed to fetch|network|proxy"
    r"|ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ERR_SOCKET|\b50[0-4]\b|\bssl",
    re.IGNORECASE,
)


def _client(command: list[str], source: Source, folder: str, wrong_hash: str | None = None) -> None:
    """Run a registry's client in `folder`; what it says goes to the log, its failure into one sentence."""
    client = "pip" if "pip" in command else command[0]
    if shutil.which(command[0]) is None:
        raise _missing(client, source)
    try:
        done = subprocess.run(
            command, check=False, cwd=folder, env={**os.environ, "LC_ALL": "C"}, timeout=TIMEOUT, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RetryableError(f"{client} took more than {TIMEOUT} s to fetch {source.name}: try again.") from None
    if done.returncode == 0 and "Failed to fetch" not in done.stdout:
        return
    print(done.stdout, file=sys.stderr, flush=True)
    if wrong_hash and wrong_hash in done.stdout:
        raise _wrong_hash(source, None)
    if "No module named pip" in done.stdout:
        raise _missing(client, source)
    if _NETWORK.search(done.stdout):
        raise RetryableError(
            f"{client} could not reach its registry for {source.name}: see the network, then try again."
        )
    raise Unavailable(
        f"{client} has no {source.package} {source.version} here: choose another version of "
        f"{source.name} in data/sources.yaml, or point it at a folder."
    )


def _missing(client: str, source: Source) -> Unavailable:
    return Unavailable(
        f"{client} is not installed, and {source.name} is fetched with it: install {client}, "
        "or point the source at a folder in data/sources.yaml."
    )


def _wrong_hash(source: Source, found: str | None) -> UserError:
    seen = f" but {found}" if found else ""
    return UserError(
        f"What was fetched for {source.name} does not have the sha256 {source.sha256}{seen}: it was "
        "cut short or changed, so nothing of it was kept; try again, and if it is meant to differ correct "
        "data/sources.yaml."
    )


# ------------------------------------------------------------------ files


def _archive(source: Source, folder: Path) -> Read:
    """Check the one archive that the client left in `folder`, then read the kept files out of it."""
    found = [path for path in folder.iterdir() if path.suffix in (".whl", ".tgz", ".deb")]
    if len(found) != 1:
        raise UserError(f"{len(found)} archives instead of one came for {source.name}: report it with this log.")
    sha256 = hashlib.sha256(found[0].read_bytes()).hexdigest()
    if sha256 != source.sha256:
        raise _wrong_hash(source, sha256)
    files = read_archive(found[0], lambda path: _wanted(source, path))
    return _complete(source, files), sha256, source.version


def _wanted(source: Source, path: str) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in source.files)


def _folder_files(source: Source, root: Path) -> dict[str, bytes]:
    files = {}
    for folder, inner, names in os.walk(root):
        # The standard library holds the installed packages, gigabytes of them, none of them its own.
        inner[:] = [name for name in inner if name not in ("site-packages", "__pycache__")]
        for path in (Path(folder, name) for name in names):
            name = path.relative_to(root).as_posix()
            if _wanted(source, name):
                files[name] = path.read_bytes()
    return files


def _complete(source: Source, files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files if every pattern names at least one."""
    for pattern in source.files:
        if not any(fnmatchcase(path, pattern) for path in files):
            raise UserError(f"Nothing in {source.name} is called {pattern}: correct its files in data/sources.yaml.")
    return files
