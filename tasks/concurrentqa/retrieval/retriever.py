"""A trained retriever with what it reads: frozen features in, vectors to search with out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.language.encoded import Encoded
from tasks.learning.logged import Loaded, say_model

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from models.retrieval.mdr import Retriever, Terms

    Floats = NDArray[np.float32]
    Integers = NDArray[np.int64]

TITLE = 3.0
"""How much more a word counts in an article's title than in its text."""

BEGIN = 8
"""Tokens in which a mail names its sender, and an article its title."""

ROWS = 128
"""Queries that are made at once."""


class Frozen:
    """Questions and passages as a retriever reads them, by their places in what the encoder wrote."""

    def __init__(self, questions: Encoded, passages: Encoded, public: "Integers", words: int) -> None:
        """`public` are the places of the public passages, `words` the width of the bags of words."""
        import numpy as np
        import torch

        from models.retrieval.lexical import Lexicon, bags

        self._questions, self._passages, self._words = questions, passages, words
        is_public = np.zeros(len(passages), bool)
        is_public[public] = True
        self._lexicon = Lexicon(*_words(passages, is_public))
        weights = self._lexicon.rarity(passages.words)
        private = np.repeat(~is_public, np.diff(passages.starts))
        if private.any():
            # What is in every mail says little of one; private passages' vectors do not leave the machine.
            mails = Lexicon(*_words(passages, ~is_public)).rarity(passages.words)
            weights = np.where(private, np.minimum(weights, mails), weights)
        weights = np.where(~private & (passages.sentence == 0), TITLE * weights, weights)
        self._vectors = torch.from_numpy(passages.vectors), torch.from_numpy(questions.vectors)
        self._bags = torch.from_numpy(bags(passages.words, passages.starts, weights, words))

    def first_query(self, retriever: "Retriever", rows: "Integers") -> "Tensor":
        """What asks for the first hop of these questions."""
        device = retriever.log_scale.device
        asked = self._terms(self._questions, rows, rows, device)
        return retriever.first_query(self._vectors[1][rows].to(device), asked)

    def second_query(self, retriever: "Retriever", rows: "Integers", places: "Integers") -> "Tensor":
        """What asks for the second hop of these questions, each with its first passage."""
        device = retriever.log_scale.device
        asked = self._terms(self._questions, rows, rows, device)
        found = self._terms(self._passages, places, rows, device)
        vectors = self._vectors[1][rows].to(device), self._vectors[0][places].to(device)
        return retriever.second_query(*vectors, asked, found)

    def passages(self, retriever: "Retriever", places: "Integers | Tensor") -> "Tensor":
        """Vectors of these passages, of the shape of `places` and one axis more."""
        device = retriever.log_scale.device
        return retriever.passages(self._vectors[0][places].to(device), self._bags[places].to(device))

    def example(self) -> "dict[str, Tensor]":
        """The first passage as the retriever reads it."""
        return {"vectors": self._vectors[0][:1], "bags": self._bags[:1]}

    def _terms(self, encoded: Encoded, texts: "Integers", rows: "Integers", device: "torch.device") -> "Terms":
        """The tokens of these texts, padded, each text read for one of the questions `rows`."""
        import numpy as np
        import torch

        from models.retrieval.lexical import places_and_signs
        from models.retrieval.mdr import Terms

        checksums, real, at = _padded(encoded, texts)
        asked, _, _ = _padded(self._questions, rows)
        begins = np.ones_like(real)
        begins[:, 1:] = checksums[:, 1:] != checksums[:, :-1]
        in_question = (checksums[:, :, None] == asked[:, None]).any(2) & (checksums != 0)
        head, capital = (encoded.sentence[at] == 0) & real, (encoded.capital[at] == 1) & real
        begin = real & (np.arange(real.shape[1]) < BEGIN)
        marks = np.stack([in_question, head, capital, begin], -1).astype(np.float32)
        rarity = self._lexicon.rarity(checksums) * begins
        features = torch.from_numpy(encoded.tokens[at]) * torch.from_numpy(encoded.scale)
        arrays = (real, marks, *places_and_signs(checksums, self._words), rarity)
        return Terms(features.to(device), *(torch.from_numpy(each).to(device) for each in arrays))


