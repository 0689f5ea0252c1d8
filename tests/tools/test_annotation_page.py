"""The annotation page in a real browser: what it calls saved is saved, by keyboard, on a phone, in both themes."""

import functools
import http.server
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ROOT, shoot, wait_for
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

from flows.engine.server import free_port
from tools.annotate import agreement

SCRIPTED = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90" onload="fetch(\'/ran\')">'
    "<script>fetch('/ran'); document.documentElement.innerHTML = ''</script>"
    '<circle cx="45" cy="45" r="40" fill="teal"/></svg>'
)
ALTS = "image,alt\n1-hut.png,Alpine hut 1923\n2-lake.jpg,lake\n3-tick.svg,tick\n"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    hut = Image.new("RGB", (1200, 800), (170, 200, 230))
    draw = ImageDraw.Draw(hut)
    draw.rectangle((0, 500, 1200, 800), fill=(90, 140, 80))
    draw.rectangle((420, 360, 700, 600), fill=(150, 60, 50))
    draw.polygon([(380, 360), (560, 200), (740, 360)], fill=(90, 50, 45))
    hut.save(folder / "1-hut.png")
    hut.rotate(180).resize((300, 500)).save(folder / "2-lake.jpg")
    (folder / "3-tick.svg").write_text(SCRIPTED)
    (tmp_path / "alts.csv").write_text(ALTS)
    return folder


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def start(photos: Path, port: int) -> Iterator[Start]:
    """Starts the command as a user does, and waits until its page answers."""
    running = []

    def begin(*arguments: str, at: int = port) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tools", "annotate", str(photos), "--port", str(at), *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        running.append(process)
        wait_for(lambda: _answers(at) or process.poll() is not None, "an answer of the page")
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def log(photos: Path, number: int = 1) -> list[dict[str, str]]:
    lines = (photos.parent / f"photos-annotations/round-{number}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def opened(page: Page, port: int) -> Page:
    page.goto(f"http://127.0.0.1:{port}")
    expect(page.locator("#text")).to_be_enabled()
    return page


def test_a_round_by_keyboard_then_the_next_by_somebody_else(start: Start, photos: Path, port: int, page: Page) -> None:
    """The lie: a text on the page that the log, a reload or the next round does not have."""
    wrong: list[str] = []
    page.on("pageerror", lambda problem: wrong.append(str(problem)))
    server = start("--alt", str(photos.parent / "alts.csv"), "--by", "Ada")
    text, saved = opened(page, port).locator("#text"), page.locator("#saved")
    expect(text).to_be_focused()
    expect(text).to_have_value("Alpine hut 1923")
    page.keyboard.type(": a red hut")
    expect(page.locator("#diff ins")).to_have_text([": a red hut"])
    expect(page.locator("#tally")).to_have_text("3 kept, 3 added, 0 removed")
    expect(saved).to_have_text("saved")
    assert (log(photos)[-1]["state"], log(photos)[-1]["text"]) == ("draft", "Alpine hut 1923: a red hut")
    page.keyboard.press("Alt+u")
    expect(text).to_have_value("Alpine hut 1923")
    page.keyboard.press("Alt+u")
    expect(text).to_have_value("Alpine hut 1923: a red hut")
    page.locator("#accept").evaluate("it => { it.click(); it.click(); }")
    expect(page.locator("#path")).to_have_text("2-lake.jpg")
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#notice")).to_contain_text("There is no text to accept")
    page.keyboard.press("Alt+s")
    expect(page.locator("#path")).to_have_text("3-tick.svg")
    expect(page.locator("#count")).to_have_text("2 of 3 done")
    page.keyboard.press("Alt+ArrowLeft")
    expect(page.locator("#path")).to_have_text("2-lake.jpg")
    expect(page.locator("#state")).to_have_text("– skipped")
    page.keyboard.press("Alt+ArrowLeft")
    expect(page.locator("#state")).to_have_text("✓ accepted")
    page.reload()
    expect(text).to_have_value("Alpine hut 1923: a red hut")
    page.keyboard.press("Alt+n")
    expect(page.locator("#path")).to_have_text("3-tick.svg")
    expect(text).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("#words")).to_be_focused()
    page.keyboard.type("alpine red")
    expect(page.get_by_role("listbox").get_by_role("option")).to_have_text(["✓ 1-hut.png"])
    page.keyboard.press("Enter")
    expect(page.locator("#path")).to_have_text("1-hut.png")
    page.get_by_label("Show pictures that are").select_option("skipped")
    expect(page.locator("#path")).to_have_text("2-lake.jpg")
    server.send_signal(signal.SIGINT)
    told = server.communicate(timeout=20)[0]
    assert server.returncode == 0
    assert "Closed. Round 1: 1 to do, 0 draft, 1 accepted, 1 skipped. The work is in" in told
    assert "Traceback" not in told
    start("--by", "Bo", "--round", "2")
    opened(page, port)
    expect(text).to_have_value("Alpine hut 1923: a red hut")
    expect(page.locator("#compared")).to_have_text("Changes from round 1 (Ada)")
    expect(page.locator("#alt")).to_have_text("Alpine hut 1923")
    text.fill("Alpine hut: a red hut with a brown roof")
    expect(page.locator("#alt .missing")).to_have_text("1923")
    expect(page.locator("#diff del")).to_have_text(["1923"])
    page.get_by_role("button", name="Accept").click()
    expect(page.locator("#count")).to_have_text("1 of 3 done")
    expect(saved).to_have_text("")
    assert [(event["by"], event["state"]) for event in log(photos, 2)][-1] == ("Bo", "accepted")
    assert wrong == []


