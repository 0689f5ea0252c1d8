"""The two kinds of process of a cluster: a scheduler, and workers that find their way back to it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.engine.cluster import worker as ours
from flows.engine.cluster.security import is_loopback, own_address, security
from flows.engine.console import cores
from tasks.base.errors import UserError
from tasks.base.files import STATE

LOOPBACK = "127.0.0.1"
END_SECONDS = 10
DASK = {
    "distributed.scheduler.allowed-failures": 5,
    "distributed.scheduler.worker-ttl": os.environ.get("TENFOLD_SILENCE", "60 s"),
    "distributed.worker.memory.terminate": False,
    "distributed.admin.log-length": 1000,
    "distributed.logging": {"distributed": "critical", "distributed.client": "critical"},
}
"""A worker counts as dead after this silence; one that dies takes all that was on its way to it, not its stage alone,
so a stage may meet with several deaths that are no fault of its own."""


def configure() -> None:
    """Dask's settings, before anything of it is used."""
    import dask

    dask.config.set(DASK)


def address_of(host: str, port: int, *, tls: bool = False) -> str:
    """Where a scheduler listens: by TLS unless no other machine can reach it."""
    return f"{'tls' if tls or not is_loopback(host) else 'tcp'}://{f'[{host}]' if ':' in host else host}:{port}"


def schedule(host: str, port: int, tls: bool, certificates: Path, say: Callable[[str], object]) -> None:
    """Be a scheduler until a signal comes.

    Raises:
        UserError: the port is taken, or it would listen beyond loopback without certificates.
    """
    configure()
    from distributed import Scheduler

    if host in ("0.0.0.0", "::", ""):  # noqa: S104
        raise UserError(f"Name the one address of this machine at which the others reach it, and not {host or 'none'}.")
    given = security(address_of(host, port, tls=tls), certificates)

    async def run() -> None:
        scheduler = Scheduler(
            host=host,
            port=port,
            protocol="tls" if given else "tcp",
            security=given or {},
            dashboard=True,
            dashboard_address=f"{LOOPBACK}:0",
        )
        try:
            await scheduler
        except OSError as problem:
            raise UserError(f"{host}:{port} cannot be had ({problem}): choose another --port.") from problem
        say(f"Scheduler: {scheduler.address}")
        say(f"Dashboard: http://{LOOPBACK}:{scheduler.services['dashboard'].port}/status (on this machine alone)")
        say(f"Workers, each in a checkout of its own: tenfold worker {scheduler.address}")
        _on_signals(lambda: scheduler.close(reason="a signal"))
        await scheduler.finished()

    asyncio.run(run())


def work(
    address: str,
    name: str,
    cpus: int | None,
    gpus: int | None,
    memory: float | None,
    certificates: Path,
    *,
    together: bool = False,
) -> None:
    """Be a worker until a signal comes: a process for each GPU, with that one alone visible, or one without any.

    With `together` it is one process with all GPUs.

    Raises:
        UserError: the address is plain TCP beyond loopback, or certificates are missing.
    """
    given = security(address, certificates)
    cards = _cards()[: gpus if gpus is not None else None]
    if gpus and len(cards) < gpus:
        raise UserError(f"This machine has {len(cards)} GPUs, not {gpus}.")
    cpus, memory = cpus or cores(), memory if memory is not None else _memory()
    name = name or socket.gethostname()
    if len(cards) > 1 and not together:
        _one_each(cards, address, name, max(1, cpus // len(cards)), memory / len(cards), certificates)
        return
    offers = {"cpu": cpus, "gpu": len(cards), "memory": round(memory, 1)}
    asyncio.run(_work(address, name, offers, given))


async def _work(address: str, name: str, offers: dict[str, float], given: Any) -> None:
    configure()
    from distributed import Worker
    from distributed.threadpoolexecutor import ThreadPoolExecutor

    class StagesThreadPoolExecutor(ThreadPoolExecutor):  # type: ignore[misc]  # by its name Dask knows it
        """Where stages run. A worker that leaves a dead scheduler does not wait for them: they end by themselves."""

        def shutdown(self, wait: bool = True, timeout: float | None = None) -> None:
            super().shutdown(wait=False)

    over = asyncio.Event()

    async def stop() -> None:
        over.set()
        asyncio.get_running_loop().call_later(END_SECONDS, os._exit, 0)  # whatever it may still be waiting for
        ours.site(name).interrupt()
        await worker.close(executor_wait=False, reason="a signal")

    host = own_address(address)
    while not over.is_set():
        worker = Worker(
            address,
            host=host,
            name=name,
            nthreads=int(offers["cpu"]),
            executor=StagesThreadPoolExecutor(int(offers["cpu"])),
            resources=offers,
            security=given or {},
            dashboard=False,
            dashboard_address=f"{LOOPBACK}:0",
            memory_limit=0,
            local_directory=str(STATE / "dask"),
            startup_information={"tenfold": lambda _: ours.description()},
        )
        _on_signals(stop)
        try:
            await worker  # it asks again and again until the scheduler is there
            await worker.finished()
        except ValueError as problem:  # the name is taken, as by itself before it was cut off
            await worker.close(executor_wait=False)
            print(f"tenfold: {problem}", file=sys.stderr, flush=True)
        if not over.is_set():
            print(f"tenfold: {address} has gone; this worker waits for it.", file=sys.stderr, flush=True)
            await asyncio.sleep(1)
    os._exit(0)  # what a thread still waits for is nobody's any more


def _on_signals(call: Callable[[], Any]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: asyncio.ensure_future(call()))


def _one_each(cards: list[str], address: str, name: str, cpus: int, memory: float, certificates: Path) -> None:
    """A worker for each card, in processes that end with this one."""
    children = [
        subprocess.Popen(
            [
                sys.executable, "-m", "tools", "worker", address, "--name", f"{name}-gpu{card}", "--cpus", str(cpus),
                "--gpus", "1", "--memory", str(memory), "--certificates", str(certificates), "--while-input-is-open",
            ],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": card},
            stdin=subprocess.PIPE,
        )
        for card in cards
    ]  # fmt: skip
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _terminate(children))
    for child in children:
        child.wait()


def _terminate(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.terminate()


def end_with_input() -> None:
    """Let this process end as by a signal when its standard input is closed: whoever started it has gone."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _cards() -> list[str]:
    """The GPUs that this process may use, by number."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [card for card in visible.split(",") if card]
    return [str(number) for number in range(len(list(Path("/proc/driver/nvidia/gpus").glob("*"))))]


def _memory() -> float:
    """The memory of this machine in GB."""
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9)
