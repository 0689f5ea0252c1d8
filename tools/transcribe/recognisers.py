"""The paper's recognisers by language, for tools."""

from dataclasses import dataclass
from pathlib import Path

from flows.engine.trained import Output, is_here, trained
from flows.speech import stages
from tasks.base.errors import UserError

PROFILES = ("cpu", "gpu", "quick")
"""Whose recogniser is taken, the first that is there; the quick one hears next to nothing."""


@dataclass(frozen=True)
class Folders:
    """What the stages made for one language; `stale` says what has changed since, if anything."""

    model: Path
    prompts: Path
    decoded: Path
    aligned: Path
    language: str
    profile: str
    stale: str


def recogniser(language: str, profile: str | None = None) -> Folders:
    """The first recogniser of the language.

    Raises:
        UserError: there is none of this language, or its stages have not run; the sentence says what to run.
    """
    profile = profile or next((name for name in PROFILES if is_here(stages.prompts, name)), "cpu")
    if profile not in PROFILES:
        raise UserError(f"There is no profile {profile}: there are {', '.join(PROFILES)}.")
    languages = stages.LANGUAGES.at(profile)
    if language not in languages:
        raise UserError(
            f"There is no recogniser of {language!r} at {profile}: there are {', '.join(languages)}; see --profile."
        )
    seeds = [seed for seed in stages.SEEDS.at(profile) if languages[seed % len(languages)] == language]
    found: list[Output] = [
        trained(stages.models, profile, seed=seeds[0]),
        trained(stages.prompts, profile),
        trained(stages.decoded, profile, seed=seeds[0]),
        trained(stages.aligned, profile, seed=seeds[0]),
    ]
    stale = next((each.stale for each in found if each.stale), "")
    model, prompts, decoded, aligned = (each.folder for each in found)
    return Folders(model, prompts, decoded, aligned, language, profile, stale)
