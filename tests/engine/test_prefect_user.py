"""What docs/three-ways.md tells a user of Prefect, done as it stands there."""

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from conftest import ROOT, Clone, wait_for

DOCS = (ROOT / "docs/three-ways.md").read_text()


def block(language: str, containing: str) -> str:
    """The code block of the page that contains some words."""
    (found,) = [code for code in re.findall(rf"```{language}\n(.*?)```", DOCS, re.S) if containing in code]
    return str(found)


@pytest.fixture
def chat() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """An address that takes messages, and what came."""
    messages: list[dict[str, str]] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Taker)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", messages
    server.shutdown()


def test_somebody_is_told_when_a_verdict_changes(done: Clone, chat: tuple[str, list[dict[str, str]]]) -> None:
    address, messages = chat
    made = block("python", "NotificationBlock").replace("https://chat.example.org/hook", address)
    identifier = done.run("-c", made).stdout.split()[-1]
    automation = block("yaml", "tenfold.verdicts.changed").replace("THE-ID-OF-THE-BLOCK", identifier)
    (done.root / "changed.yaml").write_text(automation)
    done.run("-m", "prefect", "automation", "create", "--from-file", "changed.yaml")
    done.edit("flows/tiny.py", lambda code: code.replace("margin=0.1, margin_of", "margin=0.01, margin_of"))
    done.tenfold("reproduce")
    done.edit("flows/tiny.py", lambda code: code.replace("margin=0.01, margin_of", "margin=0.9, margin_of"))
    done.tenfold("reproduce")
    wait_for(lambda: messages, "the message")
    assert [message["text"] for message in messages] == [
        "tiny: a verdict changed: half-is-more: SUPPORTED → CONTRADICTED"
    ]
