"""The only way to the public index: it refuses what must not leave the machine, and logs what does."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tasks.base.errors import UserError
from tasks.concurrentqa.retrieval.service import digests, packed, unpacked

if TYPE_CHECKING:
    from models.retrieval.index import Hits
    from models.retrieval.scopes import Chain, Floats, Integers, Mask, Policy, Query, Scope, Values
    from models.retrieval.search import Compose

ROWS = 512
"""Queries a request."""


class Reply(Protocol):
    """An HTTP response."""

    @property
    def status_code(self) -> int:
        """200 where all is well."""

    @property
    def content(self) -> bytes:
        """The body."""


class Transport(Protocol):
    """What carries requests: an `httpx.Client` whose base address is the service's, or one that runs it in process."""

    def get(self, url: str) -> Reply:
        """Send a GET request."""

    def post(self, url: str, *, content: bytes) -> Reply:
        """Send a POST request."""


@dataclass
class Costs:
    """What a client has sent and received so far."""

    requests: int = 0
    queries: int = 0
    sent: int = 0
    received: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Download:
    """Public passages that are now on this machine: vectors (passages, width), texts or both, and bytes received."""

    ids: list[str]
    vectors: "Floats | None"
    texts: list[str] | None
    bytes: int


class PublicClient:
    """The public index under a policy; a `Searcher`.

    Each request is a line of `audit`: the policy, what was called, the number of queries, how many derive from which
    scopes, the bytes sent and received, and whether it was refused instead.
    """

    def __init__(self, http: Transport, policy: "Policy", audit: Path) -> None:
        self.policy = policy
        self.audit = audit
        self.costs = Costs()
        self._http = http
        self._ids: list[str] | None = None

    @property
    def ids(self) -> list[str]:
        """The public passages' ids, by position: asked for once, and not at all where no question may leave."""
        if self._ids is None:
            self._ids = [] if self.policy.question_is_private else self._sent("/ids", None, {})[0]["ids"]
        return self._ids

    def permits(self, query: "Query") -> "Mask":
        """Which rows of `query` may leave the machine, (rows,)."""
        return self.policy.permits(query)

    def search(self, query: "Query", k: int) -> "Hits":
        """The best k passages for each row. Raises Leak, and sends nothing, where any row must not leave."""
        return self._asked(query, k, passages=False)[0]

    def search_and_keep(self, query: "Query", k: int) -> "tuple[Hits, dict[int, Floats]]":
        """As `search`, with the vectors of what was found, by position: they come with the answer."""
        return self._asked(query, k, passages=True)

    def download(
        self, ids: Sequence[str] | None = None, share: float = 1.0, seed: int = 0, derived: "Sequence[Scope]" = ()
    ) -> Download:
        """A slice of the public corpus: the passages `ids`, or else a random share.

        A list of ids tells the service something: `derived` says of which scopes it was made. A list made of private
        passages or of a question held private is refused with Leak, as a query would be.
        """
        from models.retrieval.scopes import Leak, Policy, Scope

        origins = {"+".join(sorted(derived)): len(ids or ())}
        if Scope.PRIVATE in derived and self.policy is not Policy.NONE:
            self._note("/slice", origins, 0, 0, refused=True)
            raise Leak(f"a list of passages made of something private was to be sent under the policy {self.policy}")
        asked = {"share": share, "seed": seed} if ids is None else {"ids": list(ids)}
        answer, received = self._sent("/slice", asked, origins)
        rows = len(answer["ids"])
        vectors = None if answer["vectors"] is None else unpacked(answer["vectors"], "<f4", (rows, -1))
        return Download(answer["ids"], vectors, answer["texts"], received)

    def _asked(self, query: "Query", k: int, passages: bool) -> "tuple[Hits, dict[int, Floats]]":
        import numpy as np

        from models.retrieval.index import Hits
        from models.retrieval.scopes import Leak

        if not self.policy.permits(query).all():
            self._note("/search", _origins(query), 0, 0, refused=True)
            raise Leak(f"{int(query.tainted.sum())} queries must not leave the machine under the policy {self.policy}")
        found = [Hits(np.zeros((0, min(k, len(self.ids))), np.float32), np.zeros((0, min(k, len(self.ids))), np.int64))]
        kept: dict[int, Floats] = {}
        for start in range(0, len(query), ROWS):
            part = query.take(np.arange(start, min(start + ROWS, len(query))))
            asked: dict[str, Any] = {"k": k, "passages": passages}
            if isinstance(part.values, tuple):
                asked["texts"] = part.values
            else:
                asked |= {"rows": len(part), "vectors": packed(part.values.astype("<f4"))}
            answer, _ = self._sent("/search", asked, _origins(part))
            shape = (len(part), answer["columns"])
            positions = unpacked(answer["positions"], "<i4", shape).astype(np.int64)
            found.append(Hits(unpacked(answer["scores"], "<f4", shape), positions))
            if passages:
                vectors = unpacked(answer["vectors"], "<f4", (len(answer["found"]), -1))
                kept |= dict(zip(answer["found"], vectors, strict=True))
        return Hits(*(np.concatenate(column) for column in zip(*found, strict=True))), kept

    def _sent(self, call: str, asked: dict[str, Any] | None, origins: Mapping[str, int]) -> tuple[Any, int]:
        """The service's answer and its bytes; the call is in the audit log whether or not an answer came."""
        body = b"" if asked is None else json.dumps(asked).encode()
        received = 0
        try:
            reply = self._http.get(call) if asked is None else self._http.post(call, content=body)
            received = len(reply.content)
        finally:
            self._note(call, origins, len(body), received)
        if reply.status_code != 200:
            said = reply.content.decode()[:200]
            raise UserError(f"The public index refused a request ({said}): check what it serves.")
        return json.loads(reply.content), received

    def _note(self, call: str, origins: Mapping[str, int], sent: int, received: int, refused: bool = False) -> None:
        queries = sum(origins.values())
        row = {
            "policy": str(self.policy),
            "call": call,
            "queries": queries,
            "derived_from": dict(sorted(origins.items())),
            "sent": sent,
            "received": received,
            "refused": refused,
        }
        with self.audit.open("a") as log:
            log.write(json.dumps(row) + "\n")
        self.costs.refused += refused
        self.costs.requests += not refused
        self.costs.queries += 0 if refused else queries
        self.costs.sent += sent
        self.costs.received += received


