"""The text half: documents without images as tokens, by a tokenizer that knows the captions, too."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Index, config
from tasks.base import spool
from tasks.base.errors import UserError
from tasks.base.files import write_json
from tasks.language.documents import read_summaries
from tasks.learning.tokens import train_tokenizer
from tasks.transfusion.images import every_caption, read_images, with_fresh

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKENIZER, TOKENS = "tokenizer.json", "tokens.safetensors"

TEXT_SPLITS = ("train", "validation", "test")


@config
class Texts:
    """So many ids of text, and documents: `train` (0: all that are left), `validation` and `test`, drawn by the seed.

    Of a held-out document the first `longest` bytes are kept, so that none weighs much more than others. What was a
    test document with one of the seeds `looked_at` is none with this one.
    """

    seed: Index = 0
    looked_at: tuple[Index, ...] = ()
    vocabulary: Count = 512
    train: Index = 0
    validation: Count = 100
    test: Count = 300
    longest: Count = 400


def prepare_texts(*, wikipedia: Path, images: Path, config: Texts, out: Path) -> None:
    """Write tokenizer.json, and tokens.safetensors: for each split its ids (each document after END) and starts.

    `token_bytes` has the bytes of each id, so that bits a byte are exact. A document is in one split alone.
    """
    import numpy as np
    from safetensors.numpy import save_file

    documents = sorted({document.text for document in read_summaries(wikipedia) if document.text})
    held = config.validation + config.test
    if len(documents) <= held:
        raise UserError(f"There are {len(documents)} documents, and {held} are to be held out: hold out fewer.")

    def shuffled(seed: int) -> "NDArray[np.int64]":
        return np.random.default_rng(seed).permutation(len(documents))

    known = [number for seed in config.looked_at for number in shuffled(seed)[config.validation : held].tolist()]
    order = with_fresh(shuffled(config.seed), config.validation, config.test, known)
    texts = [documents[each] for each in order.tolist()]
    splits = {"validation": texts[: config.validation], "test": texts[config.validation : held]}
    splits["train"] = texts[held : held + config.train] if config.train else texts[held:]
    captions = list(every_caption(read_images(images)))
    tokenizer = train_tokenizer([*splits["train"], *captions * (1 + len(splits["train"]) // 10)], config.vocabulary)
    tokenizer.save(str(out / TOKENIZER))
    names = [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())]
    tensors = {"token_bytes": np.array([0, *map(len, names[1:])], np.uint16)}
    sizes = []
    for split in TEXT_SPLITS:
        kept = [text if split == "train" else _begun(text, config.longest) for text in splits[split]]
        ids = [[0, *encoding.ids] for encoding in tokenizer.encode_batch_fast(kept)]
        tensors[split] = np.concatenate([np.array(each, np.uint16) for each in ids])
        tensors[f"{split}.starts"] = np.cumsum([0, *map(len, ids)])[:-1]
        sizes.append({"split": split, "documents": len(ids), "tokens": len(tensors[split])})
    save_file(tensors, out / TOKENS)
    write_json(out / "sizes.json", sizes)
    spool.table("texts", sizes)


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer; its token 0 is END."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / TOKENIZER))


def read_tokens(folder: Path) -> "dict[str, NDArray[np.generic]]":
    """Ids and starts of each split, and `token_bytes`."""
    from safetensors.numpy import load_file

    stored: dict[str, NDArray[np.generic]] = load_file(folder / TOKENS)
    return stored


def _begun(text: str, longest: int) -> str:
    """The beginning of a text, at most so many bytes, ending with a whole character."""
    return text.encode()[:longest].decode(errors="ignore")
