"""RA-DIT's experiment, from the encyclopedia to the answers of a model and a retriever that were tuned apart."""

from typing import Any

from flows.engine.paper import Handle, Profiles, Source, Stage, profiles
from models.config import Optimisation
from tasks.radit.answering import Answering, answer_tuned, answer_untuned
from tasks.radit.building import Tasks, build_tasks
from tasks.radit.elsewhere import Elsewhere, search_elsewhere
from tasks.radit.language_models import Conversion, convert_model
from tasks.radit.lm_tuning import ARMS, ModelTuning, tune_model
from tasks.radit.passages import Corpus, Embedding, embed_passages, prepare_corpus
from tasks.radit.retrieval import Retrieval, retrieve
from tasks.radit.retriever_tuning import RetrieverTuning, tune_retriever
from tasks.radit.scoring import Scoring, score

RETRIEVER_SEEDS: Profiles[Any] = Profiles(quick=(1,), cpu=range(1, 9), gpu=range(1, 9))
MODEL_SEEDS: Profiles[Any] = Profiles(quick=(1,), cpu=range(1, 9), gpu=range(1, 9))
ONE_SEED: Profiles[Any] = Profiles(quick=(1,), cpu=(1,), gpu=range(1, 9))
"""Of the arm that encodes all passages anew: five minutes of a core each."""
MODEL_ARMS = Profiles(
    quick=("IT", "RA-IT", "IT with own passages"),
    cpu=("IT", "RA-IT", "IT with own passages"),
    gpu=tuple(ARMS),
)
BOUND_SEEDS: Profiles[Any] = Profiles(quick=(), cpu=range(1, 4), gpu=range(1, 9))
MINILM = Source("minilm")
WORDS = Profiles(quick=20, cpu=40, gpu=60)
"""What is seen of a passage after its title."""

# 1. The corpus, and tasks over it whose entities, relations, wordings and one whole task training never sees.
corpus = Stage(
    prepare_corpus,
    inputs={"wikipedia": Source("wikipedia-summaries")},
    config=Profiles(quick=Corpus(articles=500), cpu=Corpus(), gpu=Corpus()),
)
tasks = Stage(
    build_tasks,
    inputs={"corpus": corpus, "outside": Source("fanoutqa")},
    config=Profiles(
        quick=Tasks(train=6, validation=2, test=4, outside=1, planted=2, texts=0, words=20, shot_words=12, absent=0.3),
        cpu=Tasks(words=40),
        gpu=Tasks(train=1500, validation=200, test=600, outside=80, texts=6000, most=400),
    ),
)
CORPUS: dict[str, Handle] = {"corpus": corpus, "tasks": tasks}

# 2. The passages' vectors, which stay as they are, and what the untuned retriever finds.
vectors = Stage(
    embed_passages,
    inputs={"corpus": corpus, "minilm": MINILM},
    config=profiles(lambda p: Embedding(shards=1 if p == "quick" else 2, words=WORDS.at(p))),
    each={"shard": Profiles((0,), (0, 1), (0, 1))},
)
retrieved = Stage(
    retrieve,
    inputs={**CORPUS, "vectors": vectors, "minilm": MINILM},
    config=profiles(lambda p: Retrieval(words=WORDS.at(p))),
)

# 3. The untuned language model says which passages make its answers likely: once, for every retriever. It computes in
# bfloat16, for which processors have instructions beyond those that all have: without them it is ten times as slow.
model = Stage(convert_model, inputs={"smollm2": Source("smollm2")}, config=Conversion())
likelihoods = Stage(
    score,
    inputs={**CORPUS, "retrieved": retrieved, "model": model},
    config=profiles(
        lambda p: Scoring(
            shards=1 if p == "quick" else 2,
            k={"quick": 2, "cpu": 6, "gpu": 10}[p],
            shots=1 if p == "quick" else 5,
            words=WORDS.at(p),
        )
    ),
    each={"shard": Profiles((0,), (0, 1), (0, 1))},
    native=True,
)

# 4. The retriever's step: the query encoder learns from the language model.
LEARNED = {**CORPUS, "vectors": vectors, "retrieved": retrieved, "minilm": MINILM, "likelihoods": likelihoods}


def retriever(seeds: Profiles[Any] = RETRIEVER_SEEDS, **settings: Any) -> Stage:
    """The query encoder tuned in one way, once for each seed."""
    return Stage(
        tune_retriever,
        inputs=LEARNED,
        config=profiles(
            lambda p: RetrieverTuning(
                epochs=1 if p == "quick" else 6, retrieval=Retrieval(words=WORDS.at(p)), **settings
            )
        ),
        each={"seed": seeds},
    )


tuned = retriever()
shuffled = retriever(arm="shuffled", teacher="shuffled")
blunt = retriever(arm="temperature 0.1", temperature=0.1)
reversed_loss = retriever(arm="reversed divergence", direction="model to retriever")
supervised = retriever(BOUND_SEEDS, arm="gold passages", teacher="gold passages")
with_texts = retriever(arm="with pieces of text", texts=True)
both = retriever(ONE_SEED, arm="both encoders", both=True)

# … and what it finds in a corpus that it was not tuned on.
elsewhere = Stage(
    search_elsewhere,
    inputs={"foldoc": Source("foldoc"), "minilm": MINILM, "retrievers": tuned},
    config=Profiles(
        quick=Elsewhere(entries=40, questions=8, retrieval=Retrieval(words=20)),
        cpu=Elsewhere(retrieval=Retrieval(words=40)),
        gpu=Elsewhere(),
    ),
)

# 5. The language model's step: with retrieved passages (RA-IT), and for as many steps with none (IT) or with the
# passage that each example was made from.
instructed = Stage(
    tune_model,
    inputs={**CORPUS, "retrieved": retrieved, "model": model},
    config=profiles(
        lambda p: ModelTuning(
            words=WORDS.at(p),
            optimisation=Optimisation(
                steps={"quick": 2, "cpu": 40, "gpu": 500}[p],
                batch={"quick": 2, "cpu": 8, "gpu": 64}[p],
                learning_rate=1e-3,
                warmup={"quick": 0, "cpu": 5, "gpu": 10}[p],
                weight_decay=0.0,
            ),
        )
    ),
    each={"arm": MODEL_ARMS, "seed": MODEL_SEEDS},
    native=True,
)


# 6. Answers: of the untuned model with every retriever, and of each tuned one with both.
def answering(profile: str) -> Answering:
    """What the untuned model's answers are compared with depends on the seeds that there are."""
    few: dict[str, dict[str, Any]] = {
        "quick": {"k": 1, "longest": 3, "test": 8, "outside": 2, "ensembles": (1, 3, 10)},
        "cpu": {"turns": 6},
        "gpu": {"test": 600, "outside": 80},
    }
    return Answering(
        words=WORDS.at(profile),
        model_seeds=tuple(MODEL_SEEDS.at(profile)),
        retriever_seeds=tuple(RETRIEVER_SEEDS.at(profile)),
        **few[profile],
    )


ANSWERED = {**CORPUS, "retrieved": retrieved, "model": model}
untuned = Stage(
    answer_untuned,
    inputs={**ANSWERED, "retrievers": tuned, "likelihoods": likelihoods},
    config=profiles(answering),
    native=True,
)
answered = Stage(
    answer_tuned,
    inputs={**ANSWERED, "retriever": tuned, "adapter": instructed, "untuned": untuned},
    config=profiles(answering),
    each={"arm": MODEL_ARMS, "seed": MODEL_SEEDS},
    native=True,
)
