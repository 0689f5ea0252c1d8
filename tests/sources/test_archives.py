"""Archives: nothing that is damaged or leads outside its folder is read. The tarballs are in test_fetch.py."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.base.errors import UserError
from tasks.sources import archives
from tasks.sources.archives import _escapes, read_archive


def zipped(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return raw.getvalue()


def test_a_truncated_wheel(tmp_path: Path) -> None:
    (tmp_path / "tiny.whl").write_bytes(zipped({"tiny/data/a.txt": b"first" * 1000})[:-30])
    with pytest.raises(UserError, match=r"tiny.whl is cut short or damaged"):
        read_archive(tmp_path / "tiny.whl", lambda path: True)


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "tiny/data/../../../evil.txt"])
def test_a_wheel_that_leads_outside_is_refused_whole(tmp_path: Path, name: str) -> None:
    archive = zipped({"tiny/data/a.txt": b"good", name: b"evil"})
    (tmp_path / "tiny.whl").write_bytes(archive)
    with pytest.raises(UserError, match="leads outside its folder"):
        read_archive(tmp_path / "tiny.whl", lambda path: True)


def test_a_wheel_with_a_link_that_leads_outside(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as file:
        info = zipfile.ZipInfo("tiny/data/a.txt")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "../../../etc/passwd")
    (tmp_path / "tiny.whl").write_bytes(raw.getvalue())
    with pytest.raises(UserError, match="leads outside its folder"):
        read_archive(tmp_path / "tiny.whl", lambda path: True)


def test_an_archive_that_unpacks_to_more_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST", 1000)
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("a", "b"):
            file.writestr(name, b"0" * 600)
    (tmp_path / "bomb.whl").write_bytes(raw.getvalue())
    assert read_archive(tmp_path / "bomb.whl", lambda path: path == "a"), "what is not wanted is not unpacked"
    with pytest.raises(UserError, match="unpacks to more than"):
        read_archive(tmp_path / "bomb.whl", lambda path: True)


@pytest.mark.parametrize(("place", "value"), [("flag_bits", 1), ("compress_type", 99)])
def test_an_encrypted_wheel_and_an_unknown_compression(tmp_path: Path, place: str, value: int) -> None:
    raw = bytearray(zipped({"tiny/a.txt": b"first"}))
    for start, offsets in (
        (b"PK\3\4", {"flag_bits": 6, "compress_type": 8}),
        (b"PK\1\2", {"flag_bits": 8, "compress_type": 10}),
    ):
        raw[raw.index(start) + offsets[place]] |= value
    (tmp_path / "tiny.whl").write_bytes(bytes(raw))
    with pytest.raises(UserError, match=r"tiny.whl cannot be read \(.*kind: folder"):
        read_archive(tmp_path / "tiny.whl", lambda path: True)


@given(st.lists(st.sampled_from(["a", "..", ".", "b"]), min_size=1, max_size=8))
def test_a_path_escapes_when_its_steps_ever_end_above_the_start(parts: list[str]) -> None:
    depth = 0
    escaped = False
    for part in parts:
        depth += {"..": -1, ".": 0}.get(part, 1)
        escaped = escaped or depth < 0
    # A path that dips out and comes back ("../a") is refused as well: it names a folder above.
    assert _escapes("/".join(parts)) == escaped
