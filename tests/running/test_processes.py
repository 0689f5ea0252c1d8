"""Stages' processes, forked from a server: what they say, how they end, and that none outlives what started it."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from conftest import ROOT, wait_for

from flows.engine.processes import LIBRARIES, ForkServer
from tasks.base.files import STATE, slug
from tasks.base.instructions import PORTABLE

OUT = "data/quick/nothing/forked"
COMMAND = ["-m", "tasks.running.run", "tasks.judging.report:nothing", "--config", "nothing.json:nothing", "--out", OUT]


@pytest.fixture
def server() -> Iterator[ForkServer]:
    started = ForkServer({"TENFOLD_MARK": "here"}, PORTABLE)
    yield started
    started.close()


@pytest.fixture
def background() -> Iterator[None]:
    """As what a shell starts in the background, which ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def held() -> Iterator[None]:
    """Somebody computes OUT, so that the stage waits as long as the test wants."""
    path = STATE / "locks" / slug(OUT)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_stage_ends_as_it_would_by_itself(server: ForkServer, tmp_path: Path) -> None:
    """Its exit code and all that it prints; twice, for the second is forked from a server that has served before."""
    alone = subprocess.run([sys.executable, *COMMAND], cwd=ROOT, capture_output=True, text=True)
    assert alone.returncode == 1
    assert "nothing.json" in alone.stderr
    for name in ("first", "second"):
        with open(tmp_path / name, "wb") as log:
            child = server.start(COMMAND, log)
        assert child.wait().code == 1
        assert (tmp_path / name).read_text() == alone.stdout + alone.stderr


def test_a_stage_is_a_process_of_its_own(background: None, server: ForkServer, tmp_path: Path, held: None) -> None:
    """A group of its own, so that it can be stopped with its children; two at a time; and interrupted in order."""
    children = []
    for number in range(2):
        with open(tmp_path / str(number), "wb") as log:
            children.append(server.start(COMMAND, log))
    assert all(os.getpgid(child.pid) == child.pid for child in children)
    wait_for(lambda: all("Waiting" in (tmp_path / str(number)).read_text() for number in range(2)), "two stages")
    first, second = children
    os.killpg(first.pid, signal.SIGKILL)
    assert first.wait().code == -signal.SIGKILL
    assert not ended(second.pid)
    os.killpg(second.pid, signal.SIGINT)
    assert second.wait().code == 130
    assert "tenfold: interrupted." in (tmp_path / "1").read_text()


def test_nothing_outlives_the_server_and_another_takes_its_place(
    server: ForkServer, tmp_path: Path, held: None
) -> None:
    with open(tmp_path / "log", "wb") as log:
        child = server.start(COMMAND, log)
    wait_for(lambda: "Waiting" in (tmp_path / "log").read_text(), "the stage")
    parent = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    assert child.wait().code == -signal.SIGKILL
    wait_for(lambda: ended(child.pid), "the end of the stage")
    with open(tmp_path / "log", "wb") as log:
        again = server.start(COMMAND, log)
    server.close()
    assert again.wait().code == -signal.SIGKILL
    wait_for(lambda: ended(again.pid), "the end of the stage")


def test_a_server_that_dies_before_it_forks_is_told(server: ForkServer, tmp_path: Path) -> None:
    """A process id made up for a stage that never was would be a group of strangers to the signals sent to it."""
    with open(tmp_path / "log", "wb") as log, ThreadPoolExecutor(1) as pool:
        server.start(COMMAND, log).wait()
        assert server._process is not None
        server._process.send_signal(signal.SIGSTOP)
        starting = pool.submit(server.start, COMMAND, log)
        assert not wait([starting], timeout=0.2).done
        server._process.kill()
        with pytest.raises(ChildProcessError, match="died"):
            starting.result(10)
        assert server.start(COMMAND, log).wait().code == 1


def test_what_is_imported_before_a_fork_starts_no_thread() -> None:
    """A fork copies the locks that other threads hold, and not the threads that would open them."""
    modules = [module for some in LIBRARIES.values() for module in some]
    code = (
        f"import importlib, os; [importlib.import_module(name) for name in {modules}]; "
        "print(len(os.listdir('/proc/self/task')))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert found.stdout == "1\n", found.stderr


def test_the_server_keeps_no_code_of_the_repository() -> None:
    """A stage that runs what a file was before it was edited would be recorded as what the file is."""
    code = (
        "import sys, tasks.running.fork_server as server; server.set_environment('native'); "
        "print([name for name in sys.modules if name.split('.')[0] in ('tasks', 'models', 'flows')])"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "[]\n"


def test_a_forked_stage_ends_with_what_waits_for_its_end() -> None:
    """Else a pool would be cut off, and temporary folders would stay."""
    code = (
        "import atexit, threading, time; from tasks.running.fork_server import end; "
        "atexit.register(print, 'tidied up', end=''); "
        "threading.Thread(target=lambda: (time.sleep(0.2), print('written'))).start(); end(3)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ended.stdout, ended.returncode) == ("written\ntidied up", 3)
