"""The same stages by `tenfold reproduce`, with and without Prefect and MLflow, `dvc repro`, snakemake and doit.

    pip install -c constraints.txt -e '.[bench]'
    python bench/engines.py dag               # 100 stages of small real work
    python bench/engines.py dag --stages 600
    python bench/engines.py btx               # Branch-Train-MiX at quick (sources fetched beforehand)

Each engine runs in a fresh clone of its own, one after the other on the same machine, with the same commands
and two stages at a time where the engine can (dvc cannot). `bare` is the commands alone, one after
the other, so that an engine's own CPU is what it uses beyond that. Every process is counted that an engine starts,
those that outlive the command too, such as Prefect's server and the pusher of MLflow's runs.
"""

import argparse
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
JOBS = 2
PR_SET_CHILD_SUBREAPER = 36
CHAINS = 10

DAG = '''"""Many stages of small real work: ten chains, each counting the words of a part of a text."""

from flows.engine.paper import Paper, Stage
from tasks import chain

first = Stage(chain.count, config=chain.Part(), each={"part": range(10)})
last = first
for depth in range(DEPTH - 1):
    last = Stage(chain.recount, inputs={"before": last}, config=chain.Part(), each={"part": range(10)})
    globals()[f"step_{depth}"] = last
del last

paper = Paper(
    title="A chain", authors="bench", year=2026, arxiv="0000.00000", claims=[], controls=[], scales=[], tables=[]
)
'''
CHAIN = '''"""Count words of the licence, part by part."""

import json
from collections import Counter
from pathlib import Path

from models.config import Index, config
from tasks.base.measures import measures


@config
class Part:
    """Which tenth of the text."""

    part: Index = 0


def count(*, config: Part, out: Path) -> None:
    """Count the words of one tenth of the licence."""
    words = Path("LICENSE").read_text().split()
    size = len(words) // 10
    counts = Counter(words[config.part * size : (config.part + 1) * size])
    (out / "counts.json").write_text(json.dumps(dict(sorted(counts.items()))))


@measures(words="how many words were counted")
def recount(*, before: Path, config: Part, out: Path) -> None:
    """Add the words of the tenth to the counts before."""
    counts = Counter(json.loads((before / "counts.json").read_text()))
    counts.update(Path("LICENSE").read_text().split()[: 100 + config.part])
    (out / "counts.json").write_text(json.dumps(dict(sorted(counts.items()))))
    row = {"arm": "chain", "domain": str(config.part), "words": sum(counts.values())}
    (out / "metrics.json").write_text(json.dumps([row]))
'''


