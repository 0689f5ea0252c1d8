"""Train, dev and test that share no bridge, no sender and no wording, and a choice of questions balanced over families.

Every bridge, sender and wording belongs to one split; a candidate whose parts belong to different ones is lost. Which
belongs where is found by simulated annealing towards the sizes that are wanted.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Literal, Self

from tasks.concurrentqa.candidates import Candidate

Split = Literal["train", "dev", "test"]

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
YES_NO = frozenset({"yes", "no"})
MARGIN = 1.15
"""How many times the wanted questions of dev and test are assigned: some fall later, to what only they must pass."""
SURPLUS = 0.05
"""What a train question above the wanted number is worth, a wanted one being worth 1."""
MOVES = 300
"""How often each part is moved, or is left where it is after all."""
HOTTEST, COLDEST = 0.01, 0.0001


@dataclass(frozen=True, kw_only=True)
class Question(Candidate):
    """A candidate in a split; `id` is the same in every build, as long as the question and its passages are."""

    id: str
    split: Split

    @classmethod
    def of(cls, candidate: Candidate, split: Split) -> Self:
        """The question that `candidate` becomes in `split`."""
        digest = sha256("\n".join((candidate.question, candidate.answer, *candidate.passages)).encode()).hexdigest()
        return cls(**asdict(candidate), id=f"{candidate.chain}-{digest[:12]}", split=split)


def split_wordings(wordings: Iterable[str], shares: Mapping[Split, float], seed: int) -> dict[str, Split]:
    """The split that each wording ("family/3") is used in; of three or more of a family, each split has one.

    A family with two has none in dev; one with a single wording is for training.
    """
    families: defaultdict[str, list[str]] = defaultdict(list)
    for wording in sorted(set(wordings)):
        families[wording.rpartition("/")[0]].append(wording)
    found: dict[str, Split] = {}
    for family, members in sorted(families.items()):
        random.Random(f"{seed} {family}").shuffle(members)
        test = max(1, round(shares["test"] * len(members))) if len(members) > 1 else 0
        dev = max(1, round(shares["dev"] * len(members))) if len(members) > 2 else 0
        for place, wording in enumerate(members):
            found[wording] = "test" if place < test else "dev" if place < test + dev else "train"
    return found


def parts(candidate: Candidate) -> frozenset[str]:
    """Who and what a candidate is about, apart from its wording: its bridge and its senders, in lower case.

    Where nothing joins the two passages, as in some comparisons, they themselves are what it is about.
    """
    about = (candidate.bridge,) if candidate.bridge.strip() else candidate.passages
    return frozenset(" ".join(part.lower().split()) for part in (*about, *candidate.senders) if part.strip())


def assign(
    candidates: Sequence[Candidate], wording_split: Mapping[str, Split], wanted: Mapping[Split, int], seed: int
) -> dict[str, Split]:
    """The split of every bridge and sender, so that as many of the `wanted` questions of each chain are whole."""
    return _Search(candidates, wording_split, wanted).run(random.Random(seed))


def split_of(candidate: Candidate, part_split: Mapping[str, Split], wording_split: Mapping[str, Split]) -> Split | None:
    """The split that all of a candidate's parts belong to, if there is one."""
    found = {wording_split[candidate.wording], *(part_split[part] for part in parts(candidate))}
    return found.pop() if len(found) == 1 else None


