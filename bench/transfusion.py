"""Images a second, with a cache and in batches against the plain loop that reads the whole sequence at each step.

OMP_NUM_THREADS=1 python -m bench.transfusion [--images 16] [--steps 25]

The model is the paper's stage `main` at cpu, with random weights; both sides draw the same images, which is checked.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from models.config import Transformer
from models.transfusion.generation import imagine
from models.transfusion.model import Transfusion
from models.transfusion.noising import Diffusion, times
from models.transfusion.rows import Patches, write_rows
from models.transfusion.settings import Adapter, Sampling, Sizes

TEXT, PROMPT = 512, [20, 40, 60, 80]
ROUNDS = 3


def main() -> None:
    """Print speeds and ratios: above 1 is in favour of Tenfold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--steps", type=int, default=25)
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    adapters: tuple[Adapter, ...] = ("linear", "unet")
    for adapter in adapters:
        compare(model_of(adapter), asked.images, Sampling(steps=asked.steps, guidance=3.0, fresh=0.0), adapter)
    print(f"load average {os.getloadavg()[0]:.2f}")


def model_of(adapter: Adapter) -> Transfusion:
    """A model of the sizes of the paper's stage at cpu."""
    torch.manual_seed(0)
    transformer = Transformer(vocabulary=TEXT + 3, width=64, layers=4, heads=4, feed_forward=176, context=40)
    return Transfusion(Sizes(transformer=transformer, text=TEXT, adapter=adapter)).eval()


def compare(model: Transfusion, count: int, sampling: Sampling, name: str) -> None:
    """Images a CPU second of both, in turns."""
    noise = torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    arms: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: imagine(model, Diffusion(), [PROMPT] * count, sampling, noise, torch.Generator()),
        "a plain loop": lambda: torch.cat([plain(model, each[None], sampling) for each in noise]),
    }
    made = {name: run() for name, run in arms.items()}
    furthest = float((made["ours"] - made["a plain loop"]).abs().max())
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(ROUNDS):
        for each, run in arms.items():
            began = time.process_time()
            run()
            seconds[each].append(time.process_time() - began)
    ours, loop = (count / statistics.median(each) for each in seconds.values())
    print(
        f"{name}: {count} images in {sampling.steps} steps, ours {ours:.2f} a CPU second, a plain loop {loop:.2f}: "
        f"{ours / loop:.2f}; images differ by at most {furthest:.1e}"
    )


@torch.inference_mode()
def plain(model: Transfusion, x: Tensor, sampling: Sampling) -> Tensor:
    """One image as one writes it first: the whole sequence anew at each step, with the prompt and without it."""
    way = Diffusion()
    marks, patches = model.sizes.vocabulary, Patches(model.sizes.patches)
    asked = [write_rows([[prompt, patches]], marks, len(prompt) + patches.count + 3) for prompt in (PROMPT, [])]
    for now, to in pairwise(times(sampling.steps)):
        found = [model(rows, x, torch.tensor([now])).foretold for rows in asked]
        foretold = found[1] + sampling.guidance * (found[0] - found[1])
        x = way.back(x, foretold, (now, to), torch.zeros_like(x), sampling.fresh, sampling.bound)
    return x


if __name__ == "__main__":
    main()
