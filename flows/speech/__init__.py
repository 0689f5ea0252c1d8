"""TorchAudio 2.1: speech recognition and alignment without a CUDA build (Hwang et al. 2023, arXiv 2310.17864).

Attempted here so far: media I/O in chunks, CTC decoding and forced alignment, all of them our own, on the prompts of a
telephone exchange in five languages and the dialogues of a game in two more. Not attempted yet: RNN-T, self-supervised
learning, multi-channel enhancement, quality estimation, separation and audio-visual recognition. Not attempted at all:
the paper's data and sizes.
"""

from flows.engine.paper import Paper, Plot, Profiles, Scale
from flows.speech.claims import CLAIMS, CONTROLS
from tasks.judging.results import Table

paper = Paper(
    title="TorchAudio 2.1: Advancing Speech Recognition, Self-Supervised Learning, and Audio Processing Components",
    authors="Hwang et al.",
    year=2023,
    arxiv="2310.17864",
    claims=CLAIMS,
    controls=CONTROLS,
    scales=[
        Scale(
            "speech",
            paper="LibriSpeech, 960 hours of 2,338 people",
            here=Profiles("4 minutes of one person", "two hours of eight people", "two hours of eight people"),
        ),
        Scale(
            "acoustic model",
            paper="HuBERT-Base, 95M; Conformer, 30M; zipformer, 70M",
            here=Profiles("two convolutions and a BiGRU, 0.1M", "the same, 0.9M", "the same, 10M"),
        ),
        Scale("steps", paper="20,000 after pre-training", here=Profiles("240 of 8", "1,000 of 16", "10,000 of 16")),
        Scale("tokens", paper="500 word pieces, or 29 letters", here="letters, 30 to 45"),
        Scale("n-gram model", paper="4-grams of 800M words", here="3-grams of the training prompts"),
        Scale("beam", paper="1,500; 10 in the timings", here=Profiles("20", "50", "50")),
        Scale("models", paper="1", here=Profiles("1", "14: two a language", "28: four a language")),
    ],
    tables=[
        Table(title="Word errors a word", rows="decoder", quantities=("wer", "oracle_wer", "cer")),
        Table(title="Word errors a word, by language", rows="decoder", quantities=("wer",), columns="language"),
        Table(
            title="Share that is unknown to the lexicon, within a text of training, or skipped",
            rows="language",
            quantities=("unknown", "contained", "skipped"),
        ),
        Table(title="Search", rows="searched", quantities=("seconds", "times_faster", "same")),
        Table(title="Errors of time, in seconds", rows="method", quantities=("error", "late", "near", "confidence")),
        Table(title="Errors of time by language, in seconds", rows="method", quantities=("error",), columns="language"),
        Table(title="Largest difference from the whole", rows="what", quantities=("difference",), columns="chunk"),
        Table(
            title="An hour: memory in MB, and errors in seconds",
            rows="what",
            quantities=("megabytes", "loaded_megabytes", "lattice_megabytes", "error"),
        ),
        Table(title="Memory of a longer file", rows="what", quantities=("peak_ratio",)),
    ],
    caveats=[
        "Each model is of one language and one voice (Czech and Dutch: two), and is tested on that voice saying other "
        "texts. Eight people speak; English and Spanish are the same person. Intervals over people have six "
        "clusters, for the two of either game share a model and recordings.",
        "The prompts are read, short, and of one exchange's vocabulary: n-grams of training prompts fit test prompts "
        "better than any model of free speech would; the game's dialogues are freer. Words of test that training lacks "
        "cannot be found with a lexicon.",
        "The truth of alignment is where a prompt's sound rises above 30 dB below its loudest moment, within "
        "recordings that are put together; words inside of a prompt have no truth and are not judged.",
        "Pauses have up to 0.8 s of faint noise, which is easier than a room.",
        "By how much a method is early is learned on development and taken off, for baselines as for the alignment.",
        "Stars in their places know where words are missing; stars everywhere do not, and have the same penalty.",
        "The speeds of T2 in the paper are of C++ and CUDA on 500 word pieces; ours is of arrays in Python on letters, "
        "and on made-up emissions of 500 tokens.",
        "Deleted words are never the first or last ones of a prompt.",
        "The split by pauses hears loudness by the same rule as the truth does, and has edges of 10 ms, where forced "
        "alignment has frames of 40 ms. It puts each pause where it falls in proportion; a search over pauses and "
        "lengths of words together would be stronger.",
        "Ten of 30 to 45 letters is a quarter to a third of them, where the paper tries ten of 500 word pieces: as "
        "few are hardly missed. Frames are skipped in a search with n-grams and a beam of 50, where the paper's has "
        "a beam of 10 and none. A beam of 200 has the weights chosen for 50.",
        "After a review of the design and before the run: word scores from −2 to 4, a beam of ten with weights of "
        "its own, a penalty for either kind of star, errors judged by recording and over six voices rather than "
        "eight, a planted delay of whole frames. A first run stopped at two models whose first prompt is shorter "
        "than half a second; its other models' choices on development lay at the edge of the grids, which are wider "
        "since. No figure of test had been looked at.",
    ],
    findings=["beam-search-is-better-than-greedy", "forced-alignment-is-nearer-than-a-split-by-pauses"],
    plots=[
        Plot(
            "What do a lexicon, n-grams and a wider beam gain?",
            "dots",
            y="wer",
            y_is_better="lower",
        ),
        Plot(
            "How far off are the times of each way to align?",
            "dots",
            y="error",
            y_is_better="lower",
            log=True,
            without=["2 minutes", "60 minutes"],  # an hour's, in another table
        ),
    ],
)
