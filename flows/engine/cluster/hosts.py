"""Get a cluster's processes going: a scheduler here with workers by SSH or Slurm, or nothing where both run already."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from flows.engine.cluster import job
from flows.engine.cluster.security import CERTIFICATE, KEY, security
from flows.engine.cluster.serve import LOOPBACK, address_of, configure
from flows.engine.cluster.settings import Host, Settings, Slurm

END_SECONDS = 20


class Started(NamedTuple):
    """The scheduler's address, the settings of TLS, and what is on its way: how many workers, with how many cores.

    `queued` workers come when a batch system lets them.
    """

    address: str
    security: Any
    workers: int = 0
    cpus: int = 0
    queued: bool = False


@contextmanager
def started(settings: Settings) -> Iterator[Started]:
    """What a cluster consists of, for as long as it is needed."""
    folder = Path(settings.certificates)
    if settings.scheduler:
        yield Started(settings.scheduler, security(settings.scheduler, folder))
        return
    given = security(address_of(settings.listen, 0), folder)
    configure()
    if settings.slurm:
        with _slurm(settings, settings.slurm, given) as address:
            jobs = settings.slurm.workers
            yield Started(address, given, jobs, jobs * settings.slurm.cpus, queued=True)
        return
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=0, host=settings.listen, protocol="tls" if given else "tcp", security=given,
        dashboard_address=f"{LOOPBACK}:0",
    ) as scheduler:  # fmt: skip
        processes = [_by_ssh(host, scheduler.scheduler_address, folder if given else None) for host in settings.hosts]
        try:
            workers = sum(max(1, host.gpus or 1) for host in settings.hosts)
            yield Started(scheduler.scheduler_address, given, workers, sum(host.cpus or 1 for host in settings.hosts))
        finally:
            for process in processes:
                assert process.stdin
                with suppress(BrokenPipeError):
                    process.stdin.close()  # at which the worker ends
            for process in processes:
                try:
                    process.wait(END_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


def _by_ssh(host: Host, address: str, certificates: Path | None) -> subprocess.Popen[bytes]:
    """A worker in the checkout of another machine, which ends when the connection does."""
    words = [host.python, "-m", "tools", "worker", address, "--name", host.called, "--while-input-is-open"]
    for name, value in (("cpus", host.cpus), ("gpus", host.gpus), ("memory", host.memory)):
        words += [f"--{name}", str(value)] if value is not None else []
    place = f"cd {_quoted(host.folder)}"
    if certificates is not None:
        _send_certificates(host, place, certificates)
    return subprocess.Popen(
        ["ssh", "-o", "BatchMode=yes", *shlex.split(host.ssh), f"{place} && exec {shlex.join(words)}"],
        stdin=subprocess.PIPE,
        stdout=sys.stderr,
        stderr=sys.stderr,
    )


def _send_certificates(host: Host, place: str, certificates: Path) -> None:
    """Put them where the worker looks for them, over SSH, whose users are those that may have them."""
    for name in (KEY, CERTIFICATE):
        put = f"{place} && umask 077 && mkdir -p .tenfold/certificates && cat > .tenfold/certificates/{name}"
        subprocess.run(
            ["ssh", "-o", "BatchMode=yes", *shlex.split(host.ssh), put],
            input=(certificates / name).read_bytes(),
            stdout=subprocess.DEVNULL,
        )


def _quoted(folder: str) -> str:
    """A folder for the shell of another machine, where ~ is that one's home."""
    return f"~/{shlex.quote(folder[2:])}" if folder.startswith("~/") else shlex.quote(folder)


@contextmanager
def _slurm(settings: Settings, slurm: Slurm, given: Any) -> Iterator[str]:
    """Jobs of Slurm, each of which is a worker."""
    from dask_jobqueue import SLURMCluster

    own = {"cpus": slurm.cpus, "gpus": slurm.gpus, "memory": f"{slurm.memory:g}", "certificates": settings.certificates}
    with SLURMCluster(
        cores=slurm.cpus,
        processes=1,
        memory=f"{slurm.memory:g}GB",
        queue=slurm.partition or None,
        walltime=slurm.time,
        python=slurm.python,
        nanny=False,
        job_name="tenfold",
        job_script_prologue=[f"cd {shlex.quote(slurm.folder)}"],
        job_extra_directives=[*slurm.directives, *([f"--gres=gpu:{slurm.gpus}"] if slurm.gpus else [])],
        worker_command=job.MODULE,
        worker_extra_args=[word for name, value in own.items() for word in (f"--{name}", shlex.quote(str(value)))],
        log_directory=f"{slurm.folder}/.tenfold/slurm",
        protocol="tls://" if given else "tcp://",
        security=given,
        scheduler_options={"dashboard_address": f"{LOOPBACK}:0", "host": settings.listen},
    ) as cluster:
        cluster.scale(slurm.workers)
        yield cluster.scheduler_address
