"""RA-DIT: retrieval-augmented dual instruction tuning (Lin et al. 2024, arXiv 2310.01352; ICLR 2024).

Attempted here: both steps as the paper defines them, on a real small language model and a real sentence encoder, over
an encyclopedia; the paper's own 2 × 2 ablation with intervals, its baselines (closed book, retrieval without tuning,
instruction tuning without passages for as many steps), ensembles against concatenation, and what each step moves, bit
by bit. Not attempted: its models (LLaMA 65B, DRAGON+), its 399 million passages, its twenty training sets, KILT.
"""

from flows.engine.paper import Paper, Plot, Profiles, Scale
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
        Scale(
            "language model",
            paper="LLaMA, 7B to 65B",
            here="SmolLM2-135M-Instruct from 4-bit weights, without its chat template",
        ),
        Scale("retriever", paper="DRAGON+, both encoders 110M", here="MiniLM, 23M; two query layers tuned"),
        Scale("passages", paper="399 million", here=Profiles("500", "10,033", "10,033")),
        Scale("words of a passage", paper="at most 200", here=Profiles("20", "40", "60")),
        Scale("passages in an ensemble", paper="10", here=Profiles("2", "3", "3")),
        Scale("passages that are scored for the retriever", paper="10", here=Profiles("2", "6", "10")),
        Scale("training examples", paper="at most 7,500 of each of 20 sets", here=Profiles("6", "300", "1,500")),
        Scale(
            "steps of the language model",
            paper="500 of 64 to 128, all weights",
            here=Profiles("2 of 2, LoRA", "40 of 8, LoRA", "500 of 64, LoRA"),
        ),
        Scale("share of text in the retriever's training", paper="95 %", here="0; pieces of text in one ablation"),
        Scale(
            "test questions",
            paper="ten data sets",
            here=Profiles(
                "5",
                "found for 400 and 49 of others; answered 120 and 30 of others, by each seed a sixth",
                "600 and 80 of others",
            ),
        ),
        Scale(
            "seeds",
            paper="1",
            here=Profiles("1", "8 of either; 1 of both encoders tuned", "8 of either"),
        ),
    ],
    tables=[
        Table(title="Exact match", rows="answered with", quantities=("em",), columns="lm"),
        Table(title="F1", rows="answered with", quantities=("f1",), columns="lm"),
        Table(
            title="Exact match by task, wording and relation, five shots",
            rows="arms by part",
            quantities=("em",),
            columns="part",
        ),
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
        Table(
            title="Right passages first, by task, wording and relation",
            rows="found first by",
            quantities=("recall",),
            columns="part",
        ),
        Table(title="Mean reciprocal rank", rows="found by", quantities=("reciprocal_rank",)),
        Table(title="What the retriever's step moved", rows="retriever", quantities=("moved", "divergence")),
    ],
    caveats=[
        "The abstract's 8.9 % and 1.4 % are relative: 49.1 / 45.1 and 51.8 / 51.1. Points are 4.0 and 0.7.",
        "p_LM is that of a token of the answer, the geometric mean: the probability of a whole text is zero after any "
        "passage.",
        "Scores are 20 times cosines, the scale that MiniLM was made with; DRAGON+ has inner products of its own size.",
        "“Untuned” is a model that was instructed by its makers (SmolLM2-135M-Instruct); it is asked without its chat "
        "template, in the paper's plain form.",
        "Each seed of the language model is asked a sixth of the questions, another seed others; two sixths are "
        "asked of two.",
        "The tasks are composed by rules from facts that rules read; some are misread. 60 % of the open questions name "
        "another entity first, for MiniLM finds nearly all plainly worded ones; training shows such openings, in other "
        "words, and R3 and R4 rest on them: plain questions, others' and a dictionary are told apart.",
        "Titles are split, facts are not: one that is told from both its ends may stand on either side.",
        "A passage counts as right where subject and answer both stand in it, whether or not it says that they belong "
        "together.",
        "Settings were chosen in a pilot on its test questions, of the same articles as these; τ = .01 is the paper's "
        "own. Validation examples are only reported. At cpu eight seeds leave time for 40 steps and 40 words of a "
        "passage; the pilot had 90 and 60.",
        "Answers read three passages, the paper's ten; there is one set of five worked examples, one draw of the tasks "
        "and one teacher.",
        "One passage in place of three for each example of training (k̃) is an arm at gpu alone: eight seeds more would "
        "take eleven minutes of two cores.",
        "Both encoders tuned are one training: each encodes ten thousand passages anew.",
        "Arms of the language model have the same steps and not the same tokens: IT's prompts are short.",
        "R6 in log probability is favoured by the logarithm, which is concave: a mean of probabilities has a higher "
        "one than its parts on average.",
        "The harm of random passages beside none contains the change of the worked examples, which have passages then, "
        "and one more open question closed book in place of one that is answered “unknown”.",
        "Adapters are merged into bfloat16 weights, which rounds them.",
        "The gain without examples (R7) is foregone: the untuned model hardly answers in the form that is judged.",
        "SmolLM2 and MiniLM have surely read the encyclopedia; only the made-up articles are known to nobody.",
        "The language model computes in bfloat16: of answers nearly as likely as others, rounding may choose.",
        "At cpu 20 test questions a seed of the language model cannot tell the paper's 0.1 to 4 points: most claims on "
        "exact match were likely to stay open. Nearly every question is asked of one seed; there the crossed interval "
        "counts the questions' variance twice, and is 12 to 20 % wider than it must be (simulated after the run).",
        "R3's first half alone is clear: the tuned retriever finds .144 more right passages first. All of it is in "
        "questions that open with another entity (.54 to .86; plain ones .954 and .951), and of the questions that are "
        "answered 96 % have a right passage among the first three before any tuning: exact match has no room.",
        "More passages dilute: the first three have 87 % of the weight, the others hold the right one for 2 of 120 "
        "questions, and probabilities are mixed token by token; mixing whole answers was not tried.",
        "A temperature of .1 finds fewer right passages first than no tuning (.62 against .76), so that little of its "
        "distance to .01 is gain; neither it nor the reversed divergence had a learning rate of its own.",
        "Both encoders tuned are behind on test questions alone: on validation (.87 against .86) and others' questions "
        "(.78 against .75) they are not.",
        "Five worked examples harm the tuned models (RA-IT .46 without, .32 with them), and R2, R4 and R5 are judged "
        "after five, as the paper's Table 6 is.",
        "IT with the passages that its examples were made from is the strongest arm, with and without worked examples; "
        "against IT without passages RA-IT is ahead by .11 without examples.",
        "Retrieval helps is near certain here: an answer stands in a passage by construction for 111 of 120 questions. "
        "Reasoning (no arm answers any) and unanswerable questions, 18 of 120, tell arms hardly apart.",
    ],
    findings=["divergence-as-printed-teaches-more", "retrieval-helps"],
    plots=[
        Plot(
            "Does tuning either half help?",
            "dots",
            y="em",
            y_is_better="higher",
            only=[
                "ensemble, minilm, 5 shots, test",
                "ensemble, tuned, 5 shots, test",
                "ensemble, minilm, 0 shots, test",
                "ensemble, tuned, 0 shots, test",
            ],
        ),
        Plot(
            "Which way of teaching the retriever finds most right passages first?",
            "dots",
            y="recall",
            column="1",
            y_is_better="higher",
            only=[
                "minilm, test",
                "bm25, test",
                "tuned, test",
                "with pieces of text, test",
                "gold passages, test",
                "both encoders, test",
                "reversed divergence, test",
                "temperature 0.1, test",
                "shuffled, test",
            ],
        ),
        Plot(
            "How many passages make the right answer likelier?",
            "curves",
            x="passages",
            y="answer_log_probability",
            y_is_better="higher",
        ),
    ],
)
