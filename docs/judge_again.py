"""Judge a published claim again from its pairs, by a margin of your own, and draw the pairs.

    python docs/judge_again.py published/btx.json beats-dense-at-equal-data --margin 0.01 --out pairs.svg

Every step is a few lines: copy it and change it. The interval is Student's t over the pairs at the level that decided
(or 95 %). Where the published one is also over items (questions, documents), it is wider, for that is the harder
question: `tenfold rejudge` computes that one.
"""

import argparse
from pathlib import Path

import numpy as np

from flows.engine.publication import Part, read_file
from flows.engine.report.charts import paired, standalone
from tasks.judging.intervals import decide, of_pairs


def judge(part: Part, margin: float) -> str:
    """A sentence on one comparison: its effect, its interval, and what this margin makes of it."""
    differences = np.array([left - right for _, left, right in part.pairs.rows()])
    if len(differences) < 2:
        return f"{part.name}: {differences.mean():+.4g}; one pair has no interval"
    level = part.level or 0.95
    low, high = of_pairs(differences).interval(level)
    verdict = decide(part.kind, margin, (low, high))  # type: ignore[arg-type]
    found = f"{differences.mean():+.4g} [{low:+.4g}, {high:+.4g}] at {level:.2%} over {len(differences)} pairs"
    published = f"published with margin {part.margin:g}: {part.verdict}"
    return f"{part.name}: {found}, {part.kind} with margin {margin:g}: {verdict} ({published})"


def main() -> None:
    """Judge the comparisons of one claim, and draw the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a published file")
    parser.add_argument("claim", help="a claim's id")
    parser.add_argument("--margin", type=float, help="the published one by default")
    parser.add_argument("--out", type=Path, default=Path("pairs.svg"))
    asked = parser.parse_args()
    claims = {claim.id: claim for claim in read_file(asked.file.resolve()).claims}
    if asked.claim not in claims:
        parser.error(f"there is no claim {asked.claim} in {asked.file}: {', '.join(claims)}")
    parts = claims[asked.claim].parts
    if not parts:
        parser.error(f"{asked.claim} has no pairs: it was not tested, or published before pairs were kept")
    print(claims[asked.claim].says)
    for part in parts:
        print(judge(part, part.margin if asked.margin is None else asked.margin))
    left, _, right = parts[0].name.partition(" against ")
    asked.out.write_text(standalone(paired(parts[0].pairs.rows(), left, right, parts[0].left.quantity)))
    print(f"Wrote {asked.out}")


if __name__ == "__main__":
    main()