def test_killing_the_server_loses_nothing(start: Start, photos: Path, port: int, page: Page) -> None:
    """The lie: "saved" before it is on disk; or a text that was typed while the server was dead, and is gone."""
    server = start("--by", "Ada")
    text = opened(page, port).locator("#text")
    text.fill("what was saved")
    expect(page.locator("#saved")).to_have_text("saved")
    server.send_signal(signal.SIGSTOP)
    text.fill("what was on its way")
    page.wait_for_timeout(700)
    expect(page.locator("#saved")).to_have_text("saving …")
    server.kill()
    server.wait()
    assert log(photos)[-1]["text"] == "what was saved"
    with open(photos.parent / "photos-annotations/round-1.jsonl", "ab") as torn:
        torn.write(b'{"id":"cut off in the middle of a wri')
    text.fill("what was typed while it was dead")
    expect(page.locator("#saved")).to_have_text("not saved yet")
    expect(page.locator("#away")).to_be_visible()
    page.keyboard.press("Control+Enter")
    told = start("--by", "Ada")
    expect(page.locator("#away")).to_be_hidden(timeout=15_000)
    expect(page.locator("#path")).to_have_text("2-lake.jpg")
    assert [(event["state"], event["text"]) for event in log(photos)][-1] == (
        "accepted",
        "what was typed while it was dead",
    )
    # The page is closed at once after a key, with the server dead; the next page has the text.
    told.kill()
    assert told.stdout
    assert "The last line of round-1.jsonl was cut off in a crash" in told.stdout.read()
    page.locator("#text").fill("the last words")
    page.goto("about:blank")
    start("--by", "Ada")
    opened(page, port)
    expect(page.locator("#path")).to_have_text("2-lake.jpg")
    expect(page.locator("#text")).to_have_value("the last words")
    wait_for(lambda: log(photos)[-1]["text"] == "the last words", "saving the last words")


def test_two_people_at_once_are_both_kept_and_told(
    start: Start, photos: Path, port: int, page: Page, browser: Browser
) -> None:
    start("--by", "Ada")
    other = free_port()
    start("--by", "Bo", at=other)
    ada, bo = opened(page, port), opened(browser.new_page(), other)
    ada.locator("#text").fill("Ada's hut")
    bo.locator("#text").fill("Bo's hut")
    expect(ada.locator("#saved")).to_have_text("saved")
    expect(bo.locator("#notice")).to_contain_text("Ada wrote another text")
    expect(bo.locator("#notice")).to_contain_text("“Ada's hut”")
    bo.keyboard.press("Control+Enter")
    expect(bo.locator("#path")).to_have_text("2-lake.jpg")
    expect(ada.locator("#notice")).to_contain_text("Bo accepted another text", timeout=10_000)
    expect(ada.locator("#state")).to_have_text("✓ accepted, in conflict")
    expect(ada.locator("#text")).to_have_value("Ada's hut")
    assert {event["text"] for event in log(photos)} == {"Ada's hut", "Bo's hut"}
    ada.get_by_role("button", name="Take that one").click()
    expect(ada.locator("#text")).to_have_value("Bo's hut")
    ada.keyboard.press("Control+Enter")
    ada.keyboard.press("Alt+ArrowLeft")
    expect(ada.locator("#state")).to_have_text("✓ accepted")
    bo.context.close()


