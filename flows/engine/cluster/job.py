"""A worker in a job of a batch system: what dask-jobqueue starts in place of Dask's own worker command.

python -m flows.engine.cluster.job ADDRESS --name … --cpus … --memory … (and what else Dask's command would take)
"""

import argparse
from pathlib import Path

from flows.engine.cluster.security import CERTIFICATES
from flows.engine.cluster.serve import work

MODULE = "flows.engine.cluster.job"


def main() -> None:
    """Be a worker as `tenfold worker` is, until the batch system ends the job."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--name", default="")
    parser.add_argument("--cpus", type=int)
    parser.add_argument("--gpus", type=int)
    parser.add_argument("--memory", type=float)
    parser.add_argument("--certificates", type=Path, default=CERTIFICATES)
    given, _ = parser.parse_known_args()
    work(given.address, given.name, given.cpus, given.gpus, given.memory, given.certificates)


if __name__ == "__main__":
    main()
