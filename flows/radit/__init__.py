"""RA-DIT: retrieval-augmented dual instruction tuning (Lin et al. 2024, arXiv 2310.01352; ICLR 2024).

Attempted here: both steps as the paper defines them, on a real small language model and a real sentence encoder, over
an encyclopedia; the paper's own 2 × 2 ablation with intervals, its baselines (closed book, retrieval without tuning,
instruction tuning without passages for as many steps), ensembles against concatenation, and what each step moves, bit
by bit. Not attempted: its models (LLaMA 65B, DRAGON+), its 399 million passages, its twenty training sets, KILT.
"""

from flows.engine.paper import Paper, Profiles, Scale
from flows.radit.claims import CLAIMS, CONTROLS
from tasks.judging.results import Table

paper = Paper(
    title="RA-DIT: Retrieval-Augmented Dual Instruction Tuning",
    authors="Lin et al.",
    year=2024,
    arxiv="2310.01352",
    claims=CLAIMS,
    controls=CONTROLS,
    scales=[
        Scale("language model", paper="LLaMA, 7B to 65B", here="SmolLM2, 135M, from 4-bit weights"),
        Scale("retriever", paper="DRAGON+, both encoders 110M", here="MiniLM, 23M; two query layers tuned"),
        Scale("passages", paper="399 million", here=Profiles("500", "10,033", "10,033")),
        Scale("passages in an ensemble", paper="10", here=Profiles("2", "3", "3")),
        Scale("passages that are scored for the retriever", paper="10", here=Profiles("2", "6", "10")),
        Scale("training examples", paper="at most 7,500 of each of 20 sets", here=Profiles("6", "300", "1,500")),
        Scale(
            "steps of the language model",
            paper="500 of 64 to 128, all weights",
            here=Profiles("2 of 2, LoRA", "90 of 8, LoRA", "500 of 64, LoRA"),
        ),
        Scale("share of text in the retriever's training", paper="95 %", here="0; pieces of text in one ablation"),
        Scale(
            "test questions", paper="ten data sets", here=Profiles("4", "120 and 30 of others", "600 and 80 of others")
        ),
        Scale(
            "seeds",
            paper="1",
            here=Profiles("1", "8 of the retriever, 4 of the language model", "8 of either"),
        ),
    ],
    tables=[
        Table(title="Exact match", rows="answered with", quantities=("em",), columns="lm"),
        Table(title="F1", rows="answered with", quantities=("f1",), columns="lm"),
        Table(title="Exact match by task, five shots", rows="arms by task", quantities=("em",), columns="task"),
        Table(
            title="Share that repeats what a false passage says",
            rows="answered with",
            quantities=("trusts_passage",),
            columns="lm",
        ),
        Table(title="Differences in exact match", rows="robustness", quantities=("em_difference",), columns="lm"),
        Table(
            title="Log probability of the right answer, by passages",
            rows="curve",
            quantities=("answer_log_probability",),
            columns="passages",
        ),
        Table(title="Right passages among the first k", rows="found by", quantities=("recall",), columns="first"),
        Table(title="Mean reciprocal rank", rows="found by", quantities=("reciprocal_rank",)),
        Table(title="What the retriever's step moved", rows="retriever", quantities=("moved", "divergence")),
    ],
    caveats=[
        "The abstract's 8.9 % and 1.4 % are relative: 49.1 / 45.1 and 51.8 / 51.1. Points are 4.0 and 0.7.",
        "p_LM is that of a token of the answer, the geometric mean: the probability of a whole text is zero after any "
        "passage.",
        "Scores are 20 times cosines, the scale that MiniLM was made with; DRAGON+ has inner products of its own size.",
        "Claims on the language model speak of new questions with these four seeds; claims on the retriever alone of "
        "new seeds as well.",
        "The tasks are composed by rules from facts that rules read; 60 % of the open questions name another entity "
        "first, for MiniLM finds nearly all plainly worded ones and there would be nothing to gain.",
        "Settings are a pilot's, chosen there on other questions of the same articles; validation examples are only "
        "reported.",
        "SmolLM2 and MiniLM have surely read the encyclopedia; only the made-up articles are known to nobody.",
        "The language model computes in bfloat16: of answers nearly as likely as others, rounding may choose.",
    ],
    findings=["both-steps-are-better-than-either", "retriever-step-gains-more"],
)
