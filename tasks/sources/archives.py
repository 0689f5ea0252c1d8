"""Read the wanted files of a wheel, tarball or Debian package into memory, and trust nothing in it.

Nothing is ever unpacked: only regular files are read, and one member that leads outside its folder,
by its name or as a link, or that is a device, refuses the whole archive.
"""

import io
import posixpath
import stat
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

from tasks.base.errors import UserError

Member = tuple[str, str | None, int, Callable[[], bytes] | None]
"""A member's name, where it links to from the archive's root (if a link), its size, how to read it (if a file)."""


LARGEST = 4 << 30
"""Bytes that the wanted files of an archive may have together; all are held in memory. A small archive may unpack to
any size."""


def read_archive(path: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The regular files of a `.whl`, `.tgz` or `.deb` whose path is wanted, by path.

    Raises UserError where the archive is cut short, damaged, encrypted, or leads outside its folder.
    """
    members = {".whl": _zip_members, ".tgz": _tar_members, ".deb": _deb_members}[path.suffix]
    files = {}
    total = 0
    try:
        for name, link, size, read in members(path):
            if _escapes(name) or (link is not None and _escapes(link)):
                raise UserError(f"The archive {path.name} holds {name!r}, which leads outside its folder.")
            if read and wanted(posixpath.normpath(name)):
                total += size
                if total > LARGEST:
                    raise UserError(
                        f"The archive {path.name} unpacks to more than {LARGEST >> 30} GiB: name fewer of its files."
                    )
                files[posixpath.normpath(name)] = read()
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, subprocess.CalledProcessError):
        raise UserError(f"The archive {path.name} is cut short or damaged: fetch it again.") from None
    except (RuntimeError, NotImplementedError) as problem:  # zipfile's words for a password and for a method
        raise UserError(
            f"The archive {path.name} cannot be read ({problem}): unpack it, and use kind: folder."
        ) from None
    return files


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if stat.S_ISLNK(info.external_attr >> 16):
                target = archive.read(info).decode()
                yield info.filename, posixpath.join(posixpath.dirname(info.filename), target), 0, None
            else:
                read = None if info.is_dir() else partial(archive.read, info)
                yield info.filename, None, info.file_size, read


def _tar_members(path: Path) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        yield from _open_tar_members(archive)


def _deb_members(path: Path) -> Iterator[Member]:
    content = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for name, link, size, read in _open_tar_members(archive):
            # A package is unpacked at the root of the file system, so its absolute links stay inside.
            yield name, link.lstrip("/") if link else link, size, read


def _open_tar_members(archive: tarfile.TarFile) -> Iterator[Member]:
    for info in archive:
        if info.issym():
            yield info.name, posixpath.join(posixpath.dirname(info.name), info.linkname), 0, None
        elif info.islnk():
            yield info.name, info.linkname, 0, None
        elif info.isreg():
            yield info.name, None, info.size, partial(_tar_bytes, archive, info)
        elif info.isdir():
            yield info.name, None, 0, None
        else:
            raise UserError(f"The archive holds {info.name!r}, which is a device or a pipe.")


def _tar_bytes(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info)
    assert file is not None  # only called for regular files
    return file.read()


def _escapes(path: str) -> bool:
    """Whether a path leaves its folder, on POSIX or on Windows."""
    steps = PurePosixPath(posixpath.normpath(path)).parts
    return steps[:1] in (("/",), ("//",), ("..",)) or "\\" in path or PureWindowsPath(path).drive != ""
