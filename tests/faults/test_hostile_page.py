"""A web page of somebody else, open in a browser of this machine, reaches none of our servers.

Prefect's API runs the commands that it is told, and by itself answers every page; so a page that somebody visits
beside `tenfold ui` could run code here.
"""

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from conftest import Clone, opened_pages
from playwright.sync_api import Page

ATTACK = """
async ([prefect, mlflow]) => {
    const json = {"Content-Type": "application/json"};
    const pool = JSON.stringify({name: "evil", type: "process"});
    const flow = JSON.stringify({name: "evil"});
    const targets = [
        [`${prefect}/api/work_pools/`, {method: "POST", headers: json, body: pool}],
        [`${prefect}/api/work_pools/`, {method: "POST", mode: "no-cors", body: pool}],
        [`${prefect}/api/flows/`, {method: "POST", mode: "no-cors", credentials: "include", body: flow}],
        [`${prefect}/api/flows/filter`, {method: "POST", headers: json, body: "{}", credentials: "include"}],
        [`${prefect}/ui-settings`, {credentials: "include"}],
        [`${mlflow}/version`, {credentials: "include"}],
        [`${mlflow}/ajax-api/2.0/mlflow/experiments/search?max_results=10`, {credentials: "include"}],
        [`${mlflow}/ajax-api/2.0/mlflow/experiments/create`,
         {method: "POST", mode: "no-cors", credentials: "include", body: flow}],
        [`${mlflow}/ajax-api/2.0/mlflow/experiments/create`,
         {method: "POST", headers: json, credentials: "include", body: flow}],
    ];
    const read = [];
    for (const [url, options] of targets) {
        try { const answer = await fetch(url, options); read.push([url, answer.type, await answer.text()]); }
        catch (error) { read.push([url, "refused", ""]); }
    }
    for (const path of ["events/out", "logs/out", "events/in", "task_runs/subscriptions/scheduled"])
        for (const protocols of [[], ["prefect"]])
            read.push(await new Promise(done => {
                const socket = new WebSocket(`${prefect.replace("http", "ws")}/api/${path}`, protocols);
                socket.onopen = () => done([path, "open", "let in"]);
                socket.onerror = () => done([path, "refused", ""]);
            }));
    return read;
}
"""
FORM = """
([prefect]) => {
    const form = document.createElement("form");
    Object.assign(form, {method: "post", action: `${prefect}/api/flows/`, enctype: "text/plain"});
    const field = document.createElement("input");
    field.name = '{"name": "evil", "x": "';
    field.value = '"}';
    form.append(field);
    document.body.append(form);
    form.submit();
}
"""


class Hostile(BaseHTTPRequestHandler):
    """A web server that is not ours; the page of /framed is a frame without an origin."""

    def do_GET(self) -> None:
        framed = '<iframe sandbox="allow-scripts allow-forms" srcdoc="<p>null</p>"></iframe>'
        page = f"<!doctype html><body>{framed if self.path == '/framed' else 'nice pictures'}</body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def hostile() -> Iterator[int]:
    """The port of somebody else's web server on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@pytest.fixture(scope="module")
def links(untouched: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The links that `tenfold ui` prints."""
    with opened_pages(untouched.copy(tmp_path_factory.mktemp("hostile") / "clone")) as found:
        yield found


def origins(links: dict[str, str]) -> list[str]:
    return [links[name].partition("/?")[0] for name in ("prefect", "mlflow")]


