"""Fetching: what is kept, what is refused, and in which words. No test reaches the network."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from flows.engine.catalogue import CATALOGUE, catalogue
from tasks.base.errors import RetryableError, UserError
from tasks.base.files import ROOT
from tasks.sources import fetch as module
from tasks.sources.fetch import Source, Unavailable, digest, fetch


def tarball(members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    """A .tgz whose members are files, or whatever their TarInfo says."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = content if isinstance(content, bytes) else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), mtime=0)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def wheel(files: dict[str, bytes]) -> bytes:
    """The smallest wheel that pip accepts, with these files."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return raw.getvalue()


class Clients:
    """A PATH that holds only the clients a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def add(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        path.chmod(0o755)

    def serve(self, name: str, archive: bytes, filename: str) -> None:
        stored = self.folder.parent / f"stored-{filename}"
        stored.write_bytes(archive)
        self.add(name, f"cp '{stored}' '{filename}'")


@pytest.fixture
def clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clients:
    made = Clients(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(made.folder))
    return made


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def npm_source(archive: bytes, **changes: object) -> Source:
    source = Source(
        name="tiny", kind="npm", package="@scope/tiny", version="1.0", files=("package/data/*.txt",),
        sha256=hashlib.sha256(archive).hexdigest(),
    )  # fmt: skip
    return replace(source, **changes)


def wheel_source(archive: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> Source:
    """A source whose wheel pip finds in `folder` and nowhere else."""
    folder.mkdir(exist_ok=True)
    (folder / "tiny-1.0-py3-none-any.whl").write_bytes(archive)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    source = Source(
        name="tiny", kind="wheel", package="tiny", version="1.0", files=("tiny/data/*.txt",),
        sha256=hashlib.sha256(archive).hexdigest(),
    )  # fmt: skip
    return replace(source, **changes)


GOOD = {"package/data/a.txt": b"first", "package/data/b.txt": b"second", "package/run.js": b"evil()"}


def test_npm_keeps_only_the_named_files_below_their_common_folder(clients: Clients, out: Path) -> None:
    archive = tarball(GOOD)
    clients.serve("npm", archive, "scope-tiny-1.0.tgz")
    fetch(config=npm_source(archive), out=out)
    assert {path.name: path.read_bytes() for path in out.glob("*.txt")} == {
        "a.txt": b"first",
        "b.txt": b"second",
    }
    assert sorted(path.name for path in out.iterdir()) == ["a.txt", "b.txt", "source.json"]
    about = json.loads((out / "source.json").read_text())
    assert about["sha256"] == hashlib.sha256(archive).hexdigest()
    assert (about["name"], about["version"]) == ("tiny", "1.0")


def test_npm_is_told_to_run_no_script_of_the_package(clients: Clients, out: Path, tmp_path: Path) -> None:
    archive = tarball(GOOD)
    (tmp_path / "stored").write_bytes(archive)
    clients.add("npm", f"echo \"$@\" > '{tmp_path}/arguments'\ncp '{tmp_path}/stored' tiny.tgz")
    fetch(config=npm_source(archive), out=out)
    assert (tmp_path / "arguments").read_text().startswith("pack @scope/tiny@1.0 --ignore-scripts")


def test_the_real_npm_packs_a_local_package(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "tiny"
    (package / "data").mkdir(parents=True)
    (package / "package.json").write_text('{"name": "tiny", "version": "1.0.0"}')
    (package / "data" / "a.txt").write_text("first")
    npm = module.shutil.which("npm")
    assert npm, "install npm (apt-get install npm)"
    subprocess.run([npm, "pack", "--silent", str(package)], cwd=tmp_path, check=True, capture_output=True)
    archive = tmp_path / "tiny-1.0.0.tgz"
    # The name before the version's @ may be any that npm understands, so a folder serves as the registry.
    source = npm_source(archive.read_bytes(), package="tiny", version=f"file:{archive}")
    fetch(config=source, out=out)
    assert (out / "a.txt").read_text() == "first"


def test_pip_fetches_the_same_bytes_twice(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = wheel_source(wheel({"tiny/data/a.txt": b"first"}), tmp_path / "index", monkeypatch)
    again = tmp_path / "again"
    again.mkdir()
    fetch(config=source, out=out)
    fetch(config=source, out=again)
    read = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (out, again)]
    assert read[0] == read[1]
    assert read[0]["a.txt"] == b"first"


def test_pip_refuses_a_changed_wheel(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = wheel_source(wheel({"tiny/data/a.txt": b"x"}), tmp_path / "index", monkeypatch, sha256="0" * 64)
    with pytest.raises(UserError, match="does not have the sha256 0000"):
        fetch(config=source, out=out)
    assert not list(out.iterdir())


def test_a_version_that_pip_cannot_find(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = wheel_source(wheel({}), tmp_path / "index", monkeypatch, version="2.0")
    with pytest.raises(Unavailable, match=r"pip has no tiny 2\.0 here"):
        fetch(config=source, out=out)


@pytest.mark.parametrize("optional", [False, True])
def test_a_wrong_hash_is_never_excused(clients: Clients, out: Path, optional: bool) -> None:
    clients.serve("npm", tarball(GOOD), "tiny.tgz")
    with pytest.raises(UserError, match="does not have the sha256"):
        fetch(config=npm_source(b"other", optional=optional), out=out)
    assert not list(out.iterdir())


@given(cut=st.floats(0.05, 0.95))
def test_a_truncated_archive_is_named_and_leaves_nothing(cut: float) -> None:
    """Even where the catalogue pins the hash of the truncated file, no half of it may be kept."""
    noise = hashlib.shake_256(b"noise").digest(4000)
    whole = tarball({"package/data/a.txt": noise, "package/data/b.txt": noise[::-1]})
    with pytest.MonkeyPatch.context() as patch, module.tempfile.TemporaryDirectory() as folder:
        made = Clients(Path(folder, "bin"))
        patch.setenv("PATH", str(made.folder))
        target = Path(folder, "out")
        target.mkdir()
        archive = whole[: int(cut * len(whole))]
        made.serve("npm", archive, "tiny.tgz")
        with pytest.raises(UserError, match=r"cut short or damaged|Nothing in"):
            fetch(config=npm_source(archive), out=target)
        assert not list(target.iterdir())


@pytest.mark.parametrize(
    "member",
    [
        {"package/../../evil.txt": b"x"},
        {"/etc/evil.txt": b"x"},
        {"..\\evil.txt": b"x"},
        {"C:/evil.txt": b"x"},
        {"package/data/out": link("package/data/out", "../../../etc")},
        {"package/data/out": link("package/data/out", "/etc/passwd")},
        {"package/data/out": link("package/data/out", "../outside", tarfile.LNKTYPE)},
        {"package/data/pipe": link("package/data/pipe", "", tarfile.FIFOTYPE)},
        {"package/data/disk": link("package/data/disk", "", tarfile.BLKTYPE)},
    ],
    ids=lambda member: next(iter(member)),
)
def test_a_tarball_that_leads_outside_is_refused_whole(clients: Clients, out: Path, member: dict[str, object]) -> None:
    archive = tarball({**GOOD, **member})  # type: ignore[dict-item]
    clients.serve("npm", archive, "tiny.tgz")
    with pytest.raises(UserError, match=r"leads outside its folder|is a device or a pipe"):
        fetch(config=npm_source(archive), out=out)
    assert not list(out.iterdir())


def test_a_missing_client_is_named(clients: Clients, out: Path) -> None:
    with pytest.raises(UserError, match="npm is not installed, and tiny is fetched with it: install npm"):
        fetch(config=npm_source(b""), out=out)


@pytest.mark.parametrize("there", ["apt-get", "dpkg-deb"])
def test_each_missing_debian_client_is_named(clients: Clients, out: Path, there: str) -> None:
    clients.add(there, "exit 1")
    other = {"apt-get": "dpkg-deb", "dpkg-deb": "apt-get"}[there]
    with pytest.raises(UserError, match=f"{other} is not installed"):
        fetch(config=npm_source(b"", kind="debian"), out=out)


def test_an_optional_source_without_its_client_says_so_and_nothing_else(
    clients: Clients, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_SPOOL", str(tmp_path / "spool"))
    fetch(config=npm_source(b"", kind="debian", optional=True), out=out)
    assert [path.name for path in out.iterdir()] == ["unavailable.json"]
    said = json.loads((out / "unavailable.json").read_text())
    assert said["source"] == "tiny"
    assert "not installed" in said["reason"]
    assert said["reason"] in json.loads((tmp_path / "spool").read_text())["text"]


def test_an_optional_source_that_the_release_lacks(clients: Clients, out: Path) -> None:
    clients.add("dpkg-deb", "exit 1")
    lacks = "echo \"E: Version '1.0' for 'tiny' was not found\" >&2; exit 100"
    clients.add("apt-get", f'case "$*" in *update*) exit 0;; *) {lacks};; esac')
    fetch(config=npm_source(b"", kind="debian", optional=True), out=out)
    assert [path.name for path in out.iterdir()] == ["unavailable.json"]


@pytest.mark.parametrize(
    "said",
    [
        "npm error code ENOTFOUND",
        "Temporary failure in name resolution",
        "Read timed out.",
        "503 Service Unavailable",
    ],
)
@pytest.mark.parametrize("optional", [False, True])
def test_no_network_is_worth_a_retry_and_never_cached_as_unavailable(
    clients: Clients, out: Path, said: str, optional: bool
) -> None:
    clients.add("npm", f"echo '{said}' >&2; exit 1")
    with pytest.raises(RetryableError):
        fetch(config=npm_source(b"", optional=optional), out=out)
    assert not list(out.iterdir())


def test_a_client_that_hangs_is_stopped(clients: Clients, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    clients.add("npm", "exec sleep 30")
    with pytest.raises(RetryableError, match="took more than"):
        fetch(config=npm_source(b""), out=out)


DEB = b"not a real .deb: the fake dpkg-deb below unpacks it"


def test_debian_files_come_out_below_their_folder(clients: Clients, out: Path, tmp_path: Path) -> None:
    content = gzip.decompress(tarball({
        "./usr/share/tiny/set.mm": b"$( text $)",
        "./usr/share/doc/tiny/copyright": b"CC0",
        "./usr/share/tiny/conf": link("./usr/share/tiny/conf", "/etc/tiny.conf"),
    }))  # fmt: skip
    (tmp_path / "content.tar").write_bytes(content)
    clients.add("dpkg-deb", f"cat '{tmp_path}/content.tar'")
    clients.serve("apt-get", DEB, "tiny_1.0_all.deb")
    source = npm_source(DEB, kind="debian", package="tiny", files=("usr/share/tiny/*.mm",))
    fetch(config=source, out=out)
    assert (out / "set.mm").read_bytes() == b"$( text $)"
    assert sorted(path.name for path in out.iterdir()) == ["set.mm", "source.json"]


def test_package_lists_are_fetched_into_a_private_folder_when_there_are_none(
    clients: Clients, out: Path, tmp_path: Path
) -> None:
    (tmp_path / "content.tar").write_bytes(gzip.decompress(tarball({"./set.mm": b"x"})))
    (tmp_path / "tiny.deb").write_bytes(DEB)
    clients.add("dpkg-deb", f"cat '{tmp_path}/content.tar'")
    clients.add("apt-get", f"""
echo "$*" >> '{tmp_path}/calls'
case "$*" in
  *Dir::State::lists=*update) exit 0;;
  *Dir::State::lists=*download*) cp '{tmp_path}/tiny.deb' tiny_1.0_all.deb;;
  *) echo 'E: Unable to locate package tiny' >&2; exit 100;;
esac""")  # fmt: skip
    fetch(config=npm_source(DEB, kind="debian", package="tiny", files=("set.mm",)), out=out)
    assert (out / "set.mm").read_bytes() == b"x"
    assert len((tmp_path / "calls").read_text().splitlines()) == 3


def test_a_package_cut_short_inside_is_a_damaged_archive(clients: Clients, out: Path, tmp_path: Path) -> None:
    """Without compression nothing but the tar's own sizes tells that a member is incomplete."""
    content = gzip.decompress(tarball({"./set.mm": b"x" * 5000}))[:3000]
    (tmp_path / "content.tar").write_bytes(content)
    clients.add("dpkg-deb", f"cat '{tmp_path}/content.tar'")
    clients.serve("apt-get", DEB, "tiny_1.0_all.deb")
    with pytest.raises(UserError, match="cut short or damaged"):
        fetch(config=npm_source(DEB, kind="debian", files=("set.mm",)), out=out)


def test_a_dpkg_that_fails_is_a_damaged_archive(clients: Clients, out: Path) -> None:
    clients.add("dpkg-deb", "exit 2")
    clients.serve("apt-get", DEB, "tiny_1.0_all.deb")
    with pytest.raises(UserError, match="cut short or damaged"):
        fetch(config=npm_source(DEB, kind="debian"), out=out)


def test_a_pattern_that_names_nothing_is_an_error(clients: Clients, out: Path) -> None:
    archive = tarball(GOOD)
    clients.serve("npm", archive, "tiny.tgz")
    with pytest.raises(UserError, match=r"Nothing in tiny is called package/\*\.csv"):
        fetch(config=npm_source(archive, files=("package/data/*", "package/*.csv")), out=out)


def test_a_folder_takes_the_place_of_a_package(out: Path, tmp_path: Path) -> None:
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "mine" / "deep" / "a.txt").write_bytes(b"mine")
    source = Source(name="mine", kind="folder", path=str(tmp_path / "mine"))
    fetch(config=source, out=out, folder=Path(source.folder))
    assert (out / "a.txt").read_bytes() == b"mine"
    assert json.loads((out / "source.json").read_text())["sha256"] == digest({"deep/a.txt": b"mine"})
    with pytest.raises(UserError, match="does not have the sha256"):
        fetch(config=replace(source, sha256="0" * 64), out=out, folder=Path(source.folder))
    gone = replace(source, path=str(tmp_path / "gone"))
    assert not gone.folder
    with pytest.raises(UserError, match=r"The folder .*gone of the source mine does not exist"):
        fetch(config=gone, out=out)


@given(st.dictionaries(st.text("ab/", min_size=1), st.binary(max_size=4)), st.text("ab", min_size=1), st.binary())
def test_the_digest_sees_every_name_and_byte(files: dict[str, bytes], name: str, data: bytes) -> None:
    assert digest(files) == digest(dict(reversed(files.items())))
    changed = {**files, name: data}
    assert (digest(changed) == digest(files)) == (changed == files)


def test_the_standard_library_is_the_one_of_the_catalogue_or_says_so(out: Path, capsys: pytest.CaptureFixture) -> None:
    source = catalogue()["python-stdlib"].source
    fetch(config=source, out=out)
    about = json.loads((out / "source.json").read_text())
    known = source.sha256_by_python.get(about["version"])
    assert ("may differ" in capsys.readouterr().out) == (about["sha256"] != known)
    names = [path.relative_to(out).as_posix() for path in out.rglob("*.py")]
    assert {"argparse.py", "email/message.py"} <= set(names)
    assert not [name for name in names if "/test" in name or "site-packages" in name]
    fetch(config=replace(source, sha256_by_python={}), out=out)
    assert "may differ from the published" in capsys.readouterr().out


def test_the_catalogue_is_complete_and_names_no_host() -> None:
    for name, entry in catalogue().items():
        assert all([entry.licence, entry.citation, entry.replaces]), name
    assert "://" not in (ROOT / CATALOGUE).read_text()


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"kind": "weel"}, "'wheel', 'npm', 'debian', 'stdlib' or 'folder'"),
        ({"kind": "npm", "package": "p", "version": "1"}, "a source of kind npm needs sha256"),
        ({"kind": "folder"}, "a source of kind folder needs path"),
        ({"kind": "stdlib", "licenze": "x"}, "^1 validation error for Source\nlicenze"),
        ({"kind": "stdlib", "optional": 3}, "^1 validation error for Source\noptional"),
    ],
)
def test_a_wrong_entry_is_refused_when_it_is_read(entry: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TypeAdapter(Source).validate_json(json.dumps({"name": "tiny", **entry}))


def test_planning_does_not_load_the_heavy_libraries() -> None:
    heavy = "{'torch', 'numpy', 'datasets'} & set(sys.modules)"
    code = f"import sys, tasks.sources.fetch, tasks.language.text; print(sorted({heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
