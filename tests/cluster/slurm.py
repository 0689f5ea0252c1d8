"""A real Slurm on loopback, as Debian packages it: munged, slurmctld and slurmd, with all their files in one folder."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import wait_for

from flows.engine.server import free_port

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=short Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def install() -> None:
    """Have Debian's Slurm, by apt where it is not here."""
    if not all(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in DAEMONS):
        command = ["apt-get", "install", "-y", "--no-install-recommends", "slurm-wlm", "munge"]
        subprocess.run(
            command, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, check=True, capture_output=True
        )


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which `sbatch` finds a Slurm of one node."""
    folder.mkdir(mode=0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    ports = {"controller": free_port(), "node": free_port()}
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, host=host, **ports))
    environment = {"SLURM_CONF": str(configuration)}
    files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid", "log-file": "munge.log",
             "seed-file": "munge.seed"}  # fmt: skip
    commands = [
        ["/usr/sbin/munged", "--force", "--foreground", *(f"--{name}={folder / file}" for name, file in files.items())],
        ["/usr/sbin/slurmctld", "-D"],
        ["/usr/sbin/slurmd", "-D", "-N", host],
    ]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with open(folder / "printed", "wb") as log:
            for command in commands:
                processes.append(subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log))
                if len(processes) == 1:
                    wait_for((folder / "munge.socket").exists, f"munge: {(folder / 'printed').read_text()}")

        def idle() -> bool:
            said = subprocess.run(["sinfo", "-h", "-o", "%t"], env={**os.environ, **environment}, capture_output=True)
            return b"idle" in said.stdout

        wait_for(idle, "a node that is idle")
        yield environment
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
