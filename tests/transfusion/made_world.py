"""Every stage's folder, of pictures of a few pixels and models of a few steps."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch

from models.config import Optimisation
from models.transfusion.settings import Sampling
from tasks.transfusion.arms import CODES, LATENTS, REHEARSED, TEXT
from tasks.transfusion.autoencoders import CODEBOOK, CONTINUOUS, AutoencoderTraining, train_autoencoder
from tasks.transfusion.choosing import Choosing, choose_sampling
from tasks.transfusion.evaluation import Evaluation, evaluate, evaluate_text, evaluate_twin
from tasks.transfusion.gate import Gate, judge_rehearsals
from tasks.transfusion.generators import Generator, rehearse, train_generator, train_twin
from tasks.transfusion.images import Digits, prepare_digits
from tasks.transfusion.judging import JudgeTraining, Reconstructing, judge_autoencoders, train_judge
from tasks.transfusion.passed import Passed, write_passed
from tasks.transfusion.rates import ChoosingRates, choose_rates
from tasks.transfusion.texts import Texts, prepare_texts

STEPS = Optimisation(steps=3, batch=8, learning_rate=0.01, warmup=0, weight_decay=0.0)
SMALL: dict[str, Any] = {
    "width": 16, "layers": 1, "heads": 2, "feed_forward": 24, "inner": 4, "texts": 4, "context": 12,
    "optimisation": STEPS,
}  # fmt: skip
FAST = Sampling(steps=2, guidance=2.0)
CHOOSING = Choosing(steps=(2, 3), guidance=(1.0, 2.0), temperature=(0.5, 1.0), top_k=(0,))


class World:
    """Every stage's folder, made once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        random = np.random.default_rng(0)
        kind = np.arange(120) % 10
        pixels = random.integers(0, 60, size=(120, 28, 28))
        for number, each in enumerate(kind):  # a bar whose place tells the kind
            pixels[number, 3 + 2 * each : 6 + 2 * each, 4:24] = 250
        folder = self.folder("source")
        with gzip.open(folder / "mnist_5k.csv.gz", "wt") as file:
            np.savetxt(file, np.column_stack([pixels.reshape(120, -1), kind]), fmt="%d", delimiter=",")
        articles = {
            f"t{n}": {"extract": f"Article {n} says that {n * 7} ducks swim on lake {n % 5}."} for n in range(60)
        }
        (self.folder("wiki") / "summaries_en-us.json").write_text(json.dumps(articles))
        self.images = self.folder("images")
        prepare_digits(digits=folder, config=Digits(), out=self.images)
        self.texts = self.folder("texts")
        config = Texts(vocabulary=300, validation=5, test=10, longest=30)
        prepare_texts(wikipedia=root / "wiki", images=self.images, config=config, out=self.texts)
        self.judge = self.folder("judge")
        learning = JudgeTraining(features=16, moved=0.02, optimisation=replace(STEPS, steps=150, learning_rate=0.005))
        train_judge(images=self.images, config=learning, out=self.judge)
        self.autoencoders = {kind: self.autoencoder(kind) for kind in (CONTINUOUS, CODEBOOK)}
        self.known = {"images": self.images, "texts": self.texts}
        self.reconstructed = self.folder("reconstructed")
        judge_autoencoders(
            images=self.images,
            judge=self.judge,
            autoencoders=self.autoencoders,
            config=Reconstructing(),
            out=self.reconstructed,
        )
        self.rehearsed = {f"{arm}-{rate}": self.rehearse(arm, rate) for arm in REHEARSED for rate in (0.001, 0.01)}
        self.rates, self.chosen, self.gate = (self.folder(name) for name in ("rates", "chosen", "gate"))
        choose_rates(rehearsed=self.rehearsed, config=ChoosingRates(), out=self.rates)
        tried: dict[str, Any] = {
            **self.known,
            "judge": self.judge,
            "rehearsed": self.rehearsed,
            "rates": self.rates,
            "autoencoders": self.autoencoders,
        }
        choose_sampling(**tried, config=CHOOSING, out=self.chosen)
        open_ = Gate(aligned=0.0, captioned=0.0, used=0.0, explained=1.0, least=0.0)
        judge_rehearsals(
            **tried, chosen=self.chosen, reconstructed=self.reconstructed, config=open_, out=self.folder("judged")
        )
        # These models have learned next to nothing, so that the gate itself is tested apart, and all passes here.
        write_passed(Passed({arm: 0.01 for arm in REHEARSED}, {}, {}), self.gate)

    def folder(self, name: str) -> Path:
        made = self.root / name
        made.mkdir()
        return made

    def autoencoder(self, kind: str) -> Path:
        out = self.folder(kind)
        config = AutoencoderTraining(
            kind=kind, codes=16, inner=8, revived=2, before=0.1, optimisation=replace(STEPS, steps=20)
        )
        train_autoencoder(images=self.images, config=config, out=out)
        return out

    def rehearse(self, arm: str, rate: float) -> Path:
        out = self.folder(f"{arm} at {rate}")
        config = Generator(**SMALL, arm=arm, rate=rate)
        rehearse(**self.known, autoencoders=self.autoencoders, config=config, out=out)
        return out

    def train(self, arm: str, **settings: Any) -> Path:
        out = self.folder(f"{arm} {settings}")
        config = Generator(**{**SMALL, "seed": 1, "arm": arm} | settings)
        given = {**self.known, "gate": self.gate}
        if arm in (LATENTS, CODES):
            train_twin(**given, autoencoders=self.autoencoders, config=config, out=out)
        else:
            train_generator(**given, config=config, out=out)
        return out

    def evaluate(self, arm: str, generator: Path, gate: Path | None = None, **settings: Any) -> Path:
        out = self.folder(f"{generator.name} evaluated {len(list(self.root.iterdir()))}")
        settings = {"seed": 1, "arm": arm, "denoised": 6} | settings
        config = Evaluation(**settings)
        given = {**self.known, "judge": self.judge, "generator": generator, "chosen": self.chosen}
        given["gate"] = gate or self.gate
        if arm in (LATENTS, CODES):
            evaluate_twin(**given, autoencoders=self.autoencoders, config=config, out=out)
        elif arm == TEXT:
            evaluate_text(texts=self.texts, generator=generator, config=config, out=out)
        else:
            evaluate(**given, config=config, out=out)
        return out


WORLDS: list[World] = []


def made(factory: pytest.TempPathFactory) -> World:
    """One world, made once for all modules of tests."""
    if not WORLDS:
        torch.set_num_threads(1)
        WORLDS.append(World(factory.mktemp("world")))
    return WORLDS[0]


def examples(folder: Path) -> list[dict[str, Any]]:
    rows = pyarrow.parquet.read_table(folder / "examples.parquet").to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]