def test_neither_a_picture_nor_another_site_gets_at_the_texts(
    start: Start, photos: Path, port: int, page: Page
) -> None:
    """The lie: "on this machine only", when any page that is open in the same browser can write."""
    start("--by", "Ada", "--alt", str(photos.parent / "alts.csv"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened(page, port)
    page.keyboard.press("Alt+ArrowRight")
    page.keyboard.press("Alt+ArrowRight")
    expect(page.locator("#path")).to_have_text("3-tick.svg")
    wait_for(lambda: page.locator("#picture").evaluate("it => it.complete && it.naturalWidth"), "showing the SVG")
    address = page.locator("#picture").evaluate("it => it.src")
    answer = page.goto(address)
    assert answer
    assert answer.status == 403
    assert not [url for url in asked if url.endswith("/ran")]
    opened(page, port).locator("#text").fill("mine")
    expect(page.locator("#saved")).to_have_text("saved")
    body = json.dumps({**log(photos)[-1], "id": "evil-evil-evil", "state": "accepted", "text": "theirs"})
    attack = """async ([server, key, picture, body]) => {
        const get = (path, more) => fetch(server + path, more).then((it) => it.text(), () => "refused");
        const image = new Image();
        const shown = new Promise((done) => {
            image.onload = () => done("shown");
            image.onerror = () => done("refused");
        });
        image.src = picture;
        await get(`/api/pictures/${key}`, { method: "POST", mode: "no-cors", body });
        const headers = { "Content-Type": "application/json" };
        const posted = await get(`/api/pictures/${key}`, { method: "POST", headers, body });
        return [await get("/api/pictures"), posted, await shown];
    }"""
    key = page.evaluate("location.hash.slice(1)")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(photos))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{site.server_port}/1-hut.png")
        assert page.evaluate(attack, [f"http://127.0.0.1:{port}", key, address, body]) == [
            "refused",
            "refused",
            "refused",
        ]
        site.shutdown()
    assert {event["text"] for event in log(photos)} == {"mine"}


PAIRS = [
    ("", ""),
    ("", "A hut."),
    ("red hut", "A small red hut, in snow."),
    ("the hut the lake the hill", "the lake the hut the hill the sky"),
    ("Don't stop, well-known “Höhe”", "Do not stop; well-known Höhe!"),
    ("हिन्दी में लिखा", "हिन्दी में नया लिखा"),
    ("雪の山と赤い小屋", "赤い小屋と雪の高い山"),
    ("👩‍🚀 waves 3.5 times", "a 👩‍🚀 waves 3 times"),
]


def test_the_page_counts_words_as_the_report_does(page: Page) -> None:
    """The lie: a count beside the text that is not the one in the report."""
    source = (ROOT / "tools/annotate/diff.js").read_text().replace("export ", "")
    page.add_script_tag(content=source)
    count = """([before, after, pattern, marks]) => {
        const mark = new RegExp(`^[${marks}]$`, "u");
        const words = (text) => tokens(text, new RegExp(pattern, "gu")).filter((token) => !mark.test(token.text));
        return tally(compare(words(before), words(after)));
    }"""
    for before, after in PAIRS:
        counted = page.evaluate(count, [before, after, agreement.TOKENS, agreement.MARKS])
        change = agreement.compare(before, after)
        assert counted == {"kept": change.kept, "added": change.added, "removed": change.removed}, (before, after)


NAMELESS = """it => it.filter((each) => !each.innerText.trim() && !each.labels?.length && !each.ariaLabel)
    .map((each) => each.id)"""


def test_the_page_on_a_desk_and_on_a_phone_light_and_dark(start: Start, photos: Path, port: int, page: Page) -> None:
    start("--by", "Ada", "--alt", str(photos.parent / "alts.csv"))
    opened(page, port)
    hostile = '<img src=x onerror=alert(1)> & "quoted"'
    page.locator("#text").fill(hostile)
    expect(page.locator("#diff ins")).to_have_text(hostile)
    page.locator("#text").fill("A red alpine hut with a brown roof on a green meadow")
    expect(page.locator("#saved")).to_have_text("saved")
    shoot(page, "annotate-light")
    fitted = page.locator("#picture").bounding_box()
    page.keyboard.press("Alt++")
    larger = page.locator("#picture").bounding_box()
    assert fitted
    assert larger
    assert larger["width"] > 1.2 * fitted["width"]
    page.keyboard.press("Alt+0")
    assert page.locator("#picture").bounding_box() == fitted
    assert page.locator("button, input, select, textarea").evaluate_all(NAMELESS) == []
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(background)
    assert light != dark
    shoot(page, "annotate-dark")
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(background) == light
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for name in ("Accept", "Skip", "Undo all"):
        expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
    shoot(page, "annotate-phone")
    page.get_by_role("button", name="Keys").click()
    expect(page.get_by_role("heading", name="What to do")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
