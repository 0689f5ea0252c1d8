"""The paper's speech recognition and alignment: from prompts to recognisers, texts, times and the sound itself."""

from typing import Any

from flows.engine.paper import Handle, Profiles, Source, Stage, profiles
from models.config import Optimisation
from models.speech.settings import Search
from tasks.speech.aligning import Aligning, align_recordings
from tasks.speech.decoding import Decoding, decode
from tasks.speech.prompts import Prompts, gather_prompts
from tasks.speech.recognition import Choice
from tasks.speech.spectra import Spectra, make_spectra
from tasks.speech.streaming import Streaming, measure_streams
from tasks.speech.timing import Timing, time_search
from tasks.speech.training import Training, train_model

LANGUAGES: Profiles[tuple[str, ...]] = Profiles(
    quick=("en",), cpu=("en", "es", "fr", "it", "ru"), gpu=("en", "es", "fr", "it", "ru")
)
CONTROLLED = 5
"""The seed of the controls, whose model is of the first language at every profile."""
SEEDS: Profiles[Any] = Profiles(quick=(CONTROLLED,), cpu=range(1, 11), gpu=range(1, 21))
"""Each seed has a language: with ten of them each language has two."""


def sources(name: str) -> Profiles[Handle]:
    """A source for each language."""
    return profiles(lambda p: {language: Source(name.format(language)) for language in LANGUAGES.at(p)})


# 1. Sound as it comes (G.722), and its spectra.
prompts = Stage(
    gather_prompts,
    inputs={"sounds": sources("prompts-{}"), "texts": sources("prompts-{}-texts")},
    config=profiles(
        lambda p: Prompts(languages=LANGUAGES.at(p), minutes=6.0, longest=4.0) if p == "quick" else Prompts()
    ),
)
spectra = Stage(make_spectra, inputs={"prompts": prompts}, config=Spectra())
PROMPTS: dict[str, Handle] = {"prompts": prompts, "spectra": spectra}

# 2. Sound in chunks against the whole, and the memory of an hour's alignment.
streams = Stage(
    measure_streams,
    inputs={"prompts": prompts},
    config=Profiles(quick=Streaming(seconds=10.0, minutes=3.0), cpu=Streaming(), gpu=Streaming()),
)


# 3. Acoustic models, each of one language; one of them learns from transcripts of other prompts.
def training(profile: str, **settings: Any) -> Training:
    """The same optimisation for every language."""
    steps = {"quick": 60, "cpu": 1500, "gpu": 10_000}[profile]
    return Training(
        languages=LANGUAGES.at(profile),
        width={"quick": 96, "cpu": 144, "gpu": 512}[profile],
        optimisation=Optimisation(
            steps=steps,
            batch=16,
            learning_rate={"quick": 5e-3, "cpu": 3e-3, "gpu": 1e-3}[profile],
            warmup=steps // 10,
            floor=0.02,
            weight_decay=0.01,
        ),
        **settings,
    )


models = Stage(train_model, inputs=PROMPTS, config=profiles(training), each={"seed": SEEDS})
misled = Stage(
    train_model,
    inputs=PROMPTS,
    config=profiles(lambda p: training(p, transcripts="shuffled")),
    each={"seed": (CONTROLLED,)},
)


# 4. Texts by greedy decoding and by beam search, and how long the searches take.
def decoding(profile: str) -> Decoding:
    """At quick a smaller grid."""
    choice = Choice(weights=(0.6,), word_scores=(0.0, 1.0)) if profile == "quick" else Choice()
    return Decoding(
        languages=LANGUAGES.at(profile), search=Search(beam=20 if profile == "quick" else 50), choice=choice
    )


decoded = Stage(decode, inputs={**PROMPTS, "model": models}, config=profiles(decoding), each={"seed": SEEDS})
misheard = Stage(decode, inputs={**PROMPTS, "model": misled}, config=profiles(decoding), each={"seed": (CONTROLLED,)})
timed = Stage(
    time_search,
    inputs={**PROMPTS, "model": models, "decoded": decoded},
    config=profiles(
        lambda p: Timing(decoding=decoding(p), repeats=1 if p == "quick" else 3, utterances=2 if p == "quick" else 8)
    ),
    each={"seed": SEEDS},
    kind="measure",
)

# 5. Known texts in recordings whose truth is known.
aligned = Stage(
    align_recordings,
    inputs={"prompts": prompts, "model": models},
    config=profiles(lambda p: Aligning(languages=LANGUAGES.at(p))),
    each={"seed": SEEDS},
)
