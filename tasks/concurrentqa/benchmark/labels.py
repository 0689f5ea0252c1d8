"""What readers found when they read questions and links: accepted shares with their intervals, by kind of annotator."""

import json
from collections import defaultdict
from math import sqrt
from pathlib import Path
from typing import Any

from models.config import Count, Index, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.measures import measures
from tasks.concurrentqa.questions.candidates import CHAINS, read_candidates
from tasks.encyclopedia.passages import read_passages

CRITERIA = ("answerable", "unambiguous", "natural", "two_hops")
"""What a question is asked for; one that meets all of them is accepted."""
ANNOTATORS = ("person", "model")


@config
class Audit:
    """`sample` test questions of each chain are to be read. `seed` marks the rows."""

    seed: Index = 0
    sample: Count = 50


@measures(
    share="share of what was read that meets the criterion (of links: that is correct)",
    low="lower end of the share's 95 % interval (Wilson)",
    high="upper end of the share's 95 % interval (Wilson)",
    read="how many were read",
)
def audit(*, corpora: Path, benchmark: Path, labels: Path, config: Audit, out: Path) -> None:
    """Write metrics.json, and sample.jsonl with the questions that are to be read and their supporting sentences.

    `labels` has question_labels.jsonl, one {"question": id, "annotator": "person" or "model", "answerable": …,
    "unambiguous": …, "natural": …, "two_hops": …} a line, and link_labels.jsonl with "sample", "annotator" and
    "correct"; either may be missing. Arm is the criterion, or "accepted" or "link"; domain the chain or the links'
    sample. A label of a question that the benchmark no longer has is left out, and told of.
    """
    import pyarrow.parquet

    path = benchmark / "questions.parquet"
    about = pyarrow.parquet.read_table(path, columns=["id", "split"]).to_pylist()
    questions = {row["id"]: question for row, question in zip(about, read_candidates(path), strict=True)}
    test = {row["id"] for row in about if row["split"] == "test"}
    passages = {passage.id: passage for passage in read_passages(corpora / "passages.parquet")}
    found: defaultdict[tuple[str, str, str], list[bool]] = defaultdict(list)
    stale = 0
    for where, label in read_labels(labels / "question_labels.jsonl"):
        if label.get("question") not in questions:
            stale += 1
            continue
        chain = questions[label["question"]].chain
        verdicts = {criterion: _flag(label, criterion, where) for criterion in CRITERIA}
        for criterion, verdict in {**verdicts, "accepted": all(verdicts.values())}.items():
            found[criterion, chain, label["annotator"]].append(verdict)
    for where, label in read_labels(labels / "link_labels.jsonl"):
        found["link", str(label.get("sample")), label["annotator"]].append(_flag(label, "correct", where))
    if stale:
        spool.note(f"{stale} labels are of questions that the benchmark no longer has: they do not count.")
    rows = []
    for (arm, domain, annotator), verdicts_of in sorted(found.items()):
        low, high = wilson(sum(verdicts_of), len(verdicts_of))
        share = {"share": sum(verdicts_of) / len(verdicts_of), "low": low, "high": high, "read": len(verdicts_of)}
        labels_of = {"arm": arm, "domain": domain, "annotator": annotator, "read_by": f"{arm}, a {annotator}"}
        rows.append({**labels_of, "seed": config.seed, **share})
    (out / "metrics.json").write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    spool.table("labels", rows)
    sample: list[dict[str, Any]] = []
    for chain in CHAINS:
        # An id is a digest, so that their order is as good as chance and the same in every build.
        for name in sorted(name for name in test if questions[name].chain == chain)[: config.sample]:
            question = questions[name]
            hops = [
                {"passage": passage, "title": passages[passage].title, "text": passages[passage].rendered}
                for passage in question.passages
            ]
            sample.append(
                {"question": name, "asks": question.question, "answer": question.answer, "chain": chain, "hops": hops}
            )
    lines = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in sample)
    (out / "sample.jsonl").write_text(lines, encoding="utf-8")


def read_labels(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The labels of a file, each with the place that it stands in; none where there is no file."""
    if not path.exists():
        return []
    labels = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            label = json.loads(line)
        except ValueError:
            raise UserError(f"{where}: this is no JSON: mend the line.") from None
        if not isinstance(label, dict) or label.get("annotator") not in ANNOTATORS:
            raise UserError(f"{where}: a label says its annotator, person or model: add it.")
        labels.append((where, label))
    return labels


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): from 0 to 1 where nothing was read."""
    if not count:
        return 0.0, 1.0
    z = 1.959964
    share, spread = right / count, z * z / count
    centre = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def _flag(label: dict[str, Any], name: str, where: str) -> bool:
    value = label.get(name)
    if not isinstance(value, bool):
        raise UserError(f"{where}: {name} has to be true or false: mend the line.")
    return value
