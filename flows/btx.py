"""Branch-Train-MiX: mixing expert language models into a mixture of experts (Sukhbaatar et al. 2024).

Attempted here: the whole method (branch, train without communication, mix, finetune) on real text of
three domains, with its baselines (weight soup, merge without finetuning, Branch-Train-Merge, dense
training and sparse upcycling), judged in bits per byte on held-out documents. Not attempted: the
paper's scale (7B parameters, 533B tokens) and its downstream tasks, on which models of this size are at
chance.
"""

from dataclasses import replace

from flows.engine.paper import Paper, Profiles, Scale, Source, Stage, profiles
from models.config import Mixture, Optimisation, Transformer
from tasks import btx, btx_evaluation, lm, text
from tasks.report import Table
from tasks.train import Plateau

DOMAINS = ("encyclopedia", "code", "mathematics")
SEEDS = Profiles(quick=(0, 1), cpu=range(8), gpu=range(8))

# Most parameters lie in the feed-forwards, which become the experts; the rest is averaged (section 3.2).
SMALL = Transformer(vocabulary=1024, width=64, layers=2, heads=4, feed_forward=512, context=128)
LARGE = Transformer(vocabulary=4096, width=256, layers=4, heads=8, feed_forward=2048, context=512)
ARCHITECTURE = Profiles(quick=SMALL, cpu=SMALL, gpu=LARGE)

# The three domains and the seed model as a generalist; two experts a token (section 3.2).
MIXTURE = Mixture(experts=len(DOMAINS) + 1, top_k=2)

# One learning rate and one schedule in every arm, as in the paper (section 4.1).
QUICK = Optimisation(steps=380, batch=4, learning_rate=3e-3, warmup=40)
CPU = Optimisation(steps=8000, batch=4, learning_rate=3e-3, warmup=100)
GPU = Optimisation(steps=2000, batch=64, learning_rate=1e-3, warmup=100)
SEED_TRAINING = Profiles(quick=QUICK, cpu=CPU, gpu=GPU)
EXPERT_TRAINING = Profiles(quick=replace(QUICK, steps=130), cpu=replace(CPU, steps=800), gpu=replace(GPU, steps=500))
# The paper gives 23 % of the operations to this step; small models need about 40 %.
FINETUNING = Profiles(quick=replace(QUICK, steps=150), cpu=replace(CPU, steps=1000), gpu=replace(GPU, steps=700))

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
    lm.tokenize,
    inputs={"corpus": corpus},
    config=Profiles(
        quick=lm.Tokenization(vocabulary=SMALL.vocabulary, train_bytes=1_000_000, sample_bytes=200_000),
        cpu=lm.Tokenization(vocabulary=SMALL.vocabulary),
        gpu=lm.Tokenization(vocabulary=LARGE.vocabulary),
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
            plateau=Plateau(gain=0.01, steps=95 if p == "quick" else 500),
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

# 7. Baseline: the seed model goes on as one dense model, at the operations of steps 4 and 6 together.
dense = Stage(
    btx.train_dense,
    inputs={"tokens": tokens, "seed_model": seed_model},
    config=profiles(
        lambda p: btx.Baseline(
            seed=0, workers=len(DOMAINS), expert=EXPERT_TRAINING.at(p), finetune=FINETUNING.at(p), mixture=MIXTURE
        )
    ),
    each={"seed": SEEDS},
)

# 8. Every arm on the same positions of the same held-out text.
evaluation = Stage(
    btx_evaluation.evaluate,
    inputs={
        "tokens": tokens,
        "seed_model": seed_model,
        "experts": expert,
        "merged": merged,
        "models": {"btx": finetuned, "dense": dense},
    },
    config=Profiles(
        quick=btx_evaluation.Evaluation(seed=0, windows=64),
        cpu=btx_evaluation.Evaluation(seed=0),
        gpu=btx_evaluation.Evaluation(seed=0),
    ),
    each={"seed": SEEDS},
)

paper = Paper(
    title="Branch-Train-MiX: Mixing Expert LLMs into a Mixture-of-Experts LLM",
    authors="Sukhbaatar et al.",
    year=2024,
    arxiv="2403.07816",
    claims=[],
    scales=[
        Scale("parameters of the seed model", paper="7B", here=Profiles("0.3M", "0.3M", "8M")),
        Scale("tokens", paper="533B", here=Profiles("0.5M", "6M", "140M")),
        Scale("domains", paper="3 and a generalist", here="3 and a generalist"),
        Scale("seeds", paper="1", here=Profiles("2", "8", "8")),
    ],
    tables=[
        Table(title="Bits per byte on held-out text", rows="arm", quantities=("bits_per_byte",), columns="domain"),
        Table(
            title="What each arm cost to train after the seed",
            rows="arm",
            quantities=("flops", "tokens", "serial_steps", "learning_rate", "inference_flops"),
        ),
        Table(
            title="Routing",
            rows="arm",
            quantities=("mutual_information", "mutual_information_null", "minimum_load", "expert_distance"),
        ),
    ],
)
