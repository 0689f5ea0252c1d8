"""What annotation takes in and lets out: pictures, alt-texts, the page's server, the command."""

import json
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from made_annotations import GOOD, SVG, drawn, make_annotations, make_photos
from starlette.testclient import TestClient

from tasks.base.errors import UserError
from tools.annotate import agreement, page, pictures, store
from tools.annotate.alts import Alt, read_alts
from tools.annotate.cli import annotate
from tools.annotate.pictures import find
from tools.annotate.rounds import Annotations, remember


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


@pytest.fixture
def made(folder: Path) -> Annotations:
    return make_annotations(folder)


# ------------------------------------------------------------------ pictures


def test_what_cannot_be_shown_is_named_with_its_reason_and_the_rest_goes_on(folder: Path) -> None:
    found = find(folder, {})
    assert [picture.path for picture in found.pictures] == GOOD
    assert [picture.media for picture in found.pictures] == ["image/jpeg", "image/png", "image/webp", "image/svg+xml"]
    reasons = {
        "cut.jpg": "is not a whole",
        "bomb.png": "has more than 89 million pixels",
        "words.gif": "is no PNG, JPEG, WebP or GIF, whatever its name says",
        "page.svg": "is XML, but not SVG",
        "broken.svg": "is not well-formed SVG",
        r"'new\nline.png'": "rename it",
    }
    assert found.unreadable.keys() == reasons.keys()
    for path, reason in reasons.items():
        assert reason in found.unreadable[path]
    assert found.not_shown == {".heic": 1}


def test_a_second_look_decodes_only_what_has_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find(folder, {})
    decoded: list[str] = []
    look = pictures._look
    monkeypatch.setattr(pictures, "_look", lambda *given: (decoded.append(given[1]), look(*given))[1])
    assert find(folder, first.remembered) == first
    assert decoded == []
    (folder / "hut-10.png").write_bytes(drawn("PNG", "green", (41, 30)))
    assert find(folder, first.remembered) != first
    assert decoded == ["hut-10.png"]


# ------------------------------------------------------------------ alt-texts


@pytest.mark.parametrize(
    ("name", "data", "found", "said"),
    [
        ("a.csv", "image,alt\nhut-2.jpg,Höhe\n".encode(), {"hut-2.jpg": "Höhe"}, ""),
        ("a.csv", "\ufeffAlt;Image\nHöhe;./hut-2.jpg\n".encode(), {"hut-2.jpg": "Höhe"}, ""),
        ("a.csv", "image\talt\nlake\\se\u0301e.webp\tHöhe\n".encode("utf-16"), {"lake/sée.webp": "Höhe"}, ""),
        ("a.csv", "image,alt\nhut-2.jpg,Höhe\n".encode("cp1252"), {"hut-2.jpg": "Höhe"}, "read as Windows-1252"),
        ("a.csv", b"image,alt\nhut-2.jpg,a\0b\n", {"hut-2.jpg": "ab"}, "NUL characters"),
        ("a.csv", b'image,alt\nhut-2.jpg,"a\n b"\nhut-10.png,\n', {"hut-2.jpg": "a b", "hut-10.png": ""}, ""),
        ("a.csv", b"image,alt\nhut-2.jpg,a\nhut-2.jpg,b\nhut-2.jpg,a\n", {"hut-2.jpg": "a; b"}, "1 image with several"),
        ("a.csv", b"image,alt\nno.png,a\n../x.png,b\n", {}, "2 images not in"),
        ("a.csv", b"image,alt\nhut-2.jpg\nhut-10.png,b\n", {"hut-10.png": "b"}, "1 line without"),
        (
            "a.json",
            b'{"data":[{"img_path":"hut-2.jpg","alt":"a","source":"wit"},5]}',
            {"hut-2.jpg": "a"},
            "1 line without",
        ),
        ("a.jsonl", b'{"img_path":"hut-2.jpg","alt":null}\n{"img_pa\n', {"hut-2.jpg": ""}, "1 line without"),
    ],
)
def test_alt_texts_are_read_in_whatever_state_they_are(
    tmp_path: Path, name: str, data: bytes, found: dict[str, str], said: str
) -> None:
    (tmp_path / name).write_bytes(data)
    alts, notes = read_alts(tmp_path / name, tmp_path / "photos", GOOD)
    assert {path: alt.text for path, alt in alts.items()} == found
    assert said in " ".join(notes)
    assert bool(said) == bool(notes)


def test_paths_written_from_elsewhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "alts.csv").write_text(f"image,alt\n{tmp_path}/photos/hut-2.jpg,a\n")
    assert read_alts(tmp_path / "alts.csv", tmp_path / "photos", GOOD)[0]["hut-2.jpg"] == Alt("a")


# ------------------------------------------------------------------ the server

