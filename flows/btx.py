"""Branch-Train-MiX: mixing expert language models into a mixture of experts (Sukhbaatar et al. 2024).

Attempted here: the whole method (branch, train without communication, mix, finetune) on real text of
three domains, with its baselines (weight soup, merge without finetuning, Branch-Train-Merge, dense
training and sparse upcycling), judged in bits per byte on held-out documents. Not attempted: the
paper's scale (7B parameters, 533B tokens) and its downstream tasks, on which models of this size are at
chance.
"""

from dataclasses import replace
from typing import Any, Literal

from flows.engine.paper import (
    Claim,
    Control,
    NotTested,
    Paper,
    Plot,
    Profiles,
    Scale,
    Source,
    Stage,
    all_of,
    at_least,
    at_most,
    equivalent,
    greater,
    less,
    profiles,
)
from models.config import Mixture, Optimisation, Transformer
from tasks.btx import training as btx
from tasks.btx.evaluation import Evaluation, evaluate
from tasks.judging.results import Table
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


def bits(arm: str, domain: str = "mean") -> Any:
    """Bits per byte of an arm on a domain's held-out text; lower is better."""
    return evaluation["bits_per_byte"].where(arm=arm, domain=domain)


BY_DOCUMENT: dict[str, Any] = {"items": "document", "weight": "weight"}
"""Documents are a sample as much as seeds are: single ones weigh by their bytes, as the tables' means do."""


MIXED = "mixed"
NOT_AT_CHANCE = "The paper measures this on tasks at which models of this size are at chance."
NOT_BUILT = "The arms of this ablation are not built."
SEEN = (
    "the quick profile's run, recorded an hour and a half before the claims, and a trial of one seed (0) at nearly the "
    "cpu profile's sizes"
)

