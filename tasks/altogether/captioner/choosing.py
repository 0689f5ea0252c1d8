"""How long captioners train and how they write, chosen on validation concepts; and whether they have learnt to.

A captioner that still learns, or that writes next to nothing of what is wanted, tells nothing of the method: what is
claimed of it is withheld, whichever way it would come out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from models.caption_scores import overlap
from models.config import Count, Fraction, Index, Positive, config
from tasks.altogether.captioner.captioning import CHOSEN, Arm, Seen, Writing, captioned, loss_on, pairs_of
from tasks.altogether.captioner.stored import Writer, load_writer
from tasks.altogether.records import Record, read_records
from tasks.altogether.texts.attributes import words
from tasks.altogether.texts.levels import names_it
from tasks.altogether.texts.splits import draw
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures

LIKELIEST = 1e-9
"""A nucleus that holds the likeliest subword alone."""


@config
class Choosing:
    """What is tried on `asked` validation records: sampling as (temperature, nucleus), each with what is added to the
    end's odds.

    An arm has learnt if the most steps lower the loss by at most `gain` nats a subword against the next fewer, and if
    the F1 of its captions is at least the share `least` of that of the alt-texts themselves.
    """

    seed: Index = 0
    asked: Count = 300
    sampling: tuple[tuple[Positive, Positive], ...] = ((1.0, LIKELIEST), (0.2, 0.7))
    ends: tuple[float, ...] = (-1.0, 0.0, 1.0)
    gain: Positive = 0.02
    least: Fraction = 0.75


@measures(
    loss="nats a subword of validation concepts' captions after a training of so many steps",
    dev_f1="F1 of captions of validation concepts, by how they are written",
)
def choose(
    *, features: Path, levels: Path, dual: Path, rehearsed: dict[str, Path], config: Choosing, out: Path
) -> None:
    """Write `chosen.json` and `metrics.json`. `rehearsed` are captioners by arm and steps, as in "text-only-400"."""
    seen = Seen.load(features, dual)
    records = as_written(read_records(levels / "validation.json"), config.asked)
    arms: dict[Arm, dict[int, Writer]] = {}
    for label, folder in rehearsed.items():
        name, _, number = label.rpartition("-")
        arms.setdefault(cast(Arm, name), {})[int(number)] = load_writer(folder)
    alts = [record.alt for record in records]
    copied = f1(alts, records)
    rows: list[dict[str, Any]] = [{"arm": "copy", "writing": "as it is", "dev_f1": copied}]
    chosen: dict[str, dict[str, Any]] = {}
    for arm, writers in sorted(arms.items()):
        losses = {steps: loss_on(writer, seen, pairs_of(records), arm) for steps, writer in sorted(writers.items())}
        steps = min(losses, key=lambda each: (losses[each], each))
        rows += [{"arm": arm, "steps": str(each), "loss": loss} for each, loss in losses.items()]
        scored = {}
        for temperature, top_p in config.sampling:
            for ends in config.ends:
                writing = Writing(seed=config.seed, temperature=temperature, top_p=top_p, ends=ends)
                written = captioned(
                    writers[steps], seen, seen.rows([record.img_path for record in records]), alts, writing,
                    blank=arm == "text-only",
                )  # fmt: skip
                scored[temperature, top_p, ends] = f1(written, records)
        best = max(scored, key=lambda each: scored[each])
        rows += [{"arm": arm, "writing": _said(*how), "dev_f1": found} for how, found in scored.items()]
        reason = withheld(arm, losses, scored[best], copied, config)
        chosen[arm] = {"steps": steps, **dict(zip(("temperature", "top_p", "ends"), best, strict=True))}
        chosen[arm] |= {"withheld": reason}
        spool.note(reason or f"The captioner {arm} has learnt: {steps} steps, written with {_said(*best)}.")
    write_json(out / CHOSEN, chosen)
    write_json(out / "metrics.json", rows)
    spool.table("chosen on validation", rows)


def as_written(records: Sequence[Record], most: int) -> list[Record]:
    """Some of the records of pictures with an alt-text as somebody wrote it, which is not the very name."""
    written = [r for r in records if r.condition == "as written" and r.kind == "picture" and not names_it(r)]
    return sorted(written, key=lambda record: draw(0, "validated", record.img_path, record.alt))[:most]


def f1(captions: Sequence[str], records: Sequence[Record]) -> float:
    """The mean F1 of the captions' words and the references'."""
    scored = [overlap(words(said), words(record.round3)).f1 for said, record in zip(captions, records, strict=True)]
    return sum(scored) / max(1, len(scored))


def withheld(arm: str, losses: Mapping[int, float], found: float, copied: float, config: Choosing) -> str:
    """Why nothing can be claimed of an arm, or nothing."""
    if len(losses) > 1:
        *_, fewer, most = sorted(losses)
        if losses[fewer] - losses[most] > config.gain:
            return (
                f"The captioner {arm} still learns: {most} steps have a loss of {losses[most]:.3f} on validation, "
                f"{fewer} one of {losses[fewer]:.3f}. What is claimed of it would be of too short a training."
            )
    if found < config.least * copied:
        return (
            f"The captioner {arm} has not learnt to write: F1 {found:.3f} on validation, where the alt-texts have "
            f"{copied:.3f}, of which {config.least:.0%} are needed."
        )
    return ""


def _said(temperature: float, top_p: float, ends: float) -> str:
    how = "the likeliest subword" if top_p == LIKELIEST else f"temperature {temperature:g}, nucleus {top_p:g}"
    return f"{how}, end {ends:+g}"
