"""ConcurrentQA's experiment, from the two corpora to what every retriever finds and its reader makes of it."""

from flows.engine.paper import Profiles, Source, Stage, profiles
from models.config import Optimisation
from tasks.concurrentqa.benchmark.build import Benchmark, build
from tasks.concurrentqa.benchmark.labels import Audit, audit
from tasks.concurrentqa.benchmark.questions import Split
from tasks.concurrentqa.benchmark.random_split import RandomSplit, split_randomly
from tasks.concurrentqa.corpora.links import Links, link
from tasks.concurrentqa.corpora.prepare import Corpora, prepare
from tasks.concurrentqa.questions.generate import Generation, generate
from tasks.concurrentqa.retrieval.answering import Answering, Sample, Scoring, read_found, score_answers
from tasks.concurrentqa.retrieval.encoder_training import EncoderTraining, train_encoder
from tasks.concurrentqa.retrieval.evaluation import Comparison, Evaluation, compare, evaluate
from tasks.concurrentqa.retrieval.features import (
    Features,
    Projection,
    QuestionFeatures,
    encode_passages,
    encode_questions,
    fit_projection,
)
from tasks.concurrentqa.retrieval.leakage import AskingFirst, Leakage, ask_first, plant
from tasks.concurrentqa.retrieval.negatives import Mining, mine_negatives
from tasks.concurrentqa.retrieval.reader import Conversion, ReaderTraining, Reading, convert_model, train_reader
from tasks.concurrentqa.retrieval.retrieve import (
    POLICIES,
    FrozenSearch,
    Search,
    SparseSearch,
    TrainedSearch,
    retrieve_encoder,
    retrieve_frozen,
    retrieve_sparse,
    retrieve_trained,
)
from tasks.concurrentqa.retrieval.retriever_training import Data, RetrieverTraining, train_retriever
from tasks.learning.train import Plateau

SEEDS = Profiles(quick=(1,), cpu=range(1, 9), gpu=range(1, 9))
MINILM = Source("minilm")

# 1. The two corpora: articles of an encyclopedia, and the mails of one mailbox.
corpora = Stage(
    prepare,
    inputs={
        "wikipedia": Source("wikipedia-summaries"),
        "mails": Source("ham-mail"),
        "chats": Source("chats"),
        "foldoc": Source("foldoc"),
    },
    config=Profiles(quick=Corpora(mails=200, articles=130), cpu=Corpora(), gpu=Corpora()),
)

# 2. Where a mail names an article, and the questions that two passages answer together.
links = Stage(link, inputs={"corpora": corpora}, config=Links())
candidates = Stage(generate, inputs={"corpora": corpora, "links": links}, config=Generation(seed=0))

# 3. The frozen encoder's features of all passages, in two halves side by side.
projection = Stage(
    fit_projection,
    inputs={"corpora": corpora, "minilm": MINILM},
    config=Profiles(quick=Projection(passages=50), cpu=Projection(), gpu=Projection()),
)
features = Stage(
    encode_passages,
    inputs={"corpora": corpora, "projection": projection, "minilm": MINILM},
    config=Features(shards=2),
    each={"shard": (0, 1)},
)

# 4. The benchmark: filters, splits that share neither bridge, sender nor wording, and a datasheet. Where there is time,
# a language model tells which questions can be answered without any passage (1 of 100); it is the reader later.
model = Stage(convert_model, inputs={"smollm2": Source("smollm2")}, config=Conversion())
benchmark = Stage(
    build,
    inputs={
        "corpora": corpora,
        "candidates": candidates,
        "vectors": features,
        "minilm": MINILM,
        "smollm2": model,
    },
    config=Profiles(
        quick=Benchmark(
            seed=0,
            test=2,
            dev=1,
            train=4,
            most_test=8,
            most_train=24,
            unfiltered=8,
            closed_book=False,
            unasked=False,
            moves=300,
        ),
        cpu=Benchmark(seed=0, closed_book=False),
        gpu=Benchmark(seed=0),
    ),
)
QUESTIONS = {"benchmark": benchmark, "candidates": candidates}
question_features = Stage(
    encode_questions,
    inputs={**QUESTIONS, "projection": projection, "minilm": MINILM},
    config=QuestionFeatures(),
)
ENCODED = {"corpora": corpora, **QUESTIONS, "features": features, "question_features": question_features}

# 5. HotpotQA-PAIR's construction on our public chains: every article private with probability p.
random_splits = Stage(split_randomly, inputs={"benchmark": benchmark}, config=RandomSplit(seed=0))

# 6. Multi-hop dense retrieval (MDR), trained on all chains and on public ones alone.
negatives = Stage(mine_negatives, inputs={"corpora": corpora, **QUESTIONS}, config=Mining())


def retriever(data: Data) -> Stage:
    """The retriever trained on these chains, once for each seed."""
    return Stage(
        train_retriever,
        inputs={**ENCODED, "negatives": negatives},
        config=profiles(
            lambda p: RetrieverTraining(
                seed=0,
                data=data,
                words=256 if p == "quick" else 2048,
                dropout=0.2,
                optimisation=Optimisation(
                    steps=8 if p == "quick" else 150,
                    batch=150,
                    learning_rate=1.5e-3,
                    warmup=4 if p == "quick" else 15,
                ),
                plateau=Plateau(gain=0.001, steps=8 if p == "quick" else 75),
            )
        ),
        each={"seed": SEEDS},
    )


mixed_retriever = retriever("mixed")
public_retriever = retriever("public")


# 7. Retrieval under every policy, the public index being a service that logs what it sees; and without a policy also of
# the sample that no search has filtered, where BM25 and MiniLM can be compared with others.
def searched(profile: str, split: Split = "test") -> Search:
    """A narrower beam in the quick profile."""
    return Search(split=split, beam=2, top=3, fetch=20) if profile == "quick" else Search(split=split)


