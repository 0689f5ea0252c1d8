"""`tenfold caption` end to end against the same model asked for one picture after the other, side by side.

python -m bench.captioning IMAGES [--alt ALTS] [--profile cpu] [--pictures 1024] [--batch 64] [--rounds 3] [--threads 2]

IMAGES is a folder of pictures; the captioner is the one that `tenfold reproduce altogether` trained. `tenfold caption`
uses all cores, and the time to start the processes that draw counts; the loop has `--threads` of PyTorch, by default as
many, of which one may be faster.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.retrieval import measured
from tasks.base.determinism import set_process_environment
from tools.annotate.alts import read_alts
from tools.caption.cli import captioner
from tools.caption.realigning import Realigner, open_picture, pictures_below, realign, told


def main() -> None:
    """Print the ratio: above 1 is in favour of `tenfold caption`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--alt", type=Path)
    parser.add_argument("--profile")
    parser.add_argument("--pictures", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    set_process_environment()
    paths = pictures_below(asked.images)
    paths = paths[:: max(1, len(paths) // asked.pictures)][: asked.pictures]
    alts = {}
    if asked.alt is not None:
        alts = {path: each.text for path, each in read_alts(asked.alt, asked.images, paths)[0].items()}
    model = Realigner(captioner(asked.profile), {}, rewrites=True)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours.jsonl"), Path(folder, "theirs.jsonl")

        def in_batches() -> None:
            ours.unlink(missing_ok=True)
            torch.set_num_threads(1)
            realign(asked.images, paths, alts, model, ours, asked.batch)

        def one_by_one() -> None:
            theirs.unlink(missing_ok=True)
            torch.set_num_threads(asked.threads)
            naive(asked.images, paths, alts, model, theirs)

        fast, slow = measured([in_batches, one_by_one], asked.rounds, time.perf_counter)
        same = ours.read_bytes() == theirs.read_bytes()
    a, b = (len(paths) / statistics.median(seconds) for seconds in (fast, slow))
    print(
        f"{len(paths)} pictures, {asked.batch} at once: {a:.1f} a second; one by one, with {asked.threads} threads: "
        f"{b:.1f}; ratio {a / b:.2f}; the lines are {'the same' if same else 'NOT the same'}; "
        f"load average {os.getloadavg()[0]:.2f}"
    )


def naive(images: Path, paths: Sequence[str], alts: Mapping[str, str], model: Realigner, out: Path) -> None:
    """The same lines, as one would write it first: read a picture, caption it, write its line."""
    with open(out, "w", encoding="utf-8") as file:
        for path in paths:
            alt = alts.get(path, "")
            digest, seen = open_picture(images, path, model.size)
            if isinstance(seen, str):
                line: dict[str, Any] = {"image": path, "problem": seen}
            else:
                (said,) = model.said(np.stack([seen]), [alt])
                line = {"image": path, "sha256": digest, "alt": alt, **told(alt, "rewritten", said)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
