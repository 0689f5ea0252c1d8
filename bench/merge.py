"""Merging checkpoints against mergekit on the same ones: wall time, CPU time and peak memory, each in its own process.

python -m bench.merge prepare FOLDER [--steps 24]
python -m bench.merge compare FOLDER [--rounds 3]

`prepare` writes SmolLM2-135M as `base` and three copies of it, each tuned for some steps on texts of another domain,
and the texts of these domains that no copy was tuned on. mergekit is nothing that Tenfold needs: where it is not
installed, its figures are left out. tenfold takes what is not a feed-forward from the base here, as mergekit does.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import yaml

DOMAINS = ("python", "foldoc", "wikipedia")
DOCUMENTS = 400
"""Of each domain at most: the first half tunes a copy, the other one is for the mixture."""
SHORTEST, LONGEST = 300, 6000
"""Characters of a document."""
CONTEXT, BATCH = 128, 2
LEARNING_RATE = 2e-4


def main() -> None:
    """Prepare checkpoints, or print figures: a ratio above 1 is in favour of Tenfold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["prepare", "compare"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if asked.what == "prepare":
        prepare(asked.folder, asked.steps)
    else:
        compare(asked.folder, asked.rounds)


def prepare(folder: Path, steps: int) -> None:
    """Write base, a tuned copy for each domain, and below `texts` what the mixture may learn from."""
    from flows.engine.fetched import fetched
    from tasks.radit.language_models import Conversion, convert_model

    base, fresh = folder / "base", folder / ".fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    if not base.is_dir():
        fresh.mkdir(parents=True)
        convert_model(smollm2=fetched("smollm2"), config=Conversion(), out=fresh)
        fresh.rename(base)
    for domain, documents in texts().items():
        half = len(documents) // 2
        for number, document in enumerate(documents[half:]):
            path = folder / "texts" / domain / f"{number:03}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(document, encoding="utf-8")
        if not (folder / domain).is_dir():
            tune(base, domain, documents[:half], steps, fresh)
            fresh.rename(folder / domain)


def texts() -> dict[str, list[str]]:
    """Documents of Python's library, of FOLDOC and of an encyclopedia, in an order that is drawn once."""
    from flows.engine.fetched import fetched
    from tasks.encyclopedia.foldoc import read_foldoc
    from tasks.language.documents import cut, read_modules, read_summaries

    found = {
        "python": [each.text for each in read_modules(fetched("python-stdlib"))],
        "foldoc": [each.text for each in read_foldoc(fetched("foldoc"))],
        "wikipedia": [each.text for each in read_summaries(fetched("wikipedia-summaries"))],
    }
    for name, documents in found.items():
        fit = [cut(text, LONGEST) for text in documents if len(text) >= SHORTEST]
        found[name] = Random(0).sample(fit, min(DOCUMENTS, len(fit)))
    return found


def tune(base: Path, domain: str, documents: list[str], steps: int, out: Path) -> None:
    """Train all weights of a copy of the base on documents, a few steps, and save it as `transformers` does."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from models.config import Optimisation
    from models.transformer import next_token_loss
    from tasks.learning.lm import sampler
    from tasks.learning.train import train
    from tools.merge.texts import stream, training_text

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    model: Any = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=torch.float32)
    model.config.use_cache = False
    text = training_text({domain: stream(domain, documents, tokenizer, CONTEXT)})
    train(
        model,
        batch=sampler(text, {domain: 1.0}, BATCH, CONTEXT, ("tune", 0)),
        loss=lambda trained, batch: next_token_loss(trained(input_ids=batch[:, :-1]).logits, batch[:, 1:]),
        config=Optimisation(steps=steps, batch=BATCH, learning_rate=LEARNING_RATE, warmup=steps // 6, weight_decay=0.0),
        tokens_per_step=BATCH * CONTEXT,
        flops_per_step=0,
    )
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def compare(folder: Path, rounds: int) -> None:
    """Merge the tuned copies with the base by both, in turns, and say whether the experts are the same bytes."""
    from tools.merge.checking import load_mixture

    experts = [{"source_model": str(folder.resolve() / name), "positive_prompts": [name]} for name in DOMAINS]
    recipe = {"base_model": str(folder.resolve() / "base"), "gate_mode": "random", "dtype": "bfloat16"}
    theirs, ours = folder / "mergekit.yaml", folder / "tenfold.yaml"
    theirs.write_text(yaml.safe_dump({**recipe, "experts": experts}))
    ours.write_text(yaml.safe_dump({**recipe, "experts": experts, "rest": "base"}))
    arms = {"tenfold": [sys.executable, "-m", "tools", "merge", str(ours), "--out", str(folder / "by-tenfold")]}
    if find_spec("mergekit"):
        arms["mergekit"] = [
            sys.executable, "-m", "mergekit.scripts.moe", str(theirs), str(folder / "by-mergekit"),
        ]  # fmt: skip
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, command in arms.items():
            shutil.rmtree(folder / f"by-{name}", ignore_errors=True)
            found[name].append(run(command))
    for name, each in found.items():
        wall, cpu, peak = (statistics.median(values) for values in zip(*each, strict=True))
        print(f"{name}: {wall:.1f} s, {cpu:.1f} s of CPU, at most {peak / 2**20:,.0f} MB of memory")
    if "mergekit" in arms:
        pairs = list(zip(found["tenfold"], found["mergekit"], strict=True))
        ratios = [statistics.median(theirs[at] / ours[at] for ours, theirs in pairs) for at in range(3)]
        print(f"mergekit / tenfold: wall {ratios[0]:.2f}, CPU {ratios[1]:.2f}, peak memory {ratios[2]:.2f}")
        one, other = (load_mixture(folder / f"by-{name}").state_dict() for name in arms)
        names = [name for name in one if not name.endswith("gate.weight")]
        same = sum(bool((one[name] == other[name]).all()) for name in names)
        print(f"{same} of {len(names)} weights besides the gates are the same numbers, as transformers loads them")
    print(f"load average {os.getloadavg()[0]:.2f}")


def run(command: list[str]) -> tuple[float, float, int]:
    """Wall and CPU seconds and the peak of resident memory, in bytes, of a command in a process of its own."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, code, used = os.wait4(process.pid, 0)
    if code:
        raise SystemExit(f"{' '.join(command)} failed:\n{said[-2000:]}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss << 10


if __name__ == "__main__":
    main()