def by_words(split: Split) -> Stage:
    """What BM25 finds for the questions of a split."""
    return Stage(
        retrieve_sparse,
        inputs={"corpora": corpora, **QUESTIONS},
        config=profiles(lambda p: SparseSearch(search=searched(p, split))),
    )


bm25 = by_words("test")
bm25_unfiltered = by_words("unfiltered")
minilm_unfiltered = Stage(
    retrieve_frozen,
    inputs={**ENCODED, "minilm": MINILM},
    config=profiles(lambda p: FrozenSearch(search=searched(p, "unfiltered"))),
)


def search(trained: Stage, *policies: str, split: Split = "test") -> Stage:
    """What a trained retriever finds under these policies, or under all with the mitigations, once for each seed."""
    return Stage(
        retrieve_trained,
        inputs={**ENCODED, "retriever": trained},
        config=profiles(
            lambda p: TrainedSearch(
                seed=0, search=searched(p, split), policies=policies or POLICIES, mitigations=not policies
            )
        ),
        each={"seed": SEEDS},
    )


mdr_mixed = search(mixed_retriever)
mdr_public = search(public_retriever, "none")
mdr_mixed_unfiltered = search(mixed_retriever, "none", split="unfiltered")

# 8. How much of it is right, and what the public index saw.
scored = Stage(
    evaluate,
    inputs={
        **QUESTIONS,
        "retrieved": {"bm25": bm25, "mdr-mixed": mdr_mixed, "mdr-public": mdr_public},
    },
    config=Evaluation(seed=0),
    each={"seed": SEEDS},
)
scored_unfiltered = Stage(
    compare,
    inputs={
        **QUESTIONS,
        "retrieved": {"bm25": bm25_unfiltered, "minilm": minilm_unfiltered, "mdr-mixed": mdr_mixed_unfiltered},
    },
    config=Comparison(seed=0),
    each={"seed": SEEDS},
)

# 9. The same with the encoder trained whole, as in the paper: where there is a GPU.
GPU_SEEDS = Profiles(quick=(), cpu=(), gpu=range(1, 9))
whole_retriever = Stage(
    train_encoder,
    inputs={"corpora": corpora, **QUESTIONS, "negatives": negatives, "minilm": MINILM},
    config=EncoderTraining(
        seed=0,
        data="mixed",
        optimisation=Optimisation(steps=600, batch=150, learning_rate=5e-5, warmup=60),
        plateau=Plateau(gain=0.001, steps=100),
    ),
    each={"seed": GPU_SEEDS},
)
mdr_whole = Stage(
    retrieve_encoder,
    inputs={"corpora": corpora, **QUESTIONS, "encoder": whole_retriever},
    config=TrainedSearch(seed=0, search=searched("gpu")),
    each={"seed": GPU_SEEDS},
)
scored_whole = Stage(
    compare,
    inputs={**QUESTIONS, "retrieved": {"mdr-whole": mdr_whole}},
    config=Comparison(seed=0, split="test"),
    each={"seed": GPU_SEEDS},
)


# 10. The reader: one language model that learned to read on the training questions, and what it makes of the best chain
# of each search, on a sample of the questions. It computes in bfloat16, which is fast on some processors alone.
def reading(profile: str) -> Reading:
    """A few words in the quick profile."""
    return Reading(words=20, answer_tokens=3) if profile == "quick" else Reading()


reader = Stage(
    train_reader,
    inputs={"corpora": corpora, **QUESTIONS, "model": model},
    config=profiles(
        lambda p: ReaderTraining(
            seed=1,
            each=2 if p == "quick" else 150,
            reading=reading(p),
            optimisation=Optimisation(
                steps={"quick": 1, "cpu": 60, "gpu": 400}[p],
                batch=2 if p == "quick" else 8,
                learning_rate=1e-3,
                warmup=0 if p == "quick" else 6,
                weight_decay=0.0,
            ),
        )
    ),
    native=True,
)


def sample(profile: str) -> Sample:
    """How many questions are read."""
    return Sample(questions={"quick": 1, "cpu": 40, "gpu": 425}[profile])


read = Stage(
    read_found,
    inputs={"corpora": corpora, **QUESTIONS, "model": model, "reader": reader, "searches": mdr_mixed},
    config=profiles(lambda p: Answering(shards=1 if p == "quick" else 2, sample=sample(p), reading=reading(p))),
    each={"shard": Profiles((0,), (0, 1), (0, 1))},
    native=True,
)
answers = Stage(
    score_answers,
    inputs={**QUESTIONS, "reader": reader, "answers": read, "searches": mdr_mixed},
    config=profiles(lambda p: Scoring(sample=sample(p))),
)

# 11. What was found by reading questions and links.
labels = Stage(
    audit,
    inputs={"corpora": corpora, "benchmark": benchmark, "labels": Source("concurrentqa-labels")},
    config=Audit(),
)

# 12. Strings and vectors planted in the private corpus, looked for at the public index; and what a search sends that
# asks first and masks afterwards.
planted = Stage(
    plant,
    inputs={**ENCODED, "retriever": mixed_retriever},
    config=Profiles(quick=Leakage(questions=8, beam=3), cpu=Leakage(), gpu=Leakage()),
    each={"seed": (1,)},
)
asked_first = Stage(
    ask_first,
    inputs={**ENCODED, "retriever": mixed_retriever},
    config=Profiles(quick=AskingFirst(seed=0, questions=8, beam=3), cpu=AskingFirst(seed=0), gpu=AskingFirst(seed=0)),
    each={"seed": SEEDS},
)
