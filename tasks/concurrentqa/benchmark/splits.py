"""Train, dev and test that share no bridge, no sender and no wording, and a choice of questions balanced over families.

Every bridge, sender and wording belongs to one split; a candidate whose parts belong to different ones is lost. Which
belongs where is found by simulated annealing towards the sizes that are wanted. What an earlier dev or test asked about
(see `asked`) is for training: what came of those questions is known, so that they can test nothing any more.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Literal, Self

from tasks.concurrentqa.questions.candidates import Candidate

Split = Literal["train", "dev", "test"]
Sample = Literal["train", "dev", "test", "unfiltered"]
"""Where a question stands: in a split, or in the sample that no search has filtered."""

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
YES_NO = frozenset({"yes", "no"})
MARGIN: dict[Split, float] = {"train": 1.2, "dev": 1.25, "test": 1.25}
"""How many times the wanted questions are assigned: some fall later, in dev and test to what only they must pass."""
SMALL = 60
"""A family with fewer questions than this is too small for a share of its answers to mean anything."""
WEIGHTS: dict[Split, float] = {"train": 1, "dev": 1, "test": 2}
"""What all the wanted questions of a chain are worth in each split."""
SURPLUS = 0.02
"""What a train question above the wanted number is worth, a wanted one being worth 1."""
HOTTEST, COLDEST = 0.01, 0.0001
"""Temperatures, in the value of all wanted questions of a chain in a split."""


@dataclass(frozen=True, kw_only=True)
class Question(Candidate):
    """A candidate in a split; `id` is the same in every build, as long as the question and its passages are."""

    id: str
    split: Sample

    @classmethod
    def of(cls, candidate: Candidate, split: Sample) -> Self:
        """The question that `candidate` becomes in `split`."""
        digest = sha256("\n".join((candidate.question, candidate.answer, *candidate.passages)).encode()).hexdigest()
        return cls(**asdict(candidate), id=f"{candidate.chain}-{digest[:12]}", split=split)


def split_wordings(
    wordings: Iterable[str], shares: Mapping[Split, float], seed: int, asked: Collection[str] = ()
) -> dict[str, Split]:
    """The split that each wording ("family/3") is used in; of three or more of a family, each split has one.

    A family with two has none in dev; one with a single wording is for training, and so are the wordings in `asked`:
    of the others as many as without those are for test, then for dev.
    """
    families: defaultdict[str, list[str]] = defaultdict(list)
    for wording in sorted(set(wordings)):
        families[wording.rpartition("/")[0]].append(wording)
    found: dict[str, Split] = {}
    for family, members in sorted(families.items()):
        random.Random(f"{seed} {family}").shuffle(members)
        test = max(1, round(shares["test"] * len(members))) if len(members) > 1 else 0
        dev = max(1, round(shares["dev"] * len(members))) if len(members) > 2 else 0
        found |= dict.fromkeys(members, "train")
        for place, wording in enumerate([wording for wording in members if wording not in asked][: test + dev]):
            found[wording] = "test" if place < test else "dev"
    return found


def parts(candidate: Candidate) -> frozenset[str]:
    """Who and what a candidate is about, apart from its wording: its bridge and its senders, in lower case.

    Where nothing joins the two passages, as in comparisons of articles, they themselves are what it is about.
    """
    named = [" ".join(name.lower().split()) for name in (candidate.bridge, *candidate.senders) if name.strip()]
    return frozenset(named or candidate.passages)


def assign(
    candidates: Sequence[Candidate],
    wording_split: Mapping[str, Split],
    wanted: Mapping[str, Mapping[Split, int]],
    cap: float,
    seed: int,
    moves: int,
    asked: Collection[str] = (),
) -> dict[str, Split]:
    """The split of every bridge and sender, so that as many of the questions `wanted` of each chain are whole.

    Each is moved `moves` times, or is left where it is after all; those in `asked` are for training.
    """
    return _Search(candidates, wording_split, wanted, cap).run(random.Random(seed), moves, asked)


def split_of(candidate: Candidate, part_split: Mapping[str, Split], wording_split: Mapping[str, Split]) -> Split | None:
    """The split that all of a candidate's parts belong to, if there is one."""
    found = {wording_split[candidate.wording], *(part_split[part] for part in parts(candidate))}
    return found.pop() if len(found) == 1 else None


