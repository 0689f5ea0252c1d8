"""What `--cluster` names: a file that says which machines there are, or the address of a scheduler that runs."""

import json
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from flows.engine.cluster.security import CERTIFICATES
from flows.engine.errors import first_error
from models.config import Count, Index, NotNegative, config
from tasks.base.errors import UserError
from tasks.base.files import ROOT

EXAMPLE = "docs/cluster.md shows one of each kind"


@config
class Host:
    """A machine that SSH reaches without a password, with a checkout of this repository in `folder`.

    `ssh` is what one would type after the word ssh. What is not said of cores, GPUs and memory (GB) is all that it has.
    """

    ssh: str
    folder: str
    python: str = ".venv/bin/python"
    name: str = ""
    cpus: Count | None = None
    gpus: Index | None = None
    memory: NotNegative | None = None

    @property
    def called(self) -> str:
        """What it is called in logs, tables and tags, which nobody's login or key is any business of."""
        return self.name or (self.ssh.split() or [""])[-1].rpartition("@")[2]


@config
class Slurm:
    """Jobs of a Slurm partition, a worker each, with this checkout (or `folder`) seen by its nodes.

    `memory` is in GB, `directives` are further lines of `#SBATCH`.
    """

    workers: Count
    cpus: Count = 1
    gpus: Index = 0
    memory: NotNegative = 4.0
    partition: str = ""
    time: str = "01:00:00"
    folder: str = str(ROOT)
    python: str = ".venv/bin/python"
    directives: tuple[str, ...] = ()


@config
class Settings:
    """A cluster: one of `scheduler` (an address), `hosts` (by SSH) and `slurm`, and the DVC `remote` that all share.

    `listen` is the address of this machine at which the others reach it, `certificates` the folder with those of TLS.
    """

    scheduler: str = ""
    hosts: tuple[Host, ...] = ()
    slurm: Slurm | None = None
    remote: str = ""
    listen: str = "127.0.0.1"
    certificates: str = str(CERTIFICATES)

    def __post_init__(self) -> None:
        if sum(map(bool, (self.scheduler, self.hosts, self.slurm))) != 1:
            raise ValueError("it names one of scheduler, hosts and slurm")
        called = [host.called for host in self.hosts]
        if twice := {name for name in called if called.count(name) > 1}:
            raise ValueError(f"two hosts are called {min(twice)}: give each a name")


def read(given: str) -> Settings:
    """The settings of a cluster by its file's name or its scheduler's address.

    Raises:
        UserError: there is no such file, or it does not say what it should.
    """
    if "://" in given:
        return Settings(scheduler=given)
    path = Path(given)
    try:
        said = yaml.safe_load(path.read_text())
        return TypeAdapter(Settings).validate_json(json.dumps(said))
    except OSError as problem:
        raise UserError(
            f"{given} cannot be read ({problem.strerror}): --cluster takes a file, or an address such as "
            "tls://10.0.0.5:8786."
        ) from problem
    except (yaml.YAMLError, TypeError) as problem:
        raise UserError(f"{given} is no YAML that describes a cluster: {EXAMPLE}.") from problem
    except ValidationError as problem:
        raise UserError(f"{given}: {first_error(problem)}; {EXAMPLE}.") from problem