def choose(pool: Sequence[Candidate], most: int, cap: float) -> tuple[list[Candidate], int]:
    """At most `most` of `pool`, as evenly over families as it allows, and how many `cap` alone keeps out.

    No answer has more than the share `cap` of a family's questions, or it occurs once; yes and no have at most half
    each. Earlier members of `pool` are preferred.
    """
    families: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in pool:
        families[candidate.family].append(candidate)
    full = {family: _largest(members, len(members), cap) for family, members in families.items()}
    sizes: Counter[str] = Counter()
    left = most
    # The smallest families first: what they cannot give, the larger ones share.
    for rank, family in enumerate(sorted(full, key=lambda family: (full[family], family))):
        sizes[family] = _largest(families[family], min(full[family], left // (len(full) - rank)), cap)
        left -= sizes[family]
    for family in sorted(full, key=lambda family: (-full[family], family)):
        grown = _largest(families[family], min(full[family], sizes[family] + left), cap)
        left -= max(0, grown - sizes[family])
        sizes[family] = max(sizes[family], grown)
    chosen: set[int] = set()
    taken: Counter[str] = Counter()
    answers: Counter[tuple[str, str]] = Counter()
    limits = {family: _limit(members, sizes[family], cap) for family, members in families.items()}
    for place, candidate in enumerate(pool):
        key = (candidate.family, candidate.answer.lower())
        if taken[candidate.family] < sizes[candidate.family] and answers[key] < limits[candidate.family]:
            chosen.add(place)
            taken[candidate.family] += 1
            answers[key] += 1
    return [pool[place] for place in sorted(chosen)], len(pool) - sum(full.values())


def _limit(members: Sequence[Candidate], size: int, cap: float) -> int:
    """How often one answer may occur among `size` of a family's questions."""
    if all(member.answer.lower() in YES_NO for member in members):
        return max(1, (size + 1) // 2)
    return max(1, int(cap * size + 1e-9))


def _largest(members: Sequence[Candidate], most: int, cap: float) -> int:
    """The largest number of `members`, up to `most`, among which no answer is too frequent."""
    counts = Counter(member.answer.lower() for member in members)
    for size in range(most, 0, -1):
        if sum(min(count, _limit(members, size, cap)) for count in counts.values()) >= size:
            return size
    return 0


class _Search:
    """The search behind `assign`: which split each part is in, and how many questions that leaves whole.

    Simulated annealing over single parts: what is wanted of one chain binds parts that another chain needs as well, so
    that a search which only ever improves ends far too early.
    """

    def __init__(
        self, candidates: Sequence[Candidate], wording_split: Mapping[str, Split], wanted: Mapping[Split, int]
    ) -> None:
        # Wordings of what is asked of one pair of passages count once: a split uses one of them.
        groups: defaultdict[tuple[str, tuple[str, ...], str, tuple[str, ...]], set[Split]] = defaultdict(set)
        for candidate in candidates:
            key = (candidate.chain, candidate.passages, candidate.answer, tuple(sorted(parts(candidate))))
            groups[key].add(wording_split[candidate.wording])
        ordered = sorted(groups)
        self.chains = [chain for chain, *_ in ordered]
        self.members = [members for *_, members in ordered]
        self.allowed = [groups[key] for key in ordered]
        self.wanted = wanted
        self.items: defaultdict[str, list[int]] = defaultdict(list)
        for item, members in enumerate(self.members):
            for part in members:
                self.items[part].append(item)
        self.split: dict[str, Split] = {}
        self.placed: list[Split | None] = []
        self.counts: Counter[tuple[str, Split]] = Counter()

    def run(self, rng: random.Random) -> dict[str, Split]:
        """Anneal from a random state, and return the split of every part."""
        named = sorted(self.items)
        total = sum(self.wanted.values())
        drawn = rng.choices(SPLITS, [self.wanted[split] / total for split in SPLITS], k=len(named))
        self.split = dict(zip(named, drawn, strict=True))
        self.placed = [self.place(item) for item in range(len(self.members))]
        self.counts = Counter(
            (chain, split) for chain, split in zip(self.chains, self.placed, strict=True) if split is not None
        )
        steps = MOVES * len(named)
        for step in range(steps):
            temperature = HOTTEST * (1 - step / steps) + COLDEST
            part = rng.choice(named)
            self.move(part, rng.choice([split for split in SPLITS if split != self.split[part]]), rng, temperature)
        return self.split

    def move(self, part: str, split: Split, rng: random.Random, temperature: float) -> None:
        """Put a part into another split: always where that is no worse, and the less likely the worse it is."""
        before, self.split[part] = self.split[part], split
        moved = {item: self.place(item) for item in self.items[part]}
        change: Counter[tuple[str, Split]] = Counter()
        for item, now in moved.items():
            for place, by in ((self.placed[item], -1), (now, 1)):
                if place is not None:
                    change[self.chains[item], place] += by
        gain = sum(
            self.worth(key[1], self.counts[key] + by) - self.worth(key[1], self.counts[key])
            for key, by in change.items()
        )
        if gain < 0 and rng.random() >= math.exp(gain / temperature):
            self.split[part] = before
            return
        for item, now in moved.items():
            self.placed[item] = now
        for key, by in change.items():
            self.counts[key] += by

    def place(self, item: int) -> Split | None:
        """The split that a pair of passages is whole in, if there is one and it may use a wording of it."""
        found = {self.split[part] for part in self.members[item]}
        return next(iter(found)) if len(found) == 1 and found <= self.allowed[item] else None

    def worth(self, split: Split, count: int) -> float:
        """The value of so many questions of one chain in a split: 1 for all that are wanted."""
        target = self.wanted[split] * (1 if split == "train" else MARGIN)
        surplus = SURPLUS * max(0.0, count - target) if split == "train" else 0.0
        return (min(count, target) + surplus) / target
