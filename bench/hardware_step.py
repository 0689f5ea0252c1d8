"""How many training configurations a second the simulator works out on one core.

OMP_NUM_THREADS=1 python -m bench.hardware_step [--gpus 1024] [--rounds 5]
"""

import argparse
import os
import statistics
import time

import numpy as np

from models.hardware.calibration import Calibration
from models.hardware.cluster import CLUSTERS
from models.hardware.columns import columns
from models.hardware.search import candidates
from models.hardware.step import step
from models.hardware.workload import WORKLOADS


def main() -> None:
    """Work out all strategies of a 70B model, as a search and repeated to a sweep of 20,000."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    workload, cluster, calibration = WORKLOADS["llama-2-70b"], CLUSTERS["h100"], Calibration()
    start = time.perf_counter()
    found = candidates(workload, cluster, asked.gpus, asked.gpus)
    print(f"{len(found)} valid strategies on {asked.gpus} GPUs, listed in {time.perf_counter() - start:.2f} s")
    once = columns(found)
    for name, batch in (("once", once), ("repeated", once.take(np.resize(np.arange(len(found)), 20_000)))):
        speeds = []
        for _ in range(asked.rounds):
            start = time.process_time()
            steps = step(workload, cluster, batch, calibration)
            speeds.append(len(steps.seconds) / (time.process_time() - start))
        print(f"{name}: {len(steps.seconds)} configurations, {statistics.median(speeds):,.0f} a CPU second")
    print(f"load average {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