CLAIMS = [
    Claim(
        "experts-specialise",
        says="Each expert is better than the seed model in its own domain",
        source="Table 1",
        evidence="P",
        paper_value="GSM8K 14.7 → 39.5, HumanEval 12.8 → 31.7, NQ 16.4 → 21.8",
        whose="foregone",
        test=all_of(less(bits(f"expert-{domain}", domain), bits("seed", domain), **BY_DOCUMENT) for domain in DOMAINS),
        expected="holds",
        seen=SEEN,
    ),
    Claim(
        "experts-forget",
        says="Experts are worse than the seed model in most of the domains of the others",
        source="Table 1",
        evidence="P",
        paper_value="worse in 5 of 6, as NQ 16.4 → 14.4 (mathematics) and 11.5 (code)",
        whose="foregone",
        test=at_least(
            4,
            (
                greater(bits(f"expert-{one}", other), bits("seed", other), **BY_DOCUMENT)
                for one in DOMAINS
                for other in DOMAINS
                if one != other
            ),
        ),
        expected="holds",
        seen=SEEN,
    ),
    Claim(
        "finetuning-heals-the-merge",
        says="Finetuning improves the merged mixture",
        source="section 3.2",
        evidence="P",
        paper_value="not printed as a number",
        whose="paper, direction only",
        test=less(bits("btx"), bits("merged"), **BY_DOCUMENT),
        expected="holds",
        seen=SEEN,
    ),
    Claim(
        "mixture-beats-soup",
        says="BTX is better than the average of the same models' weights",
        source="section 3.2",
        evidence="P",
        paper_value="not printed as a number",
        whose="paper, direction only",
        test=less(bits("btx"), bits("soup"), **BY_DOCUMENT),
        expected="does not hold at this scale",
        seen=SEEN,
    ),
    Claim(
        "beats-the-seed-everywhere",
        says="BTX is better than the seed model in every domain and on documents that switch between them",
        source="Table 2",
        evidence="P",
        paper_value="47.9 against 40.7 on average, better in each of five categories",
        whose="paper, with a number",
        test=all_of(less(bits("btx", domain), bits("seed", domain), **BY_DOCUMENT) for domain in (*DOMAINS, MIXED)),
        expected="holds",
        seen=SEEN,
    ),
    Claim(
        "beats-btm-on-mixed-documents",
        says="BTX is better than Branch-Train-Merge, top-1 and top-2, on documents that switch between domains",
        source="Table 2 (by category there; mixed documents are our test)",
        evidence="P",
        paper_value="47.9 against 43.1 (top-1) and 43.4 (top-2) on average",
        whose="ours",
        test=all_of(less(bits("btx", MIXED), bits(f"btm-top-{top}", MIXED), **BY_DOCUMENT) for top in (1, 2)),
        expected="holds",
        seen=SEEN,
    ),
    Claim(
        "beats-btm-on-average",
        says="BTX is better than Branch-Train-Merge, top-1 and top-2, on the average of the domains",
        source="Table 2",
        evidence="P",
        paper_value="47.9 against 43.1 (top-1) and 43.4 (top-2) on average",
        whose="paper, with a number",
        test=all_of(less(bits("btx"), bits(f"btm-top-{top}"), **BY_DOCUMENT) for top in (1, 2)),
        expected="does not hold at this scale",
        seen=SEEN,
    ),
    Claim(
        "beats-dense-at-equal-data",
        says="BTX is better than the seed model trained on as one dense model on the same amount of data",
        source="Table 2",
        evidence="P",
        paper_value="47.9 against 44.5 on average",
        whose="paper, with a number",
        test=less(bits("btx"), bits("dense-data"), **BY_DOCUMENT),
        expected="does not hold at this scale",
        seen=SEEN,
    ),
    Claim(
        "beats-dense-at-equal-operations",
        says="BTX is better than the seed model trained on as one dense model at equal operations",
        source="section 4.2 (the paper matches data; equal operations is the stricter test)",
        evidence="P",
        paper_value="not printed",
        whose="ours",
        test=less(bits("btx"), bits("dense"), **BY_DOCUMENT),
        expected="does not hold at this scale",
        seen=SEEN,
    ),
    Claim(
        "beats-dense-on-the-same-workers",
        says="BTX is better than synchronous dense training with as many workers and as many serial steps",
        source="section 1 (training apart needs no communication)",
        evidence="P",
        paper_value="not printed",
        whose="ours",
        test=less(bits("btx"), bits("dense-path"), **BY_DOCUMENT),
        expected="does not hold at this scale",
        seen=SEEN,
    ),
    Claim(
        "workers-apart-beat-one-worker",
        says="BTX is better than what one worker reaches with dense training in as many serial steps",
        source="section 1 (training apart needs no communication)",
        evidence="P",
        paper_value="not printed",
        whose="ours",
        test=less(bits("btx"), bits("dense-worker"), **BY_DOCUMENT),
        expected="holds",
        seen=SEEN,
    ),
    Claim(
        "not-worse-than-upcycling",
        says="BTX is at most 0.02 bits per byte worse than sparse upcycling at equal operations",
        source="Table 3",
        evidence="P",
        paper_value="47.9 against 47.3 on average",
        whose="paper, with a number",
        test=at_most(bits("btx"), bits("upcycled"), margin=0.02, margin_of="ours", **BY_DOCUMENT),
        expected="does not hold at this scale",
        seen=SEEN,
    ),
    Claim(
        "balance-keeps-the-average",
        says="Load balancing leaves the average as it is, within 0.02 bits per byte",
        source="Table 5",
        evidence="P",
        paper_value="34.7 with, 34.6 without",
        whose="paper, with a number",
        test=equivalent(bits("btx"), bits("btx-unbalanced"), margin=0.02, margin_of="ours", **BY_DOCUMENT),
        expected="holds",
        seen=SEEN,
    ),
    Claim(
        "balance-revives-the-least-used-expert",
        says="Load balancing raises the load of the least used expert",
        source="section 4.3, Table 5",
        evidence="P",
        paper_value="the code expert is dead without it (HumanEval 19.5 → 27.4 with it)",
        whose="foregone",
        test=greater(
            evaluation["minimum_load"].where(arm="btx"),
            evaluation["minimum_load"].where(arm="btx-unbalanced"),
            fixed="items",
        ),
        expected="holds",
        seen=SEEN,
    ),
    Claim(
        "routing-follows-domains",
        says="Which expert a token goes to tells its domain: more than with the documents' domains permuted",
        source="section 4.3, Figure 3",
        evidence="P",
        paper_value="shown as a figure",
        whose="foregone",
        test=greater(
            evaluation["mutual_information"].where(arm="btx"),
            evaluation["mutual_information_null"].where(arm="btx"),
            fixed="items",
        ),
        expected="holds",
        seen=SEEN,
    ),
    Claim(
        "downstream-average",
        says="BTX reaches a better average over five categories of tasks than the larger dense Llama-2 13B",
        source="Table 2",
        evidence="P",
        paper_value="47.9 against 45.4",
        whose="paper, with a number",
        test=NotTested(NOT_AT_CHANCE),
        expected="not tested",
    ),
    Claim(
        "blending-destroys",
        says="Cutting the experts and blending their parts destroys them; splitting and freezing do not",
        source="Table 5",
        evidence="P",
        paper_value="34.7 falls to 22.2 with blending",
        whose="paper, with a number",
        test=NotTested(NOT_BUILT),
        expected="not tested",
    ),
    Claim(
        "routing-variants",
        says="Soft routing is as good as or better than top-2, then sampled top-1, then Switch",
        source="Table 4",
        evidence="P",
        paper_value="35.8, 34.6, 33.0, 24.7 after 10B tokens",
        whose="paper, with a number",
        test=NotTested(NOT_BUILT),
        expected="not tested",
    ),
]

