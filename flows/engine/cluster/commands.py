"""The commands of a cluster: `tenfold worker`, `tenfold scheduler` and `tenfold certificates`."""

from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from flows.engine.cluster import security
from flows.engine.console import console
from tasks.base.errors import UserError

Certificates = Annotated[Path, typer.Option(help="The folder with the cluster's certificates.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to those of `tenfold`."""
    app.command()(worker)
    app.command()(scheduler)
    app.command()(certificates)


def worker(
    address: Annotated[str, typer.Argument(help="The scheduler's, as it says at its start.")],
    name: Annotated[str, typer.Option(help="What this machine is called in logs and tables.")] = "",
    cpus: Annotated[int | None, typer.Option(min=1, help="Stages at once; by default one a core.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="By default all that there are.")] = None,
    memory: Annotated[float | None, typer.Option(min=0, help="In GB; by default all that there is.")] = None,
    together: Annotated[
        bool, typer.Option("--together", help="All GPUs in one process, for stages that need several.")
    ] = False,
    certificates: Certificates = security.CERTIFICATES,
    while_input_is_open: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Let this machine run stages for drivers elsewhere, until Ctrl-C.

    Example:

        tenfold worker tls://10.0.0.5:8786
    """
    serve = _serve()
    if while_input_is_open:
        serve.end_with_input()
    serve.work(address, name, cpus, gpus, memory, certificates, together=together)


def scheduler(
    host: Annotated[str, typer.Option(help="The address of this machine at which the others reach it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any.")] = 8786,
    tls: Annotated[bool, typer.Option("--tls", help="TLS on loopback, too, where others have a login.")] = False,
    certificates: Certificates = security.CERTIFICATES,
) -> None:
    """Bring drivers and workers together, until Ctrl-C.

    Example:

        tenfold scheduler --host 10.0.0.5
    """
    _serve().schedule(host, port, tls, certificates, lambda line: print(line, flush=True))


def certificates(
    folder: Annotated[Path, typer.Argument(help="Where to write them.")] = security.CERTIFICATES,
) -> None:
    """Make the certificate and the key that every machine of a cluster needs, and nobody else may have.

    Example:

        tenfold certificates
    """
    made = security.make(folder)
    console.print(
        f"{made} has the certificate and the key, for {security.VALID_DAYS} days. {security.COPY}", markup=False
    )


def require_dask() -> None:
    """Raises UserError where Dask is not installed."""
    if find_spec("distributed") is None:
        raise UserError("A cluster needs Dask: pip install 'tenfold[cluster]'.")


def _serve() -> ModuleType:
    require_dask()
    from flows.engine.cluster import serve

    return serve
