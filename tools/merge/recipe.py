"""What is to be merged: the YAML file that a user writes, with the words of mergekit where it has them."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from flows.engine.errors import did_you_mean, first_error
from models.config import Count, Index, config
from tasks.base.errors import UserError


@config
class Expert:
    """A checkpoint whose feed-forwards become an expert, and prompts that are its own (or rather not)."""

    source_model: str
    positive_prompts: tuple[str, ...] = ()
    negative_prompts: tuple[str, ...] = ()


@config
class Recipe:
    """Which checkpoints become experts, and where everything else comes from.

    `rest` says whether what is not a feed-forward is the average of the experts, as in Branch-Train-MiX, or that of
    `base_model`, as in mergekit. Gates are `random`, for finetuning, or made from the `hidden` states of prompts.
    `shard_megabytes` is the most that a file of weights holds.
    """

    experts: tuple[Expert, ...]
    base_model: str = ""
    rest: Literal["average", "base"] = "average"
    gate_mode: Literal["random", "hidden"] = "random"
    experts_per_token: Count = 2
    dtype: Literal["", "bfloat16", "float16", "float32"] = ""
    seed: Index = 0
    shard_megabytes: Count = 2000

    def __post_init__(self) -> None:
        if len(self.experts) < 2:
            raise ValueError("experts: two are the fewest that make a mixture")
        if self.experts_per_token > len(self.experts):
            raise ValueError(
                f"experts_per_token is {self.experts_per_token}, and there are {len(self.experts)} experts"
            )
        if self.rest == "base" and not self.base_model:
            raise ValueError("rest is base, so base_model has to name a checkpoint")
        if self.gate_mode == "hidden":
            silent = [each.source_model for each in self.experts if not any(p.strip() for p in each.positive_prompts)]
            if silent:
                raise ValueError(f"gate_mode is hidden, so {silent[0]} needs positive_prompts")


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file, the names of its models as folders: relative ones are beside the file.

    Raises:
        UserError: there is no such file, or something in it is wrong.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"There is no file {path}: write what to merge into a YAML file (see docs/merge.md).") from None
    except (OSError, ValueError, yaml.YAMLError) as problem:
        raise UserError(f"{path} is no YAML file ({' '.join(str(problem).split())}): correct it.") from problem
    if not isinstance(given, dict):
        raise UserError(
            f"{path} does not say what to merge, as in experts: [{{source_model: …}}, …]: see docs/merge.md."
        )
    try:
        read: Recipe = TypeAdapter(Recipe).validate_json(json.dumps(given, default=str))
    except ValidationError as problem:
        for unknown in problem.errors():
            if unknown["type"] == "unexpected_keyword_argument":
                *place, word = unknown["loc"]
                known = [each.name for each in fields(Expert if place else Recipe)]
                raise UserError(f"{path}: there is no setting {word}.{did_you_mean(str(word), known)}") from None
        raise UserError(f"{path}: {first_error(problem)}. Correct it.") from problem
    return read


def folder_of(recipe_file: Path, name: str) -> Path:
    """The folder that a recipe calls `name`."""
    return recipe_file.parent / Path(name).expanduser()
