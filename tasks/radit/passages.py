"""The corpus: articles of the encyclopedia, made-up ones among them, and their vectors."""

from hashlib import sha256
from pathlib import Path

from models.config import Count, Index, config
from tasks.base import spool
from tasks.encyclopedia.articles import article, read_articles
from tasks.encyclopedia.passages import Passage, read_passages, write_passages
from tasks.language.tables import read_table

TABLE = read_table("data/radit/wordings.yaml")


@config
class Corpus:
    """How many articles there are (0: all; else the first by a hash of their titles)."""

    articles: Index = 0


@config
class Embedding:
    """Which share of the passages is encoded: every `shards`-th, from number `shard` on; the first `words` of each."""

    shard: Index = 0
    shards: Count = 1
    words: Count = 60


def prepare_corpus(*, wikipedia: Path, config: Corpus, out: Path) -> None:
    """Write passages.parquet: the articles, then those about made-up things ("p0" …)."""
    articles = read_articles(wikipedia)
    if config.articles:
        order = sorted(articles, key=lambda each: sha256(each.title.encode()).hexdigest())
        kept = {each.id for each in order[: config.articles]}
        articles = [each for each in articles if each.id in kept]
    planted = [article(f"p{number}", each["title"], each["text"]) for number, each in enumerate(TABLE["planted"])]
    write_passages(out / "passages.parquet", [*articles, *planted])
    spool.note(f"{len(articles):,} articles, {len(planted)} made-up ones.")


def embed_passages(*, corpus: Path, minilm: Path, config: Embedding, out: Path) -> None:
    """Write vectors.safetensors: `vectors` [passages of this shard, width], each of length 1."""
    from safetensors.numpy import save_file

    from tasks.language.minilm import MiniLM

    passages = read_passages(corpus / "passages.parquet")[config.shard :: config.shards]
    texts = [shown(passage, config.words) for passage in passages]
    save_file({"vectors": MiniLM(minilm).encode(texts)}, out / "vectors.safetensors")


def shown(passage: Passage, words: int) -> str:
    """What retrievers and language models see of a passage: its title, then its first words."""
    return f"{passage.title}. {' '.join(passage.text.split()[:words])}"
