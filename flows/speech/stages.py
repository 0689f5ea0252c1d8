"""The paper's speech recognition and alignment: from prompts to recognisers, texts, times and the sound itself."""

from typing import Any

from flows.engine.paper import Handle, Profiles, Source, Stage, profiles
from models.config import Optimisation
from models.speech.settings import Search
from tasks.speech.aligning import Aligning, align_recordings
from tasks.speech.decoding import Decoding, decode
from tasks.speech.hour import Hour, align_hour
from tasks.speech.misheard import decode_misled
from tasks.speech.prompts import LANGUAGES as ALL
from tasks.speech.prompts import Prompts, gather_prompts
from tasks.speech.recognition import Choice
from tasks.speech.spectra import Spectra, make_spectra
from tasks.speech.streaming import Streaming, measure_streams
from tasks.speech.timing import Timing, time_search
from tasks.speech.training import Training, train_model

LANGUAGES: Profiles[tuple[str, ...]] = Profiles(quick=("en",), cpu=ALL, gpu=ALL)
CONTROLLED = 7
"""The seed of the controls, whose model is of the first language at every profile."""
SEEDS: Profiles[Any] = Profiles(quick=(CONTROLLED,), cpu=range(1, 15), gpu=range(1, 29))
"""Each seed has a language: with fourteen of them each language has two."""
TIMED: Profiles[Any] = Profiles(quick=(CONTROLLED,), cpu=range(1, 15), gpu=range(1, 15))
"""Searches are timed twice a language."""


def sources(name: str) -> Profiles[Handle]:
    """A source for each language."""
    return profiles(lambda p: {language: Source(name.format(language)) for language in LANGUAGES.at(p)})


# 1. Sound as it comes (G.722), and its spectra.
prompts = Stage(
    gather_prompts,
    inputs={"sounds": sources("prompts-{}"), "texts": sources("prompts-{}-texts")},
    config=profiles(
        lambda p: Prompts(languages=LANGUAGES.at(p), minutes=6.0, longest=2.0) if p == "quick" else Prompts()
    ),
)
spectra = Stage(make_spectra, inputs={"prompts": prompts}, config=Spectra())
PROMPTS: dict[str, Handle] = {"prompts": prompts, "spectra": spectra}

# 2. Sound in chunks against the whole.
streams = Stage(
    measure_streams,
    inputs={"prompts": prompts},
    config=Profiles(quick=Streaming(seconds=10.0), cpu=Streaming(), gpu=Streaming()),
)


# 3. Acoustic models, each of one language; one of them learns from transcripts of other prompts.
def training(profile: str, **settings: Any) -> Training:
    """The same optimisation for every language; at quick, short prompts and many steps of few, or nothing is learned
    that shuffled transcripts could break."""
    steps = {"quick": 240, "cpu": 1000, "gpu": 10_000}[profile]
    return Training(
        languages=LANGUAGES.at(profile),
        layers=1 if profile == "quick" else 2,
        width={"quick": 64, "cpu": 144, "gpu": 512}[profile],
        optimisation=Optimisation(
            steps=steps,
            batch=8 if profile == "quick" else 16,
            learning_rate={"quick": 1.5e-2, "cpu": 3e-3, "gpu": 1e-3}[profile],
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
    choice = Choice(weights=(0.6,), word_scores=(-1.0, 1.0)) if profile == "quick" else Choice()
    return Decoding(
        languages=LANGUAGES.at(profile),
        search=Search(beam=20 if profile == "quick" else 50),
        choice=choice,
    )


decoded = Stage(decode, inputs={**PROMPTS, "model": models}, config=profiles(decoding), each={"seed": SEEDS})
misheard = Stage(
    decode_misled, inputs={**PROMPTS, "model": misled}, config=profiles(decoding), each={"seed": (CONTROLLED,)}
)
timed = Stage(
    time_search,
    inputs={**PROMPTS, "model": models, "decoded": decoded},
    config=profiles(
        lambda p: Timing(decoding=decoding(p), repeats=1 if p == "quick" else 5, utterances=2 if p == "quick" else 8)
    ),
    each={"seed": TIMED},
    kind="measure",
)

# 5. Known texts in recordings whose truth is known.
aligned = Stage(
    align_recordings,
    inputs={"prompts": prompts, "model": models},
    config=profiles(lambda p: Aligning(languages=LANGUAGES.at(p), prompts=4 if p == "quick" else 8)),
    each={"seed": SEEDS},
)
hour = Stage(
    align_hour,
    inputs={"prompts": prompts, "model": models, "aligned": aligned},
    config=profiles(lambda p: Hour(languages=LANGUAGES.at(p), minutes=2.0 if p == "quick" else 60.0)),
    each={"seed": (CONTROLLED,)},
    kind="measure",
)