class PublicPool:
    """A `Searcher` that fetches public passages before any private hop, and chooses among them after it.

    With a raw question the service returns `fetch` passages and their vectors. A tainted query then chooses among those
    that its question brought back, on this machine; other queries go to the service as ever. Dense only.
    """

    def __init__(self, client: PublicClient, fetch: int) -> None:
        self.client = client
        self.fetch = fetch
        self._vectors: dict[int, Floats] = {}
        self._fetched: dict[int, Integers] = {}

    @property
    def ids(self) -> list[str]:
        """The public passages' ids, by position."""
        return self.client.ids

    def permits(self, query: "Query") -> "Mask":
        """What may be sent, and whatever belongs to a question that has fetched passages."""
        import numpy as np

        fetched = [question in self._fetched for question in query.questions.tolist()]
        may: Mask = self.client.permits(query) | np.array(fetched, bool)
        return may

    def search(self, query: "Query", k: int) -> "Hits":
        """The best k for each row: of all passages for what may be sent, of those fetched before for the rest."""
        import numpy as np

        from models.retrieval.index import DenseIndex, Hits

        rows, width = len(query), min(k, len(self.ids))
        found = Hits(np.full((rows, width), -np.inf, np.float32), np.full((rows, width), -1, np.int64))
        may, raw = self.client.permits(query), query.raw
        if (may & raw).any():
            hits, vectors = self.client.search_and_keep(query.take(may & raw), max(k, self.fetch))
            self._vectors |= vectors
            self._fetched |= dict(zip(query.questions[may & raw].tolist(), hits.positions, strict=True))
            found.scores[may & raw], found.positions[may & raw] = hits.scores[:, :width], hits.positions[:, :width]
        if (may & ~raw).any():
            found.scores[may & ~raw], found.positions[may & ~raw] = self.client.search(query.take(may & ~raw), k)
        values, questions = query.values, query.questions
        assert not isinstance(values, tuple)
        for question in np.unique(questions[~may]).tolist():
            here = np.flatnonzero(~may & (questions == question))
            pool = self._fetched[question]
            local = DenseIndex([self.ids[at] for at in pool], np.stack([self._vectors[at] for at in pool.tolist()]))
            hits = local.search(values[here], width)
            columns = hits.scores.shape[1]
            found.scores[here, :columns], found.positions[here, :columns] = hits.scores, pool[hits.positions]
        return found


def recording(compose: "Compose", private: set[str]) -> "Compose":
    """`compose`, with the digest of every query that it makes of a private passage added to `private`.

    That is the list to compare with what the service saw; it does not depend on the policy or on the client. A query
    that public passages alone make as well, such as a mail's subject that is an article's title, is not on it.
    """
    from models.retrieval.scopes import Scope

    public: set[str] = set()

    def recorded(questions: "Integers", chain: "Chain", passages: "Integers") -> "Values":
        values = compose(questions, chain, passages)
        (private if Scope.PRIVATE in chain else public).update(digests(values))
        private.difference_update(public)
        return values

    return recorded


def connect(address: str, policy: "Policy", audit: Path) -> PublicClient:
    """A client over HTTP of the service at `address`."""
    import httpx

    return PublicClient(httpx.Client(base_url=address, timeout=600.0, trust_env=False), policy, audit)


def _origins(query: "Query") -> Counter[str]:
    """How many rows derive from which scopes."""
    return Counter("+".join(sorted(scopes)) for scopes in query.origins)
