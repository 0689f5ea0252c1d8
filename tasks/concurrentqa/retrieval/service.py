"""The public index as another party hosts it: an HTTP service that holds the public corpus alone and logs what it sees.

python -m tasks.concurrentqa.retrieval.service FOLDER AUDIT DESCRIPTOR serves what `write_corpus` wrote on the listening
socket of that descriptor until its standard input closes, which also happens when the process that started it dies.
"""

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import UserError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from numpy.typing import NDArray

    from models.retrieval.scopes import Floats, Values

START_SECONDS = 300.0
ANSWER_SECONDS = 5.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Seen:
    """What the service has seen: requests, their bytes, and the queries in them as digests and, if texts, in words."""

    requests: int
    queries: int
    bytes: int
    digests: frozenset[str]
    texts: tuple[str, ...]

    def among(self, digests: "frozenset[str] | set[str]") -> int:
        """How many of these digests it has seen."""
        return len(self.digests & digests)


def seen(audit: Path) -> Seen:
    """Read the service's own audit log."""
    rows = [json.loads(line) for line in audit.read_text().splitlines()] if audit.exists() else []
    return Seen(
        requests=len(rows),
        queries=sum(row["queries"] for row in rows),
        bytes=sum(row["bytes"] for row in rows),
        digests=frozenset(each for row in rows for each in row["digests"]),
        texts=tuple(text for row in rows for text in row["texts"]),
    )


def digests(values: "Values") -> list[str]:
    """The sha256 of each vector (its float32 bytes, little-endian) or text (UTF-8)."""
    if isinstance(values, Sequence):
        return [hashlib.sha256(text.encode()).hexdigest() for text in values]
    width, block = 4 * values.shape[1], values.astype("<f4").tobytes()
    return [hashlib.sha256(block[at : at + width]).hexdigest() for at in range(0, len(block), width)]


def packed(array: "NDArray[Any]") -> str:
    """The bytes of an array, as base64."""
    return base64.b64encode(array.tobytes()).decode()


def unpacked(text: str, kind: str, shape: tuple[int, ...]) -> "NDArray[Any]":
    """What `packed` packed, read as numbers of `kind` ("<f4", "<i4"). Raises ValueError where the shape is another."""
    import numpy as np

    return np.frombuffer(base64.b64decode(text), kind).reshape(shape)


def write_corpus(
    folder: Path, ids: Sequence[str], vectors: "Floats | None" = None, texts: Sequence[str] | None = None
) -> None:
    """Write what the service holds: ids with vectors (passages, width), texts or both; all of it public."""
    import numpy as np

    (folder / "corpus.json").write_text(json.dumps({"ids": list(ids), "texts": None if texts is None else list(texts)}))
    if vectors is not None:
        np.save(folder / "vectors.npy", np.asarray(vectors, "<f4"), allow_pickle=False)


