"""How likely the untuned language model finds each answer after each passage: what the retriever learns from."""

from collections.abc import Sequence
from pathlib import Path

from models.config import Count, Index, config
from tasks.base.files import write_json
from tasks.encyclopedia.passages import Passage, read_passages
from tasks.radit.examples import Example, read_examples
from tasks.radit.language_models import digest, load_model
from tasks.radit.passages import shown
from tasks.radit.prompts import Words, head, prompt
from tasks.radit.retrieval import read_found


@config
class Scoring:
    """The first `k` passages of each example; this shard scores every `shards`-th example from number `shard` on."""

    shard: Index = 0
    shards: Count = 1
    k: Count = 6
    shots: Index = 5
    words: Count = 60


def score(*, corpus: Path, tasks: Path, retrieved: Path, model: Path, config: Scoring, out: Path) -> None:
    """Write likelihoods.parquet: example, the places of its passages, and p_LM of the answer's token after each.

    Examples of train, validation and text, but for those that no passage answers. model.json holds the hash of the
    language model's weights.
    """
    import pyarrow
    import pyarrow.parquet

    from models.radit.decoder import Decoder
    from models.radit.supervision import likelihoods

    passages = read_passages(corpus / "passages.parquet")
    found = read_found(retrieved)["minilm"]
    examples = [e for e in read_examples(tasks, "train", "validation", "text") if e.task != "unanswerable"]
    examples = examples[config.shard :: config.shards]
    lm, words = load_model(model)
    decoder = Decoder(lm, words.tokens(head(tasks, config.shots)))
    pairs = [(e, place) for e in examples for place in found[e.id].places[: config.k]]
    logs = iter(decoder.answers(*_tokens(pairs, passages, words, config.words)))
    rows = []
    for each in examples:
        places = found[each.id].places[: config.k]
        likelihood = likelihoods([[next(logs) for _ in places]])[0].tolist()
        rows.append({"example": each.id, "places": list(places), "likelihood": likelihood})
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), out / "likelihoods.parquet")
    write_json(out / "model.json", {"sha256": digest(lm)})


def _tokens(
    pairs: Sequence[tuple[Example, int]], passages: Sequence[Passage], words: Words, seen: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts and answers; a text goes on after its own beginning, and a question is answered."""
    prompts, answers = [], []
    for example, place in pairs:
        passage = shown(passages[place], seen)
        if example.task == "text":
            prompts.append(words.tokens(f"Background: {passage}\n\n{example.asked}"))
        else:
            prompts.append(words.tokens(prompt(example.asked, passage)))
        answers.append(words.answer(example.answers[0]))
    return prompts, answers


def read_likelihoods(folders: Sequence[Path]) -> dict[str, tuple[tuple[int, ...], tuple[float, ...]]]:
    """The places and likelihoods of each example's passages, out of all shards."""
    import pyarrow.parquet

    return {
        row["example"]: (tuple(row["places"]), tuple(row["likelihood"]))
        for folder in folders
        for row in pyarrow.parquet.read_table(folder / "likelihoods.parquet").to_pylist()
    }