def templates(candidates: Iterable[Candidate]) -> dict[Split, dict[str, str]]:
    """What no answer may dominate in each split, by family: the family itself.

    In train families that are too small for a share count together with like ones, whose names begin with the same
    word: there a frequent answer costs variety, while in dev and test it would reward guessing.
    """
    members = {(each.family, frozenset(each.passages), each.answer.lower()) for each in candidates}
    sizes = sorted(Counter(family for family, _, _ in members).items())
    alone = {family: family for family, _ in sizes}
    pooled = {family: family if size >= SMALL else f"{family.partition('-')[0]}-small" for family, size in sizes}
    return {"train": pooled, "dev": alone, "test": alone}


def choose(
    pool: Sequence[Candidate], most: int, cap: float, template: Mapping[str, str]
) -> tuple[list[Candidate], int]:
    """At most `most` of `pool`, as evenly over templates as it allows, and how many `cap` alone keeps out.

    No answer has more than the share `cap` of a template's questions, or it occurs once; yes and no have at most half
    each. Earlier members of `pool` are preferred. `template` is that of each family.
    """
    groups: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in pool:
        groups[template[candidate.family]].append(candidate)
    full = {name: _largest(members, len(members), cap) for name, members in groups.items()}
    sizes: Counter[str] = Counter()
    left = most
    # The smallest first: what they cannot give, the larger ones share.
    for rank, name in enumerate(sorted(full, key=lambda name: (full[name], name))):
        sizes[name] = _largest(groups[name], min(full[name], left // (len(full) - rank)), cap)
        left -= sizes[name]
    for name in sorted(full, key=lambda name: (-full[name], name)):
        grown = max(sizes[name], _largest(groups[name], min(full[name], sizes[name] + left), cap))
        left -= grown - sizes[name]
        sizes[name] = grown
    limits = {name: _limit(members, sizes[name], cap) for name, members in groups.items()}
    chosen: list[Candidate] = []
    taken: Counter[str] = Counter()
    answers: Counter[tuple[str, str]] = Counter()
    for candidate in pool:
        name = template[candidate.family]
        key = (name, candidate.answer.lower())
        if taken[name] < sizes[name] and answers[key] < limits[name]:
            chosen.append(candidate)
            taken[name] += 1
            answers[key] += 1
    return chosen, len(pool) - sum(full.values())


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
    that a search which only ever improves ends far too early. An item is what is asked of one pair of passages,
    whatever the wording; a split can use it when it has one of its wordings and all of its parts. Parts, items, answers
    and cells (a chain in a split) are numbers here, for the search is long.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        wording_split: Mapping[str, Split],
        wanted: Mapping[str, Mapping[Split, int]],
        cap: float,
    ) -> None:
        template = templates(candidates)
        groups: defaultdict[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], set[Split]] = defaultdict(set)
        for each in candidates:
            about = (each.passages, tuple(sorted(parts(each))))
            groups[each.chain, each.family, each.answer.lower(), *about].add(wording_split[each.wording])
        ordered = sorted(groups)
        self.parts = sorted({part for *_, members in ordered for part in members})
        number = {part: place for place, part in enumerate(self.parts)}
        self.members = [[number[part] for part in members] for *_, members in ordered]
        self.items: list[list[int]] = [[] for _ in self.parts]
        for item, members in enumerate(self.members):
            for part in members:
                self.items[part].append(item)
        self.allowed = [[split in groups[key] for split in SPLITS] for key in ordered]
        chains = sorted({chain for chain, *_ in ordered})
        self.chain = [chains.index(chain) * len(SPLITS) for chain, *_ in ordered]
        self.targets = [wanted[chain][split] * MARGIN[split] for chain in chains for split in SPLITS]
        # Questions of one chain and template with one answer, of which the cap lets through so many in each split.
        named = [
            [(split, chain, template[split][family], answer) for split in SPLITS]
            for chain, family, answer, *_ in ordered
        ]
        answers = {name: place for place, name in enumerate(sorted({name for names in named for name in names}))}
        self.answer = [[answers[name] for name in names] for names in named]
        sizes = Counter(name[:3] for names in named for name in names)
        shares = {
            (split, chain): wanted[chain][split] / sum(wanted[chain].values()) for split in SPLITS for chain in chains
        }
        self.limits = [
            sizes[name[:3]] if name[3] in YES_NO else max(1, int(cap * sizes[name[:3]] * shares[name[:2]]))
            for name in answers
        ]

    def run(self, rng: random.Random, moves: int, asked: Collection[str]) -> dict[str, Split]:
        """Anneal from a random state, and return the split of every part; those in `asked` stay in train."""
        train = SPLITS.index("train")
        self.split = [train if part in asked else rng.randrange(len(SPLITS)) for part in self.parts]
        free = [number for number, part in enumerate(self.parts) if part not in asked]
        self.place = [self.placed(item) for item in range(len(self.members))]
        self.frequency = [0] * len(self.limits)
        self.count = [0] * len(self.targets)
        for item, place in enumerate(self.place):
            if place >= 0:
                self.put(item, place, 1)
        steps = moves * len(free)
        for step in range(steps):
            temperature = HOTTEST * (COLDEST / HOTTEST) ** (step / steps)
            part = rng.choice(free)
            self.move(part, (self.split[part] + rng.randrange(1, len(SPLITS))) % len(SPLITS), temperature, rng)
        return {part: SPLITS[split] for part, split in zip(self.parts, self.split, strict=True)}

    def move(self, part: int, split: int, temperature: float, rng: random.Random) -> None:
        """Put a part into another split: always where that is no worse, and the less likely the worse it is."""
        before, self.split[part] = self.split[part], split
        changes = []
        gain = 0.0
        for item in self.items[part]:
            now = self.placed(item)
            if now != (was := self.place[item]):
                changes.append((item, was))
                if was >= 0:
                    gain += self.put(item, was, -1)
                if now >= 0:
                    gain += self.put(item, now, 1)
                self.place[item] = now
        if gain < 0 and rng.random() >= math.exp(gain / temperature):
            self.split[part] = before
            for item, was in changes:
                if self.place[item] >= 0:
                    self.put(item, self.place[item], -1)
                if was >= 0:
                    self.put(item, was, 1)
                self.place[item] = was

    def placed(self, item: int) -> int:
        """The split that an item is whole in and may be used in, or -1."""
        members = self.members[item]
        split = self.split[members[0]]
        for part in members[1:]:
            if self.split[part] != split:
                return -1
        return split if self.allowed[item][split] else -1

    def put(self, item: int, split: int, by: int) -> float:
        """Count an item in a split (`by` 1) or no longer (-1); what that is worth."""
        answer, cell = self.answer[item][split], self.chain[item] + split
        seen = self.frequency[answer]
        self.frequency[answer] = seen + by
        # What is more frequent than the cap allows counts for nothing.
        if (seen if by > 0 else seen - 1) >= self.limits[answer]:
            return 0.0
        place = self.count[cell] if by > 0 else self.count[cell] - 1
        self.count[cell] += by
        value = 1.0 if place < self.targets[cell] else SURPLUS if SPLITS[split] == "train" else 0.0
        return by * value * WEIGHTS[SPLITS[split]] / self.targets[cell]