def ask(address: str, method: str, path: str, body: str = "", **headers: str) -> tuple[int, Any]:
    """The status and body of an answer, over a connection of our own making."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    connection.request(method, path, body or None, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text


def shown(links: dict[str, str]) -> str:
    """The header by which a program of ours is let in."""
    return "Basic " + base64.b64encode(f"tenfold:{links['prefect'].partition('token=')[2]}".encode()).decode()


def assert_nothing_was_made(links: dict[str, str]) -> None:
    prefect, mlflow = origins(links)
    ours = {"Authorization": shown(links), "Content_Type": "application/json"}
    for kind in ("work_pools", "flows", "deployments", "flow_runs"):
        assert ask(prefect, "POST", f"/api/{kind}/filter", "{}", **ours) == (200, []), kind
    _, found = ask(mlflow, "GET", "/api/2.0/mlflow/experiments/search?max_results=10", **ours)
    assert "evil" not in json.dumps(found)


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("place", ["http://127.0.0.1:{}/", "http://localhost:{}/", "http://127.0.0.1:{}/framed"])
def test_a_page_of_somebody_else_does_and_reads_nothing(
    links: dict[str, str], hostile: int, page: Page, place: str, signed_in: bool
) -> None:
    if signed_in:  # the browser has our cookies, and sends them from every port of this host
        for name in ("prefect", "mlflow"):
            page.goto(links[name])
    for named in ("127.0.0.1", "localhost"):
        targets = [origin.replace("127.0.0.1", named) for origin in origins(links)]
        page.goto(place.format(hostile))
        frame = page.frames[-1]  # that without an origin, where there is one
        for url, kind, text in frame.evaluate(ATTACK, targets):
            assert kind in ("refused", "opaque"), f"{url}: {kind} {text}"
            assert text == "", url
        frame.evaluate(FORM, targets)
        page.wait_for_timeout(300)
    assert_nothing_was_made(links)


def test_our_own_page_works(links: dict[str, str], page: Page) -> None:
    prefect, mlflow = origins(links)
    page.goto(prefect)
    assert "Open the link" in page.content(), "without its token, our page is nobody's, either"
    page.goto(links["prefect"])
    page.wait_for_url(lambda url: "token" not in url)
    page.get_by_text("Deployments").first.wait_for(timeout=60_000)
    code = "fetch('/api/flows/filter', {method: 'POST', body: '{}'}).then(answer => answer.status)"
    assert page.evaluate(code) == 200
    socket = """path => new Promise(done => {
        const socket = new WebSocket(`ws://${location.host}/api/${path}`, ["prefect"]);
        socket.onopen = () => socket.send(JSON.stringify({type: "auth", token: null}));
        socket.onmessage = message => done(message.data);
        socket.onerror = () => done("refused");
    })"""
    assert "auth_success" in page.evaluate(socket, "events/out")
    page.goto(links["mlflow"])
    assert page.evaluate("fetch('/version').then(answer => answer.status)") == 200
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    assert len(cookies) >= 2
    for origin in (prefect, mlflow):
        cookie = cookies[f"tenfold-{origin.rpartition(':')[2]}"]
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"


@pytest.mark.parametrize("path", ["/", "/api/health", "/health", "/api/admin/version", "/ui-settings", "/version"])
def test_a_name_that_was_pointed_at_loopback_is_not_answered(links: dict[str, str], path: str) -> None:
    """DNS rebinding: to the browser the page and our server are one origin, but the Host gives it away."""
    for origin in origins(links):
        port = origin.rpartition(":")[2]
        named = ("evil.example", "127.0.0.1.evil.example", "LOCALHOST", "localhost.", "127.1", "[::1]", "u@127.0.0.1")
        for host in (*(f"{name}:{port}" for name in named), "evil.example", "127.0.0.1", ""):
            assert ask(origin, "GET", path, Host=host, Authorization=shown(links))[0] in (400, 421), host
        assert ask(origin, "GET", path, Origin="null", Authorization=shown(links))[0] == 403
        for told in ("cross-site", "same-site"):
            assert ask(origin, "GET", path, Sec_Fetch_Site=told, Authorization=shown(links))[0] == 403


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic", "Basic !", "Basic dGVuZm9sZDo=", "Bearer x", "Basic dGVuZm9sZDpndWVzcw==", "Basic \xe9"],
)
def test_only_the_token_opens(links: dict[str, str], authorization: str) -> None:
    for origin in origins(links):
        assert ask(origin, "GET", "/version", Authorization=authorization)[0] == 401
        assert ask(origin, "GET", "/?token=guess")[0] == 401
        assert ask(origin, "GET", "/", Cookie=f"tenfold-{origin.rpartition(':')[2]}=guess")[0] == 401
        assert ask(origin, "GET", "/health")[0] in (200, 404, 401)


@pytest.mark.parametrize("path", ["/version", "//version", "/health/../version", "/health;/version", "/%2e/version"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT"])
def test_no_other_method_and_no_detour_opens(links: dict[str, str], method: str, path: str) -> None:
    for origin in origins(links):
        assert ask(origin, method, path)[0] == 401
        assert ask(origin, method, f"http://evil.example{path}")[0] in (401, 421), "as a proxy would be asked"


def test_programs_of_ours_are_let_in(links: dict[str, str], untouched: Clone) -> None:
    """MLflow's client shows the token as a password; Prefect's are tried with a worker in test_deployment.py."""
    code = "import mlflow; print([each.name for each in mlflow.MlflowClient().search_experiments()])"
    token = links["mlflow"].partition("token=")[2].partition("#")[0]
    named = {"MLFLOW_TRACKING_URI": origins(links)[1], "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    ours = {**untouched.environment, **named, "MLFLOW_TRACKING_USERNAME": "tenfold", "MLFLOW_TRACKING_PASSWORD": token}
    assert "Default" in Clone(untouched.root, ours).run("-c", code).stdout
    assert "401" in Clone(untouched.root, {**untouched.environment, **named}).run("-c", code, check=False).stderr