def clone(to: Path, workload: str, count: int) -> list[dict[str, Any]]:
    """A checkout whose quick profile is the workload; returns its stages in running order."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(to)], check=True)
    for lock in to.glob("pipelines/**/dvc.lock"):
        lock.unlink()
    (to / "dvc.lock").unlink(missing_ok=True)
    for guest in [*to.glob("flows/[!_]*"), *to.glob("tools/[!_]*")]:
        if guest.stem not in (workload, "engine"):
            shutil.rmtree(guest) if guest.is_dir() else guest.unlink()
    if workload == "dag":
        shutil.rmtree(to / "pipelines")
        (to / "flows/chain.py").write_text(DAG.replace("DEPTH", str(count // CHAINS)))
        (to / "tasks/chain.py").write_text(CHAIN)
    python(to, "-m", "tools", "compile")
    stages: list[dict[str, Any]] = []
    for pipeline in ("pipelines/sources", *sorted(str(p.relative_to(to)) for p in to.glob("pipelines/quick/*"))):
        stages += yaml.safe_load((to / pipeline / "dvc.yaml").read_text())["stages"].values()
    if workload == "dag":
        stages = [stage for stage in stages if "data/sources" not in stage["outs"][0]]
    elif (ROOT / "data/sources").exists():
        # Fetching is the network's time, not an engine's: all of them begin with the sources at hand.
        shutil.copytree(ROOT / "data/sources", to / "data/sources")
        stages = [stage for stage in stages if "data/sources" not in stage["outs"][0]]
        for path in ("pipelines/sources/dvc.lock",):
            shutil.copy(ROOT / path, to / path)
        shutil.copytree(ROOT / ".dvc/cache", to / ".dvc/cache")
        shutil.rmtree(to / ".dvc/cache/runs", ignore_errors=True)
    return stages


def python(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(where)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=where, env=environment, capture_output=True, text=True, check=True
    )


def snakefile(where: Path, stages: list[dict[str, Any]]) -> None:
    """The compiled stages as snakemake rules, with the same commands."""
    outs = {stage["outs"][0] for stage in stages}
    rules = [f"rule all:\n    input: {sorted(outs)!r}\n"]
    for number, stage in enumerate(stages):
        inputs = [dependency for dependency in stage.get("deps", []) if dependency in outs]
        rules.append(
            f"rule r{number}:\n    input: {inputs!r}\n    output: directory({stage['outs'][0]!r})\n"
            f"    shell: {stage['cmd']!r}\n"
        )
    (where / "Snakefile").write_text("\n".join(rules))


def dodo(where: Path, stages: list[dict[str, Any]]) -> None:
    """The compiled stages as tasks of doit, with the same commands."""
    outs = {stage["outs"][0] for stage in stages}
    lines = ["def task_stages():"]
    for stage in stages:
        (out,) = stage["outs"]
        inputs = [dependency for dependency in stage.get("deps", []) if dependency in outs]
        task = {"name": out, "actions": [stage["cmd"]], "targets": [out], "uptodate": [True]}
        lines.append(f"    yield {task | {'task_dep': [f'stages:{each}' for each in inputs]}!r}")
    (where / "dodo.py").write_text("\n".join(lines) + "\n")


def timed(where: Path, *arguments: str) -> dict[str, float]:
    """Wall seconds of a command; CPU seconds of it and all that it started, until the last of these has ended."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    python(where, *arguments)
    wall = time.perf_counter() - start
    with suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall": wall, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def show(row: dict[str, Any]) -> None:
    shown = {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
    print(json.dumps(shown), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=["dag", "btx"])
    parser.add_argument("--stages", type=int, default=100, help="of the dag")
    parser.add_argument("--engines", nargs="*", help="those to run, beside the bare commands; all by default")
    asked = parser.parse_args()
    workload = asked.workload
    engines = {
        "tenfold": ("-m", "tools", "reproduce", "--jobs", str(JOBS)),
        "plain": ("-m", "tools", "reproduce", "--plain", "--jobs", str(JOBS)),
        "dvc": ("-m", "dvc", "repro"),
        "snakemake": ("-m", "snakemake", "--cores", str(JOBS), "--quiet", "all"),
        "doit": ("-m", "doit", "-n", str(JOBS), "-P", "thread"),
    }
    engines = {name: command for name, command in engines.items() if not asked.engines or name in asked.engines}
    # What outlives its parent becomes our child, so that its CPU time is counted.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, command in {"bare": (), **engines}.items():
            where = Path(folder) / name
            stages = clone(where, workload, asked.stages)
            if name == "bare":
                (where / "commands.sh").write_text("\n".join(stage["cmd"] for stage in stages))
                code = "import subprocess, sys; sys.exit(subprocess.run(['sh', '-e', 'commands.sh']).returncode)"
                bare = timed(where, "-c", code)
                rows.append({"engine": name, "cold": bare["wall"], "cpu": bare["cpu"]})
                show(rows[-1])
                continue
            if name == "snakemake":
                snakefile(where, stages)
            if name == "doit":
                dodo(where, stages)
            cold = timed(where, *command)
            again = timed(where, *command)
            overhead = (cold["cpu"] - bare["cpu"]) / len(stages)
            rows.append(
                {
                    "engine": name,
                    "cold": cold["wall"],
                    "cpu": cold["cpu"],
                    "overhead": overhead,
                    "no-op": again["wall"],
                    "no-op cpu": again["cpu"],
                }
            )
            show(rows[-1])
    print(f"{workload}: {len(stages)} stages, load average {os.getloadavg()[0]:.1f}")
    by = {row["engine"]: row for row in rows}
    if "dvc" in by:
        for name in ("tenfold", "plain"):
            if name in by:
                print(f"{name} / dvc, cold wall: {by[name]['cold'] / by['dvc']['cold']:.2f}")


if __name__ == "__main__":
    main()
