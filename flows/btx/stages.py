"""The stages of Branch-Train-MiX: corpora, seed model, experts, merge, finetuning, baselines, evaluation."""

from dataclasses import replace
from typing import Literal

from flows.engine.paper import (
    Profiles,
    Source,
    Stage,
    profiles,
)
from models.config import Mixture, Optimisation, Transformer
from tasks.btx import training as btx
from tasks.btx.evaluation import Evaluation, evaluate
from tasks.language import text
from tasks.learning import lm
from tasks.learning.tokens import Tokenization, tokenize
from tasks.learning.train import Plateau

DOMAINS = ("encyclopedia", "code", "mathematics")
# Learning rate, vocabulary and depth were chosen on seed 0, so the seeds that verdicts rest on begin at 1.
SEEDS = Profiles(quick=(0,), cpu=range(1, 9), gpu=range(1, 9))

# Most parameters lie in the feed-forwards, which become the experts; the rest is averaged (section 3.2).
SMALL = Transformer(vocabulary=1024, width=64, layers=2, heads=4, feed_forward=512, context=128)
LARGE = Transformer(vocabulary=4096, width=256, layers=4, heads=8, feed_forward=2048, context=512)
ARCHITECTURE = Profiles(quick=SMALL, cpu=SMALL, gpu=LARGE)

# The three domains and the seed model as a generalist; two experts a token (section 3.2).
MIXTURE = Mixture(experts=len(DOMAINS) + 1, top_k=2)

# One learning rate and one schedule in every arm, as in the paper (section 4.1).
QUICK = Optimisation(steps=160, batch=4, learning_rate=3e-3, warmup=20)
CPU = Optimisation(steps=8000, batch=4, learning_rate=3e-3, warmup=100)
GPU = Optimisation(steps=2000, batch=64, learning_rate=1e-3, warmup=100)
SEED_TRAINING = Profiles(quick=QUICK, cpu=CPU, gpu=GPU)
EXPERT_TRAINING = Profiles(quick=replace(QUICK, steps=50), cpu=replace(CPU, steps=800), gpu=replace(GPU, steps=500))
# The paper gives 23 % of the operations to this step; small models need about 40 %.
FINETUNING = Profiles(quick=replace(QUICK, steps=60), cpu=replace(CPU, steps=1000), gpu=replace(GPU, steps=700))

# 1. Corpora: three domains and documents that switch between them, split by document, without copies.
corpus = Stage(
    text.prepare_domains,
    inputs={
        "wikipedia": Source("wikipedia-summaries"),
        "stdlib": Source("python-stdlib"),
        "metamath": Source("metamath"),
        "chats": Source("chats"),
    },
    config=text.Domains(),
)

# 2. One tokenizer for all. The quick profile reads less text.
tokens = Stage(
    tokenize,
    inputs={"corpus": corpus},
    config=Profiles(
        quick=Tokenization(vocabulary=SMALL.vocabulary, train_bytes=1_000_000, sample_bytes=200_000),
        cpu=Tokenization(vocabulary=SMALL.vocabulary),
        gpu=Tokenization(vocabulary=LARGE.vocabulary),
    ),
)

# 3. The seed model, until its validation gains less than 0.01 bits per byte in 500 steps.
seed_model = Stage(
    lm.pretrain,
    inputs={"tokens": tokens},
    config=profiles(
        lambda p: lm.Pretraining(
            seed=0,
            architecture=ARCHITECTURE.at(p),
            optimisation=SEED_TRAINING.at(p),
            plateau=Plateau(gain=0.01, steps=40 if p == "quick" else 500),
        )
    ),
    each={"seed": SEEDS},
)

# 4. Branch and train: an expert for each domain, with no communication between them.
expert = Stage(
    btx.train_expert,
    inputs={"tokens": tokens, "seed_model": seed_model},
    config=profiles(lambda p: btx.Expert(domain=DOMAINS[0], seed=0, optimisation=EXPERT_TRAINING.at(p))),
    each={"domain": DOMAINS, "seed": SEEDS},
)

# 5. Mix: feed-forwards become experts, the seed is the generalist, everything else is averaged.
merged = Stage(
    btx.mix,
    inputs={"experts": expert, "seed_model": seed_model},
    config=btx.Mix(seed=0, mixture=MIXTURE),
    each={"seed": SEEDS},
)

# 6. Finetune all weights on all domains.
finetuned = Stage(
    btx.finetune,
    inputs={"tokens": tokens, "mixture": merged},
    config=profiles(lambda p: btx.Finetuning(seed=0, optimisation=FINETUNING.at(p))),
    each={"seed": SEEDS},
)

# 7. Ablation: the same without the loss that balances the experts' loads (Table 5).
unbalanced = Stage(
    btx.finetune,
    inputs={"tokens": tokens, "mixture": merged},
    config=profiles(lambda p: btx.Finetuning(seed=0, optimisation=FINETUNING.at(p), balance=0.0)),
    each={"seed": SEEDS},
)


# 8. Baselines: the seed model goes on as one dense model, or as a mixture of copies of itself, with as much
#    of something as steps 4 and 6 together.
def budget(match: Literal["flops", "data", "path", "worker"]) -> Profiles[btx.Baseline]:
    """What a baseline may spend: see `btx.Baseline`."""
    return profiles(
        lambda p: btx.Baseline(
            seed=0,
            workers=len(DOMAINS),
            expert=EXPERT_TRAINING.at(p),
            finetune=FINETUNING.at(p),
            mixture=MIXTURE,
            match=match,
        )
    )


SEED_AND_TOKENS = {"tokens": tokens, "seed_model": seed_model}
dense = Stage(btx.train_dense, inputs=SEED_AND_TOKENS, config=budget("flops"), each={"seed": SEEDS})
dense_data = Stage(btx.train_dense, inputs=SEED_AND_TOKENS, config=budget("data"), each={"seed": SEEDS})
dense_path = Stage(btx.train_dense, inputs=SEED_AND_TOKENS, config=budget("path"), each={"seed": SEEDS})
dense_worker = Stage(btx.train_dense, inputs=SEED_AND_TOKENS, config=budget("worker"), each={"seed": SEEDS})
upcycled = Stage(btx.train_upcycled, inputs=SEED_AND_TOKENS, config=budget("flops"), each={"seed": SEEDS})

# 9. Every arm on the same positions of the same held-out text.
evaluation = Stage(
    evaluate,
    inputs={
        "tokens": tokens,
        "seed_model": seed_model,
        "experts": expert,
        "merged": merged,
        "models": {
            "btx": finetuned,
            "btx-unbalanced": unbalanced,
            "dense": dense,
            "dense-data": dense_data,
            "dense-path": dense_path,
            "dense-worker": dense_worker,
            "upcycled": upcycled,
        },
    },
    config=Profiles(
        quick=Evaluation(seed=0, windows=64),
        cpu=Evaluation(seed=0),
        gpu=Evaluation(seed=0),
    ),
    each={"seed": SEEDS},
)
