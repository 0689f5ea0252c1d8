"""Environments as people have them: proxies, another project's variables, ports that are taken, full disks, damage.

What is ours is set for our processes; what is somebody else's is named when it is at fault; nothing waits for minutes.
"""

import json
import os
import py_compile
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Clone, begun_to_clean, newest_statuses, runs_of, wait_for
from minis import Minis

from flows.engine import catalogue, mlflow_server, server
from flows.engine.processes import ForkServer
from flows.engine.server import free_port
from tasks.base.errors import UserError
from tasks.base.instructions import PORTABLE
from tasks.base.remembered import remember
from tasks.running import failures, registration, run, spools

DEAD = "http://127.0.0.1:9"
"""Where nobody listens."""
BARE = ("PREFECT", "MLFLOW", "TENFOLD")


def with_variables(clone: Clone, **variables: str) -> Clone:
    """The clone, for a user who has these variables and no server of their own."""
    bare = {name: value for name, value in clone.environment.items() if not name.startswith(BARE)}
    return Clone(clone.root, {**bare, **variables})


def assert_one_sentence(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    for word in words:
        assert word in ended.stderr


# Another project's variables


@pytest.mark.slow
def test_what_another_project_left_in_the_environment_reaches_nothing(untouched: Clone, tmp_path: Path) -> None:
    """A proxy without exceptions, a profile, a home and databases of theirs, and a path with a `?` in it."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    clone = untouched.copy(tmp_path / "my wörk #1 50%?" / "ten fold")
    database = f"sqlite+aiosqlite:///{theirs}/users-own.db"
    hostile = with_variables(
        clone,
        HTTP_PROXY=DEAD, http_proxy=DEAD, HTTPS_PROXY=DEAD, ALL_PROXY=DEAD,
        PREFECT_PROFILE="theirs", PREFECT_HOME=str(theirs), PREFECT_API_KEY="theirs",
        PREFECT_API_DATABASE_CONNECTION_URL=database, PREFECT_SERVER_DATABASE_CONNECTION_URL=database,
        PREFECT_SERVER_API_AUTH_STRING="their:secret", PREFECT_API_AUTH_STRING="their:secret",
        MLFLOW_TRACKING_URI=DEAD,
    )  # fmt: skip
    ended = hostile.tenfold("reproduce", "tiny")
    assert "the tracking store did not take all" in ended.stdout.lower()
    assert f"{DEAD}, which MLFLOW_TRACKING_URI names" in ended.stdout
    assert list(theirs.iterdir()) == [], "their database was opened"
    assert [path.name for path in clone.root.parent.iterdir()] == ["ten fold"]
    assert {path.name for path in clone.root.parent.parent.iterdir()} == {"theirs", "my wörk #1 50%?"}
    with_variables(clone).run("-m", "tasks.running.tracking")
    assert {run["name"] for run in runs_of(with_variables(clone))["tiny"]} >= {"line-0", "line-1"}
    assert (clone.root / ".tenfold/prefect/prefect.db").exists()


IMPATIENT = """
import sys
from flows.engine import server
from tools.__main__ import main
server.ANSWER_SECONDS = 0.5
sys.argv = ["tenfold", "reproduce"]
main()
"""


def test_another_projects_packages_are_not_taken_for_ours(clone: Clone, tmp_path: Path) -> None:
    """A folder on PYTHONPATH with `tools` or `models` in it, as many have; the command ended with a traceback."""
    for name in ("tools", "flows", "tasks", "models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('theirs')")
    theirs = with_variables(clone, PYTHONPATH=f"{tmp_path}:{clone.root}")
    code = "import sys; from tenfold import main; sys.argv = ['tenfold', 'claims']; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "tools", env=theirs.environment, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "half-is-more" in ended.stdout


def test_a_socks_proxy_stops_nothing(clone: Clone) -> None:
    """Prefect's client raised an ImportError at its sight, though the server is on loopback; other proxies are kept."""
    code = (
        "from flows.engine.server import configure; configure(); import httpx, os; httpx.Client(); print(*os.environ)"
    )
    proxies = {"ALL_PROXY": "socks5://127.0.0.1:9", "all_proxy": "socks5h://127.0.0.1:9", "https_proxy": DEAD}
    kept = with_variables(clone, **proxies).run("-c", code).stdout.split()
    assert {*proxies} & {*kept} == {"https_proxy"}


def test_a_dead_server_of_theirs_is_named(clone: Clone) -> None:
    ended = with_variables(clone, PREFECT_API_URL=f"{DEAD}/api").run("-c", IMPATIENT, check=False)
    assert_one_sentence(ended, f"{DEAD}/api, which PREFECT_API_URL names", "unset PREFECT_API_URL")


def test_our_server_that_cannot_start_is_not_waited_for(clone: Clone) -> None:
    (clone.root / ".tenfold/prefect/prefect.db").write_text("no database, by a good margin of letters" * 99)
    assert_one_sentence(with_variables(clone).tenfold("reproduce", check=False), "ended", "server.log", "--plain")


# Ports


@pytest.fixture
def silent() -> Iterator[int]:
    """A port on which a program listens that never says a word."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


@pytest.mark.parametrize("option", ["--mlflow-port", "--prefect-port"])
def test_a_port_that_is_taken_is_said_at_once(clone: Clone, silent: int, option: str) -> None:
    """Another checkout's page was shown as one's own, and a silent listener was waited for."""
    other = {"--mlflow-port": "--prefect-port", "--prefect-port": "--mlflow-port"}[option]
    command = ["ui", option, str(silent), other, str(free_port())]
    ended = with_variables(clone).tenfold(*command, check=False)
    assert_one_sentence(ended, f"Port {silent} of this machine is taken by another program")
    assert "http" not in ended.stdout, "no address is shown"


ENDING = """
import socket, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("listens", flush=True)
    time.sleep(1)
"""


def test_pages_can_be_opened_where_they_have_just_been_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server had the port for seconds more, and "another program" was blamed for it."""
    monkeypatch.setattr(server, "HOME", tmp_path)
    monkeypatch.setattr(server, "KNOWN", tmp_path / "server.json")
    port = free_port()
    last = subprocess.Popen([sys.executable, "-c", ENDING, str(port)], stdout=subprocess.PIPE)
    assert last.stdout
    last.stdout.readline()
    known = {"address": f"http://127.0.0.1:{port}/api", "process": spools.process(last.pid), "lean": False}
    remember(server.KNOWN, known)
    assert server._running()
    assert server._left_alone(port)
    assert server._running() is None, "the next one would use a server that ends"
    with pytest.raises(UserError, match="is taken"), server.listening(port):
        pass
    server._wait_for_its_end(port)
    with server.listening(port):
        last.wait()


@pytest.mark.parametrize("unwritable", ["mlflow", "mlflow/mlflow.db"])
def test_a_store_that_may_not_be_written_is_not_to_be_moved_away(
    unwritable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said of a whole store, as of a damaged one, that moving it away starts anew."""
    store = tmp_path / "mlflow/mlflow.db"
    store.parent.mkdir()
    store.touch()
    problem = RuntimeError("(sqlite3.OperationalError) attempt to write a readonly database")
    assert "move it away" in mlflow_server._unusable(store, problem)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / unwritable)
    said = mlflow_server._unusable(store, problem)
    assert f"may not write to {tmp_path / unwritable}" in said
    assert "move" not in said


KEEP = """
import sys
from flows.engine import server
with server.prefect_server() as address:
    print(server.remembered(server.KNOWN)["process"], flush=True)
    server.wait_until_up(address)
    print("up", flush=True)
    sys.stdin.read()
"""


def test_the_server_of_a_deleted_checkout_ends(clone: Clone) -> None:
    alone = with_variables(clone)
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEP], cwd=clone.root, env=alone.environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert keeper.stdout
    process = keeper.stdout.readline().strip()
    assert keeper.stdout.readline().strip() == "up"
    assert spools.is_alive(process)
    try:
        while clone.root.exists():  # the server writes into it meanwhile
            shutil.rmtree(clone.root, ignore_errors=True)
        wait_for(lambda: not spools.is_alive(process), "the end of the server")
    finally:
        keeper.kill()
        keeper.wait()


# Killed and interrupted runs

STATES = """
import json
from flows.engine import server
with server.prefect_server() as address:
    server.wait_until_up(address)
    from prefect.client.orchestration import get_client
    with get_client(sync_client=True) as client:
        runs = {"flows": client.read_flow_runs(), "tasks": client.read_task_runs()}
        print(json.dumps({kind: [run.state_name for run in found] for kind, found in runs.items()}))
"""


@pytest.mark.slow
def test_a_killed_run_does_not_stay_running_in_prefect(clone: Clone) -> None:
    alone = with_variables(clone)
    process = alone.start("reproduce")
    assert process.stdout
    for line in process.stdout:
        if line.startswith("● tiny/line-0"):
            break
    process.kill()
    process.wait()
    states = json.loads(alone.run("-c", STATES).stdout)
    assert "Running" in states["flows"], "the killed one could say nothing"
    assert "Running" in states["tasks"], "nor its tasks"
    alone.tenfold("reproduce")
    after = json.loads(alone.run("-c", STATES).stdout)
    assert sorted(set(after["flows"])) == ["Completed", "Crashed"], after
    assert after["flows"].count("Crashed") == len(states["flows"])
    assert sorted(set(after["tasks"])) == ["Completed", "Crashed"], after


def test_a_reproduction_whose_server_is_killed_ends(done: Clone) -> None:
    """It asked the dead server for minutes, with pages of Prefect's errors."""
    alone = with_variables(done)
    process = begun_to_clean(alone)
    known = json.loads((alone.root / ".tenfold/prefect/server.json").read_text().splitlines()[-1])
    os.kill(int(known["process"].partition("-")[0]), signal.SIGKILL)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 1, said
    assert "The Prefect server of this repository was killed" in said
    assert "EventsWorker" not in said
    wait_for(lambda: not list((alone.root / ".tenfold/tracking").glob("2*")), "the push of what was said")
    assert newest_statuses(alone)["reproduction"] == "KILLED"
    alone.edit("flows/tiny.py", lambda code: code.replace("milliseconds=100_000", "milliseconds=100"))
    again = alone.tenfold("reproduce").stdout
    assert "✓ tiny/cleaned" in again
    assert "works; 2 of 2 controls pass" in again
    status = newest_statuses(alone)
    assert (status["reproduction"], status["cleaned"]) == ("FINISHED", "FINISHED")


def test_an_interrupt_at_the_fork_is_not_forgotten() -> None:
    """Python drops a signal that reaches a child before it has come out of fork(); its stage then ran to its end."""
    command = ["-m", "tasks.running.run", "tasks.judging.report:nothing", "--config", "none.json:x", "--out", "x"]
    server = ForkServer({}, PORTABLE)
    try:
        with open(os.devnull, "wb") as log:
            server.start(command, log).wait()  # the libraries are imported, and the server stands ready
            (pid,) = [server._process.pid] if server._process else []
            blocked = next(
                line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigBlk")
            )
            assert int(blocked.split()[1], 16) & 1 << (signal.SIGINT - 1) == 0, "the server can be interrupted itself"
            for _ in range(10):
                child = server.start(command, log)
                os.kill(child.pid, signal.SIGINT)
                assert child.wait().code != 0
    finally:
        server.close()


# Terminals, git, full disks, memory


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp437"])
def test_a_terminal_without_our_letters(untouched: Clone, encoding: str) -> None:
    """`tenfold claims` stopped at a dash."""
    other = with_variables(untouched, PYTHONIOENCODING=encoding, TENFOLD_DEBUG="1")
    ended = subprocess.run(
        [sys.executable, "-m", "tools", "claims", "tiny"], cwd=other.root, env=other.environment, capture_output=True
    )
    assert ended.returncode == 0, ended.stderr
    assert b"half-is-more" in ended.stdout


def test_the_command_works_in_any_folder_and_without_a_terminal(minis: Minis) -> None:
    """In a folder of the checkout it said that nothing can be started; a daemon may close all streams that it has."""
    mini = minis.done()
    mini.edit("flows/mini.py", lambda code: code.replace("length=1000", "length=1001"))
    somewhere = with_variables(
        mini, PYTHONPATH=str(mini.root), TENFOLD_TEST_COMPUTED=mini.environment["TENFOLD_TEST_COMPUTED"]
    )
    command = 'cd flows; exec "$0" -m tools reproduce --plain <&- >&- 2>&-'
    subprocess.run(["bash", "-c", command, sys.executable], cwd=mini.root, env=somewhere.environment, check=True)
    assert sorted(mini.computed()) == ["counted", "drawn-0", "drawn-1"]
    assert mini.do("compile", "--check").code == 0, "what the catalogue names lies below the root"


def test_a_checkout_of_another_user(untouched: Clone) -> None:
    """Git refuses there; its usage filled the terminal, and results named the commit "+"."""
    theirs = with_variables(untouched, GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    ended = theirs.run("-c", "from tasks.running.spools import commit; print(commit())")
    assert (ended.stdout, ended.stderr) == ("unknown\n", "")
    assert "safe.directory" in theirs.tenfold("doctor", check=False).stdout


def test_another_repository_in_gits_variables_is_not_taken_for_this_one(untouched: Clone, tmp_path: Path) -> None:
    """As within a hook of git: every result named the commit of the other one."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "Theirs"]):
        subprocess.run([*git, *command], check=True)
    theirs = with_variables(untouched, GIT_DIR=str(tmp_path / ".git"), GIT_WORK_TREE=str(tmp_path))
    said = theirs.run("-c", "from tasks.running.spools import commit; print(commit())").stdout.strip()
    own = subprocess.run(["git", "rev-parse", "HEAD"], cwd=untouched.root, capture_output=True, text=True)
    assert said == own.stdout.strip()


def test_a_disk_that_is_full_is_a_sentence(minis: Minis) -> None:
    limited = 'ulimit -f 2; exec "$0" -m tools reproduce --plain'
    mini = minis.untouched()
    environment = {**mini.environment, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        ["bash", "-c", limited, sys.executable], cwd=mini.root, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr, ended.stdout + ended.stderr
    assert "the disk is full" in (ended.stdout + ended.stderr).lower()
    assert mini.reproduce().code == 0


def test_bytecode_that_a_full_disk_has_cut_stops_nothing(minis: Minis) -> None:
    """Python writes what fits of it and says nothing; then every command and stage died of the EOFError."""
    mini = minis.done()
    halves = {}
    for name in ("flows/engine/cli.py", "tasks/running/run.py", "tasks/mini.py"):
        written = Path(py_compile.compile(str(mini.root / name), doraise=True))
        halves[written] = written.stat().st_size // 2
        written.write_bytes(written.read_bytes()[: halves[written]])
    writing = with_variables(mini, TENFOLD_TEST_COMPUTED=mini.environment["TENFOLD_TEST_COMPUTED"])
    writing.environment.pop("PYTHONDONTWRITEBYTECODE", None)
    shutil.rmtree(mini.root / "data/quick/mini/drawn-0")
    shutil.rmtree(mini.root / ".dvc/cache")
    assert "✓ mini/drawn-0" in writing.tenfold("reproduce", "--plain").stdout
    assert all(not path.exists() or path.stat().st_size > half for path, half in halves.items()), "it is mended"


@pytest.mark.parametrize(
    "problem",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        ImportError("\n\nIMPORTANT: PLEASE READ\nlibscipy.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_memory_that_ran_out_is_a_sentence(problem: BaseException) -> None:
    assert failures.sentence(problem) == "Memory ran out: free some, or run fewer stages at once with --jobs."
    assert failures.sentence(ValueError("allocate")) is None


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (OSError(24, "Too many open files", "data/x"), "ulimit -n 4096"),
        (OSError(30, "Read-only file system", "data/x"), "may not read or write data/x (Read-only file system)"),
        (PermissionError(13, "Permission denied", "data/x"), "may not read or write data/x (Permission denied)"),
        (IsADirectoryError(21, "Is a directory", "fresh", None, "data/x"), "data/x is a folder where a file should be"),
        (FileExistsError(17, "File exists", "data/x"), "data/x, or what is above it, should be a folder"),
    ],
)
def test_what_a_user_may_not_do_is_a_sentence(problem: OSError, said: str) -> None:
    assert said in (failures.sentence(problem) or "")


# Damaged files of ours


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\0", '{"address": 7, "process": "x"}'])
def test_a_damaged_note_is_forgotten(text: str, clone: Clone) -> None:
    state = clone.root / ".tenfold"
    for name in ("prefect/server.json", "tracking/runs.json", "durations.json", "token"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text(text)
    code = (
        "from flows.engine import evidence, execute, guard, server\n"
        "print(server._running(), evidence._known_runs(), execute.durations(), len(guard.token()))"
    )
    said = with_variables(clone).run("-c", code).stdout.strip()
    known = "{'address': 7, 'process': 'x'}" if "address" in text else "{}"
    assert said == f"None {known} {{}} 43"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\0", '{"other": 1}'])
def test_settings_that_are_not_whole_are_named(text: str, tmp_path: Path) -> None:
    """A traceback, where a stage is run by DVC or by hand."""
    params = tmp_path / "params.json"
    params.write_text(text)
    with pytest.raises(UserError, match="run tenfold compile"):
        run.load(run.parse(["tasks.judging.report:report", "--config", f"{params}:report", "--out", "x"]))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"claims": []}', '{"claims": {}, "measured": {}}'])
def test_a_damaged_register_is_named(text: str, tmp_path: Path) -> None:
    """A traceback, and the advice that the same command goes on from here, where it did not."""
    params = tmp_path / "params.json"
    params.write_text('{"verdicts": {}}')
    (tmp_path / "registered.json").write_text(text)
    with pytest.raises(UserError, match=r"registered.json is damaged.*git restore"):
        registration.register(params, "counted")
    assert (tmp_path / "registered.json").read_text() == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "does not name its sources"),
        ("", "does not name its sources"),
        ("a: [", "cannot be read"),
        ("'a; touch b': {kind: folder, path: x}", "a source is named 'a; touch b'"),
        ("../../b: {kind: folder, path: x}", "a source is named '../../b'"),
        ("7: {kind: folder}", "a source is named 7"),
        ("a:", "what it is, is missing"),
        ("a: !!python/object/apply:os.getpid []", "cannot be read"),
    ],
)
def test_a_catalogue_that_is_wrong_is_refused(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name was compiled unquoted into a command that `dvc repro` gives to a shell."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/sources.yaml").write_text(text)
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    with pytest.raises(UserError, match=said.replace("../", r"\.\./")):
        catalogue.catalogue()