CONTROLS = [
    Control(
        "noise-is-found",
        "planted",
        says="A copy of BTX with noise on its weights is found to be worse",
        test=greater(bits("btx-noised"), bits("btx")),
    ),
    Control(
        "shuffled-tokens-are-hard",
        "shuffled",
        says="With the tokens of each window shuffled, BTX loses a bit per byte or more",
        test=greater(bits("btx", "shuffled"), bits("btx", DOMAINS[0]), margin=1.0),
    ),
    Control(
        "shuffled-domains-tell-nothing",
        "shuffled",
        says="With the documents' domains permuted, routing tells no more of them than the null",
        test=less(
            evaluation["mutual_information_shuffled"].where(arm="btx"),
            evaluation["mutual_information_null"].where(arm="btx"),
        ),
    ),
]

paper = Paper(
    title="Branch-Train-MiX: Mixing Expert LLMs into a Mixture-of-Experts LLM",
    authors="Sukhbaatar et al.",
    year=2024,
    arxiv="2403.07816",
    claims=CLAIMS,
    controls=CONTROLS,
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
    caveats=[
        "Where a claim's source is a section or a figure and not a table, that pointer is from memory.",
        "Learning rate, vocabulary and depth were chosen on seed 0 with the held-out text in view. All arms share "
        "them, and the cpu profile's seeds begin at 1.",
        "A trial of one seed (0) at nearly the cpu profile's sizes was seen before the predictions were written.",
        "The seed model meets the plateau rule (less than 0.01 bits per byte in 500 steps) only as its cosine decays.",
        "BTM weighs experts by their posterior over the first 16 tokens with equal priors, the seed among them; the "
        "paper uses the tf-idf similarity of the context.",
    ],
    findings=["beats-dense-at-equal-data", "workers-apart-beat-one-worker"],
    plots=[
        Plot(
            "Does more training compute buy better text?",
            "frontier",
            x="flops",
            y="bits_per_byte",
            column="mean",
            y_is_better="lower",
            without=["seed", "btx-noised"],
        ),
        Plot(
            "Does more compute per predicted token buy better text?",
            "frontier",
            x="inference_flops",
            y="bits_per_byte",
            column="mean",
            y_is_better="lower",
            without=["btx-noised"],
        ),
    ],
)