def application(folder: Path, audit: Path) -> "FastAPI":
    """The service over a folder of `write_corpus`.

    POST /search takes {"k", "vectors" (base64 of float32, row after row), "rows"} or {"k", "texts"}, and answers
    {"columns", "scores" (base64 of float32), "positions" (base64 of int32)}; with "passages": true also each found
    passage once, under "found" (positions), "vectors" and "texts". GET /ids names the passages by position. POST /slice
    takes {"ids"} or {"share", "seed"} and answers {"ids", "vectors", "texts"}. GET /health answers when it is ready.
    Every request but those for health is one line of `audit`.
    """
    import numpy as np
    from fastapi import FastAPI, HTTPException, Request, Response

    from models.retrieval.index import DenseIndex, Remembering, SparseIndex

    corpus = json.loads((folder / "corpus.json").read_text())
    ids, texts = corpus["ids"], corpus["texts"]
    if texts is not None and len(texts) != len(ids):
        raise ValueError(f"{len(ids)} ids for {len(texts)} texts")
    vectors = np.load(folder / "vectors.npy", allow_pickle=False) if (folder / "vectors.npy").exists() else None
    dense = None if vectors is None else Remembering(DenseIndex(ids, vectors))
    position = {each: at for at, each in enumerate(ids)}
    app, writing = FastAPI(), threading.Lock()

    def passages(positions: "NDArray[Any]") -> dict[str, Any]:
        return {
            "vectors": None if vectors is None else packed(vectors[positions]),
            "texts": None if texts is None else [texts[at] for at in positions.tolist()],
        }

    @cache
    def sparse() -> Remembering | None:
        return None if texts is None else Remembering(SparseIndex(ids, texts))

    def note(path: str, size: int, values: "Floats | list[str]") -> None:
        words = values if isinstance(values, list) else []
        row = {"path": path, "queries": len(values), "bytes": size, "digests": digests(values), "texts": words}
        with writing, audit.open("a") as log:
            log.write(json.dumps(row) + "\n")

    def answer(content: dict[str, Any]) -> Response:
        return Response(json.dumps(content), media_type="application/json")

    @app.get("/health")
    def health() -> Response:
        return answer({"passages": len(ids), "width": None if vectors is None else vectors.shape[1]})

    @app.get("/ids")
    def all_ids() -> Response:
        note("/ids", 0, [])
        return answer({"ids": ids})

    @app.post("/search")
    async def search(request: Request) -> Response:
        body = await request.body()
        asked = json.loads(body)
        if "texts" in asked:
            note("/search", len(body), asked["texts"])
            if (words := sparse()) is None:
                raise HTTPException(422, "this service holds no texts")
            hits = words.search(asked["texts"], asked["k"])
        else:
            queries = unpacked(asked["vectors"], "<f4", (asked["rows"], -1))
            note("/search", len(body), queries)
            if dense is None or vectors is None or queries.shape[1] != vectors.shape[1]:
                raise HTTPException(422, f"this service holds no vectors of {queries.shape[1]} numbers")
            hits = dense.search(queries, asked["k"])
        content = {
            "columns": hits.scores.shape[1],
            "scores": packed(hits.scores.astype("<f4")),
            "positions": packed(hits.positions.astype("<i4")),
        }
        if asked.get("passages"):
            found = np.unique(hits.positions[hits.positions >= 0])
            content |= {"found": found.tolist(), **passages(found)}
        return answer(content)

    @app.post("/slice")
    async def part(request: Request) -> Response:
        body = await request.body()
        asked = json.loads(body)
        if "ids" in asked:
            note("/slice", len(body), asked["ids"])
            chosen = sorted({position[each] for each in asked["ids"] if each in position})
        else:
            note("/slice", len(body), [])
            chosen = [at for at, each in enumerate(ids) if drawn(each, asked["seed"]) < asked["share"]]
        return answer({"ids": [ids[at] for at in chosen], **passages(np.array(chosen, np.int64))})

    return app


def drawn(identifier: str, seed: int) -> float:
    """A number from 0 to 1 for a passage, even over all passages and always the same."""
    return int.from_bytes(hashlib.sha256(f"{seed} {identifier}".encode()).digest()[:6], "big") / 2**48


@contextmanager
def serve(
    audit: Path, ids: Sequence[str], vectors: "Floats | None" = None, texts: Sequence[str] | None = None
) -> Iterator[str]:
    """The public corpus served on a free port of this machine, by a process of its own; gives the address.

    The service appends what it sees to `audit`. Raises UserError where it does not start.
    """
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as listening:
        write_corpus(Path(name), ids, vectors, texts)
        said = Path(name) / "output.txt"
        command = [sys.executable, "-m", __name__, name, str(audit.absolute()), str(listening.fileno())]
        with said.open("w") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=[listening.fileno()],
                cwd=Path(__file__).parents[2],
            )
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.close()  # the process has its own copy: when it dies, nobody listens
        try:
            _wait(process, address, said)
            yield address
        finally:
            _stop(process)


def _wait(process: "subprocess.Popen[bytes]", address: str, said: Path) -> None:
    import httpx

    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            last = (said.read_text().strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"The public index's service ended before it answered ({last}): mend that and run again.")
        try:
            if httpx.get(f"{address}/health", timeout=ANSWER_SECONDS, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise UserError(
        "The public index's service did not answer in five minutes: try again when the machine is less busy."
    )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.close()  # what it waits for
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Serve until standard input closes."""
    import uvicorn

    folder, audit, descriptor = sys.argv[1:]
    config = uvicorn.Config(application(Path(folder), Path(audit)), log_level="warning", access_log=False)
    server = uvicorn.Server(config)

    def wait_for_the_end() -> None:
        os.read(sys.stdin.fileno(), 1)
        server.should_exit = True

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    server.run(sockets=[socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main()
