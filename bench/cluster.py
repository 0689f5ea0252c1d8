"""What a cluster costs and gives: the same stages on 1, 2 and 4 workers of this machine.

    pip install -c constraints.txt -e '.[cluster]'
    python -m bench.cluster overhead            # 100 stages of milliseconds: what a stage costs besides its run
    python -m bench.cluster scaling             # 40 stages that sleep 5 s: how near to linear
    python -m bench.cluster overhead --stages 1000 --workers 1 2 4

The scheduler, the workers and the driver are processes in checkouts of their own; a folder is their DVC remote. What
sleeps takes no core, so that four workers on two cores show what the engine adds, and not what the cores lack.
"""

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from bench.engines import clone, python

ROOT = Path(__file__).resolve().parent.parent
SLEEP = """    import time
    time.sleep(SECONDS)
"""


def checkout(to: Path, stages: int, seconds: float, remote: Path) -> None:
    """A checkout whose quick profile is a DAG of ten chains; each stage sleeps for so long."""
    clone(to, "dag", stages)
    path = to / "tasks/chain.py"
    code = path.read_text()
    if seconds:
        head = '    words = Path("LICENSE")'
        assert head in code
        code = code.replace(head, SLEEP.replace("SECONDS", str(seconds)) + head)
        head = "    counts = Counter(json.loads("
        code = code.replace(head, SLEEP.replace("SECONDS", str(seconds)) + head)
    # A workspace has what the stage's code names, and nothing else of the checkout.
    code = code.replace('Path("LICENSE")', 'Path(__file__).with_name("words.txt")')
    path.write_text(code)
    shutil.copy(to / "LICENSE", to / "tasks/words.txt")
    (to / ".dvc/config.local").write_text(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {remote}\n")
    python(to, "-m", "tools", "compile")


def run(stages: int, seconds: float, workers: int, folder: Path) -> dict[str, float]:
    """Reproduce on so many workers of one core each, and read the table of where each stage ran."""
    template = folder / "template"
    if not template.exists():
        checkout(template, stages, seconds, folder / "remote")
    shutil.rmtree(folder / "remote", ignore_errors=True)
    environment = {**os.environ, "COLUMNS": "200"}
    environment.pop("PYTHONPATH", None)
    started = []

    def start(name: str, *arguments: str) -> subprocess.Popen[str]:
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(template, folder / name, symlinks=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "tools", *arguments], cwd=folder / name, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        started.append(process)
        return process

    try:
        scheduler = start("scheduler", "scheduler", "--port", "0")
        assert scheduler.stdout
        address = scheduler.stdout.readline().split()[-1]
        page = scheduler.stdout.readline().split()[1].removesuffix("/status")
        names = [f"worker-{number}" for number in range(workers)]
        for name in names:
            start(name, "worker", address, "--name", name, "--cpus", "1")
        wait_for_workers(page, workers)  # all of them are there before the clock starts
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        driver = start("driver", "reproduce", "--plain", "--cluster", address)
        said, _ = driver.communicate()
        wall = time.perf_counter() - begun
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert driver.returncode == 0, said
        used = Path(f"/proc/{scheduler.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        scheduling = sum(map(int, used)) / os.sysconf("SC_CLK_TCK")
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
    rows = [tuple(map(float, each)) for each in re.findall(
        r"│ quick/chain/(?:first|step)\S+ +│ \S+ +│ ([\d.]+) +│ ([\d.]+) +│ ([\d.]+) +│ ([\d.]+) +│ ([\d.]+)", said
    )]  # fmt: skip
    beside = [transfer + rest for _, transfer, _, rest, _ in rows]  # what waits for a free worker is no cost of a stage
    moved = sum(row[4] for row in rows)
    # Each object that a worker keeps has come to it once, or was sent from it once.
    kept = sum(path.stat().st_size for name in names for path in (folder / name / ".dvc/cache/files").rglob("*")
               if path.is_file()) / 1e6  # fmt: skip
    assert moved <= kept + len(rows) * 0.0005, f"{moved} MB were moved, and {kept} MB are kept: some came twice"
    return {
        "stages": len(rows),
        "seconds a stage": seconds,
        "workers": workers,
        "wall": round(wall, 1),
        "median beside the run": round(statistics.median(beside), 3),
        "95 % beside the run": round(sorted(beside)[int(0.95 * len(beside))], 3),
        "median run": round(statistics.median(row[2] for row in rows), 3),
        "MB moved": round(moved, 2),
        "MB kept": round(kept, 2),
        "driver's CPU": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "scheduler's CPU": round(scheduling, 1),
        "load": os.getloadavg()[0],
    }


def wait_for_workers(page: str, workers: int) -> None:
    """Return when so many are at the scheduler, by the pages of its dashboard."""
    while True:
        with urllib.request.urlopen(f"{page}/json/counts.json") as answer:
            if json.load(answer)["workers"] == workers:
                return
        time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["overhead", "scaling"])
    parser.add_argument("--stages", type=int)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    asked = parser.parse_args()
    stages, seconds = (asked.stages or 40, 5.0) if asked.what == "scaling" else (asked.stages or 100, 0.0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for workers in asked.workers:
            rows.append(run(stages, seconds, workers, Path(folder)))
            print(json.dumps(rows[-1]), flush=True)
    if asked.what == "scaling" and len(rows) > 1:
        first, last = rows[0], rows[-1]
        linear = first["wall"] / last["wall"] / (last["workers"] / first["workers"])
        print(f"{last['workers']:.0f} workers: {linear:.0%} of linear to {first['workers']:.0f}")


if __name__ == "__main__":
    main()