OWN = {"origin": "http://127.0.0.1:8420", "content-type": "application/json"}


@pytest.fixture
def client(made: Annotations, folder: Path) -> TestClient:
    return TestClient(page.application(made, folder, 2, "Ada"), base_url="http://127.0.0.1:8420")


def edit(made: Annotations, path: str = "hut-10.png", **other: Any) -> tuple[str, bytes]:
    picture = made.by_path[path]
    body = {"id": "12345678", "after": "", "round": 2, "by": "Ada", "sha256": picture.sha256, "state": "accepted",
            "text": " A hut. ", "seconds": 2.5, **other}  # fmt: skip
    return f"/api/pictures/{picture.key}", json.dumps(body).encode()


def test_an_edit_is_in_the_log_with_who_when_and_which_bytes(client: TestClient, made: Annotations) -> None:
    address, body = edit(made)
    for _ in range(2):  # a page that has heard no answer sends it again
        answer = client.post(address, content=body, headers=OWN)
        assert answer.status_code == 200
        assert (answer.json()["state"], answer.json()["clash"]) == ("accepted", False)
    lines = (made.store / "round-2.jsonl").read_text().splitlines()
    assert len(lines) == 3
    saved = json.loads(lines[-1])
    assert saved.pop("time").endswith("+00:00")
    assert saved == {"id": "12345678", "after": "", "by": "Ada", "image": "hut-10.png", "round": 2, "state": "accepted",
                     "sha256": made.by_path["hut-10.png"].sha256, "text": "A hut.", "seconds": 2.5}  # fmt: skip
    assert client.get(address).json()["text"] == "A hut."


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "null"},
        {"origin": ""},
        {"host": "evil.example:8420"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "evil.example:8420", "origin": "http://evil.example:8420"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"content-type": "text/plain"},
    ],
)
def test_another_site_cannot_post(client: TestClient, made: Annotations, changed: dict[str, str]) -> None:
    before = (made.store / "round-2.jsonl").read_bytes()
    address, body = edit(made)
    assert client.post(address, content=body, headers={**OWN, **changed}).status_code == 403
    assert (made.store / "round-2.jsonl").read_bytes() == before


def test_another_site_cannot_read(client: TestClient, made: Annotations) -> None:
    picture = f"/picture/{made.by_path['tick.svg'].sha256}"
    for address in ("/", "/api/pictures", picture):
        assert client.get(address, headers={"host": "evil.example"}).status_code == 403
        assert client.get(address, headers={"sec-fetch-site": "cross-site"}).status_code == 403
        assert client.get(address).status_code == 200
        assert client.get(address).headers["cross-origin-resource-policy"] == "same-origin"
    link = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}
    assert client.get("/", headers=link).status_code == 200
    assert client.get("/api/pictures", headers=link).status_code == 403
    assert "frame-ancestors 'none'" in client.get("/").headers["content-security-policy"]


def test_an_svg_is_served_as_an_image_that_runs_nothing(client: TestClient, made: Annotations) -> None:
    address = f"/picture/{made.by_path['tick.svg'].sha256}"
    answer = client.get(address)
    assert answer.content == SVG
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "sandbox"} <= set(policy)
    assert client.get(address, headers={"sec-fetch-dest": "document"}).status_code == 403
    assert client.get(address, headers={"sec-fetch-dest": "iframe"}).status_code == 403


def test_no_path_leads_out_of_the_folder(client: TestClient, folder: Path) -> None:
    (folder.parent / "secret.png").write_bytes(drawn("PNG", "black"))
    for start, name in product(
        ("/picture/", "/assets/", "/api/pictures/"), ("../secret.png", "page.py", "/etc/passwd")
    ):
        for path in (name, name.replace("/", "%2f"), name.replace(".", "%2e").replace("/", "%2f")):
            answer = client.get(start + path)
            assert answer.status_code in (403, 404, 405)
            assert b"PNG" not in answer.content
    # A file that was put in the place of another is not shown either.
    client_key = client.get("/api/pictures").json()["pictures"][1]
    (folder / "hut-10.png").write_bytes((folder.parent / "secret.png").read_bytes())
    assert client.get(f"/picture/{client_key['sha256']}").status_code == 404


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({"text": "  "}, 422),
        ({"text": "x" * 20_001}, 422),
        ({"state": "done"}, 422),
        ({"seconds": -1}, 422),
        ({"text": "\ud800"}, 422),
        ({"more": 1}, 422),
        ({"round": 1}, 409),
        ({"by": "Bo"}, 409),
        ({"sha256": "0" * 64}, 404),
    ],
)
def test_a_wrong_edit_is_refused_and_not_saved(
    client: TestClient, made: Annotations, other: dict[str, Any], status: int
) -> None:
    before = (made.store / "round-2.jsonl").read_bytes()
    address, body = edit(made, **other)
    assert client.post(address, content=body, headers=OWN).status_code == status
    assert (made.store / "round-2.jsonl").read_bytes() == before


