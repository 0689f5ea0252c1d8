"""ConcurrentQA's experiment, from the two corpora to what every retriever finds and its reader makes of it."""

from flows.engine.paper import Profiles, Source, Stage, profiles
from models.config import Optimisation
from tasks.concurrentqa.benchmark.build import Benchmark, build
from tasks.concurrentqa.benchmark.labels import Audit, audit
from tasks.concurrentqa.benchmark.random_split import RandomSplit, split_randomly
from tasks.concurrentqa.corpora.links import Links, link
from tasks.concurrentqa.corpora.prepare import Corpora, prepare
from tasks.concurrentqa.questions.generate import Generation, generate
from tasks.concurrentqa.retrieval.encoder_training import EncoderTraining, train_encoder
from tasks.concurrentqa.retrieval.evaluation import Evaluation, evaluate
from tasks.concurrentqa.retrieval.features import (
    Features,
    Projection,
    QuestionFeatures,
    encode_passages,
    encode_questions,
    fit_projection,
)
from tasks.concurrentqa.retrieval.generative import Generative, read_generatively
from tasks.concurrentqa.retrieval.leakage import Leakage, plant
from tasks.concurrentqa.retrieval.negatives import Mining, mine_negatives
from tasks.concurrentqa.retrieval.reader_training import ReaderTraining, train_reader
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
MINILM, SMOLLM2 = Source("minilm"), Source("smollm2")

# 1. The two corpora: articles of an encyclopedia, and the mails of one mailbox.
corpora = Stage(
    prepare,
    inputs={
        "wikipedia": Source("wikipedia-summaries"),
        "mails": Source("ham-mail"),
        "chats": Source("chats"),
        "foldoc": Source("foldoc"),
    },
    config=Profiles(quick=Corpora(mails=200, articles=400), cpu=Corpora(), gpu=Corpora()),
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

# 4. The benchmark: filters, splits that share neither bridge, sender nor wording, and a datasheet.
benchmark = Stage(
    build,
    inputs={
        "corpora": corpora,
        "candidates": candidates,
        "vectors": features,
        "minilm": MINILM,
        "smollm2": SMOLLM2,
    },
    config=Profiles(
        quick=Benchmark(seed=0, test=8, dev=4, train=16, most_test=8, most_train=24, closed_book=False),
        cpu=Benchmark(seed=0),
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

# 6. Multi-hop dense retrieval (MDR): trained on all chains, on public ones alone, and without hard negatives.
negatives = Stage(mine_negatives, inputs={"corpora": corpora, **QUESTIONS}, config=Mining())


def retriever(data: Data, hard_negatives: int = 2) -> Stage:
    """The retriever trained on these chains, once for each seed."""
    return Stage(
        train_retriever,
        inputs={**ENCODED, "negatives": negatives},
        config=profiles(
            lambda p: RetrieverTraining(
                seed=0,
                data=data,
                hard_negatives=hard_negatives,
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
easy_retriever = retriever("mixed", hard_negatives=0)

# 7. The reader, trained on public chains alone, as in the paper.
reader = Stage(
    train_reader,
    inputs={**ENCODED, "negatives": negatives},
    config=profiles(
        lambda p: ReaderTraining(
            seed=0,
            optimisation=Optimisation(steps=12 if p == "quick" else 800, batch=32, learning_rate=3e-3, warmup=10),
            plateau=Plateau(gain=0.001, steps=12 if p == "quick" else 200),
        )
    ),
    each={"seed": SEEDS},
)


# 8. Retrieval under every policy, the public index being a service that logs what it sees.
def searched(profile: str) -> Search:
    """A narrower beam in the quick profile."""
    return Search(beam=2, top=3, fetch=20) if profile == "quick" else Search()


bm25 = Stage(
    retrieve_sparse,
    inputs={"corpora": corpora, **QUESTIONS},
    config=profiles(lambda p: SparseSearch(search=searched(p))),
)
minilm = Stage(
    retrieve_frozen,
    inputs={**ENCODED, "minilm": MINILM},
    config=profiles(lambda p: FrozenSearch(search=searched(p))),
)


def search(trained: Stage, *policies: str) -> Stage:
    """What a trained retriever finds under these policies, or under all with the mitigations, once for each seed."""
    return Stage(
        retrieve_trained,
        inputs={**ENCODED, "retriever": trained},
        config=profiles(
            lambda p: TrainedSearch(seed=0, search=searched(p), policies=policies or POLICIES, mitigations=not policies)
        ),
        each={"seed": SEEDS},
    )


mdr_mixed = search(mixed_retriever)
mdr_public = search(public_retriever, "none")
mdr_easy = search(easy_retriever, "none")

# 9. What the reader makes of it.
evaluation = Stage(
    evaluate,
    inputs={
        **ENCODED,
        "reader": reader,
        "retrieved": {
            "bm25": bm25,
            "minilm": minilm,
            "mdr-mixed": mdr_mixed,
            "mdr-public": mdr_public,
            "mdr-easy": mdr_easy,
        },
    },
    config=Profiles(quick=Evaluation(seed=0, read=1), cpu=Evaluation(seed=0), gpu=Evaluation(seed=0, read=10)),
    each={"seed": SEEDS},
)

# 10. The same with the encoder trained whole, as in the paper: where there is a GPU.
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
whole_evaluation = Stage(
    evaluate,
    inputs={**ENCODED, "reader": reader, "retrieved": {"mdr-whole": mdr_whole}},
    config=Evaluation(
        seed=0, arm="", answered=tuple(("mdr-whole", policy) for policy in ("none", "document", "query"))
    ),
    each={"seed": GPU_SEEDS},
)

# 11. A language model as the reader, on a sample of the questions, with what one seed's retriever found.
generated = Stage(
    read_generatively,
    inputs={"corpora": corpora, **QUESTIONS, "retrieved": mdr_mixed, "smollm2": SMOLLM2},
    config=Profiles(
        quick=Generative(seed=0, questions=4, answer_tokens=4),
        cpu=Generative(seed=0),
        gpu=Generative(seed=0, questions=1700),
    ),
    each={"seed": (1,)},
)

# 12. What was found by reading questions and links.
labels = Stage(
    audit,
    inputs={"corpora": corpora, "benchmark": benchmark, "labels": Source("concurrentqa-labels")},
    config=Audit(),
)

# 13. Strings and vectors planted in the private corpus, looked for at the public index.
planted = Stage(
    plant,
    inputs={**ENCODED, "retriever": mixed_retriever},
    config=Profiles(quick=Leakage(questions=4, beam=3), cpu=Leakage(), gpu=Leakage()),
    each={"seed": (1,)},
)