class Trained:
    """A trained retriever that makes vectors for a search; what it made once it keeps."""

    def __init__(self, retriever: "Retriever", frozen: Frozen) -> None:
        self._retriever, self._frozen = retriever.eval(), frozen
        self._known: dict[tuple[int, int], Floats] = {}

    @classmethod
    def load(cls, folder: Path, questions: Encoded, passages: Encoded, public: "Integers") -> "Trained":
        """The retriever that `save_retriever` wrote, for these questions and passages, of which `public` are public."""
        retriever = load_retriever(folder)
        return cls(retriever, Frozen(questions, passages, public, retriever.sizes.words))

    def index(self, passages: int) -> "Floats":
        """The vectors of the first so many passages, all of them for an index."""
        import numpy as np
        import torch

        with torch.inference_mode():
            made: Floats = self._frozen.passages(self._retriever, np.arange(passages)).numpy()
        return made

    def first(self, rows: "Integers") -> "Floats":
        """The first hop's queries of these questions."""
        import numpy as np
        import torch

        with torch.inference_mode():
            parts = [
                self._frozen.first_query(self._retriever, rows[at : at + ROWS]).numpy()
                for at in range(0, len(rows), ROWS)
            ]
        return np.concatenate(parts)

    def second(self, rows: "Integers", places: "Integers") -> "Floats":
        """The second hop's queries of these questions, each with its first passage."""
        import numpy as np
        import torch

        pairs = list(zip(rows.tolist(), places.tolist(), strict=True))
        fresh = np.array(sorted(set(pairs) - set(self._known), key=lambda pair: pair[::-1]), np.int64).reshape(-1, 2)
        with torch.inference_mode():
            for at in range(0, len(fresh), ROWS):
                part = fresh[at : at + ROWS]
                made = self._frozen.second_query(self._retriever, part[:, 0], part[:, 1]).numpy()
                self._known.update(zip(map(tuple, part.tolist()), made, strict=True))
        return np.stack([self._known[pair] for pair in pairs])


def save_retriever(retriever: "Retriever", folder: Path) -> None:
    """Write retriever.safetensors, with the sizes that `load_retriever` makes it anew from."""
    from safetensors.torch import save_file

    # In one entry, for entries of metadata are written in any order.
    sizes = {"sizes": json.dumps(retriever.sizes._asdict())}
    save_file(dict(retriever.state_dict()), folder / "retriever.safetensors", metadata=sizes)


def say_final(retriever: "Retriever", frozen: Frozen) -> None:
    """Say that the saved retriever is a final one, with a passage as an example."""
    say_model(__name__, retriever.eval().passages, frozen.example())


def _load_pyfunc(path: str) -> Loaded:
    """The retriever as MLflow loads it: from frozen vectors and bags of words to the vectors of an index."""
    return Loaded(load_retriever(Path(path)).passages)


def load_retriever(folder: Path) -> "Retriever":
    """Read what `save_retriever` wrote, without dropout."""
    from safetensors import safe_open

    from models.retrieval.mdr import Retriever, Sizes

    with safe_open(folder / "retriever.safetensors", "pt") as file:
        sizes = Sizes(**json.loads(file.metadata()["sizes"]))
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    retriever = Retriever(sizes)
    retriever.load_state_dict(state)
    return retriever.eval()


def _padded(encoded: Encoded, rows: "Integers") -> "tuple[NDArray[np.uint32], NDArray[np.bool_], Integers]":
    """The words of these texts, 0 in the padding; which tokens are no padding; and where in `encoded` they are."""
    import numpy as np

    counts = (encoded.starts[rows + 1] - encoded.starts[rows])[:, None]
    column = np.arange(int(counts.max(initial=1)))
    real = column < counts
    at = np.where(real, encoded.starts[rows][:, None] + column, 0)
    return np.where(real, encoded.words[at], np.uint32(0)), real, at


def _words(encoded: Encoded, chosen: "NDArray[np.bool_]") -> "tuple[NDArray[np.uint32], Integers]":
    """The words of the chosen texts, one after the other, and where each text's begin."""
    import numpy as np

    counts = np.diff(encoded.starts)
    return encoded.words[np.repeat(chosen, counts)], np.concatenate([[0], np.cumsum(counts[chosen])])