def test_an_edit_that_cannot_be_written_is_not_called_saved(
    client: TestClient, made: Annotations, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    address, body = edit(made)
    answer = client.post(address, content=body, headers=OWN)
    assert (answer.status_code, answer.json()["detail"]) == (507, "Not saved, the disk says: No space left on device.")


def test_a_second_person_at_once_is_told_of_the_first(client: TestClient, made: Annotations, folder: Path) -> None:
    address, body = edit(made)
    client.post(address, content=body, headers=OWN)
    elsewhere = Annotations(made.store, made.pictures, made.alts)
    bo = TestClient(page.application(elsewhere, folder, 2, "Bo"), base_url="http://127.0.0.1:8420")
    seen = bo.get("/api/changes?seen=0").json()["seen"]
    said = bo.post(address, content=edit(made, id="bo-87654321", by="Bo", text="Bo's hut")[1], headers=OWN).json()
    assert (said["clash"], said["contested"]) == (True, True)
    assert [each["text"] for each in said["versions"]] == ["Bo's hut", "A hut."]
    changed = client.get(f"/api/changes?seen={seen}").json()["pictures"]
    assert [(each["path"], each["contested"]) for each in changed] == [("hut-10.png", True)]
    assert client.get(address).json()["text"] == "A hut."  # each sees the own text first
    assert bo.get(address).json()["text"] == "Bo's hut"


def test_search_finds_names_alt_texts_and_texts(client: TestClient, made: Annotations) -> None:
    def found(words: str) -> list[str]:
        return [made.by_key[key].path for key in client.get("/api/search", params={"words": words}).json()]

    assert found("SMALL hut") == ["hut-2.jpg"]
    assert found("lake/") == found("sée blue") == ["lake/sée.webp"]
    assert found("green") == ["tick.svg"]
    assert found("") == GOOD


# ------------------------------------------------------------------ the command


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda at: {"images": at / "none"}, "does not exist: name the folder that holds the pictures"),
        (lambda at: {"images": at / "photos/tick.svg"}, "is a file: name the folder"),
        (lambda at: {"images": at / "empty"}, "holds no picture that can be shown: put PNG"),
        (lambda at: {"alt": at / "none.csv"}, "cannot be read (No such file or directory)"),
        (lambda at: {"alt": at / "wrong.csv"}, "has no columns image and alt in its first line (it has picture, text)"),
        (lambda at: {"alt": at / "wrong.json"}, 'does not hold {"data": [records]}'),
        (lambda at: {"by": "  "}, "Who annotates? Give a name"),
        (lambda at: {"by": "a\nb"}, "Who annotates? Give a name"),
        (lambda at: {"number": 2}, "Round 1 has no accepted text yet"),
        (lambda at: {"report": True}, "There are no annotations in"),
        (lambda at: {"export": at / "out.json"}, "There are no annotations in"),
        (lambda at: {"as_json": True}, "say --report --json"),
        (lambda at: {"store": at / "wrong.csv"}, "cannot be written (File exists)"),
    ],
)
def test_bad_input_is_one_sentence(
    folder: Path, tmp_path: Path, given: Callable[[Path], dict[str, Any]], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong.csv").write_text("picture,text\n")
    (tmp_path / "wrong.json").write_text("[}")
    with pytest.raises(UserError) as raised:
        annotate(**{"images": folder, "by": "Ada", "port": 0, **given(tmp_path)})
    assert said in str(raised.value)


def test_the_report_and_the_export_of_the_command(
    made: Annotations, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remember(made.store, {}, made.alts)
    annotate(folder, store=made.store, report=True, as_json=True)
    assert json.loads(capsys.readouterr().out) == agreement.report(made)
    annotate(folder, store=made.store, report=True, export=tmp_path / "out.json")
    told = capsys.readouterr()
    rows = {cells[0]: cells[1:] for cells in re.findall(r"│ ([a-z ]+?) +│ (\S+) +│ (\S+) +│", told.out)}
    assert rows["words after"] == ("3.0", "3.5")
    assert rows["changed share"] == ("50%", "100%")
    assert re.search(r"│ 2 +│ Bo +│ 2 +│ 0 +│ 2 +│ 0.2 +│ 6 +│", told.out)
    assert "Wrote 2 records with round 2 accepted" in told.out
    assert "left out: 2 to do." in told.out
    assert "No record has the round3 that Altogether trains on: the last round is 2." in told.err
    assert [record["img_path"] for record in json.loads((tmp_path / "out.json").read_text())["data"]] == [
        "hut-2.jpg",
        "lake/sée.webp",
    ]
