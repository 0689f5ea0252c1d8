"""`tenfold rag`: index one's own documents, tune the retriever on them, and ask."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.engine.console import console, cores
from flows.engine.progress import progress
from tasks.base.determinism import set_process_environment
from tasks.base.errors import UserError

app = typer.Typer(no_args_is_help=True, help="Index your documents, tune a retriever on them, and ask (RA-DIT).")

EXCERPT = 240
"""Characters of a passage that are shown."""
MOST = 5
"""How many unread files of a reason are named."""

Documents = Annotated[Path, typer.Argument(metavar="DOCS", help="A folder of text, Markdown, HTML and PDF files.")]
Encoder = Annotated[
    Path | None, typer.Option(help="A sentence encoder of the BERT family in Hugging Face's layout; else MiniLM.")
]
Model = Annotated[
    Path | None, typer.Option("--lm", help="A causal language model in Hugging Face's layout; else SmolLM2-135M.")
]


@app.command()
def index(documents: Documents, encoder: Encoder = None) -> None:
    """Index a folder: the first time all of it, later what is new or has changed.

    An interrupted run goes on where it stopped. What cannot be read is named, and the rest goes on.

    Example:

        tenfold rag index ~/notes
    """
    from tools.rag import store

    set_process_environment()
    library, folder = store.library(documents), _encoder(encoder)
    if store.made_by_another(library, folder):
        console.print("The index was made by another encoder: it is made anew with this one.")
    with progress("documents indexed") as tell:
        done, skipped, passages = store.bring_up_to_date(library, folder, lambda done: tell(done.items))
    console.print(
        f"{documents}: {done.items:,} documents, {done.added:,} of them new or changed, {done.gone:,} gone since the "
        f"last time; {passages:,} passages.",
        markup=False,
    )
    for reason, names in sorted(skipped.names.items()):
        more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
        console.print(f"not read ({reason}): {', '.join(names[:MOST])}{more}", markup=False)


@app.command()
def tune(
    documents: Documents,
    questions: Annotated[
        Path | None, typer.Option(help="JSON lines with question and answer; else pieces of the documents.")
    ] = None,
    encoder: Encoder = None,
    lm: Model = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the lessons.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="What is drawn at random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what came of it as JSON.")] = False,
) -> None:
    """Tune the query encoder on your documents by what makes the language model's answers likely.

    A quarter of the lessons is held out; a retriever that is worse on them than before is not kept, and the command
    fails. The index stays as it is.

    Examples:

        tenfold rag tune ~/notes

        tenfold rag tune ~/notes --questions qa.jsonl
    """
    from tasks.radit.retriever_tuning import RetrieverTuning
    from tools.rag import lessons, store
    from tools.rag.tuning import Tuner

    set_process_environment()
    library, folder = store.library(documents), _encoder(encoder)
    opened = store.opened(library, folder)
    if questions is None:
        made, problems = lessons.pieces(opened.passages, seed), list[str]()
    else:
        made, problems = lessons.read_questions(questions, opened.passages)
    for problem in problems:
        console.print(problem, markup=False)
    learned, judged = lessons.split(made, seed)
    model, words = _model(lm, None)
    tuner = Tuner(opened, folder, model, words, RetrieverTuning(seed=seed, epochs=epochs, drawn=1.0))
    with progress("lessons scored") as tell:
        tuned = tuner.tune(learned, judged, library, tell)
    if as_json:
        print(json.dumps(asdict(tuned), indent=1))
    else:
        table = Table("held-out lessons", *(f"R@{cut}" for cut in tuned.before.recall), "log p of an answer's token")
        for name, quality in (("before", tuned.before), ("after", tuned.after)):
            table.add_row(name, *(f"{value:.3f}" for value in quality.recall.values()), f"{quality.likelihood:.3f}")
        console.print(table)
        console.print(f"Learned from {tuned.learned:,} lessons, judged by {tuned.judged:,} others.")
    if not tuned.kept:
        raise UserError("The tuned retriever is worse on them, so the one of before stays: give more questions.")
    if not as_json:
        console.print(
            f"The tuned query encoder is in {library.tuned}, where sentence-transformers finds it, too.", markup=False
        )


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    documents: Annotated[Path | None, typer.Option("--docs", help="The folder; else the one indexed last.")] = None,
    encoder: Encoder = None,
    lm: Model = None,
    adapter: Annotated[Path | None, typer.Option(help="An adapter of peft for the language model.")] = None,
    k: Annotated[int, typer.Option("--passages", "-k", min=1, max=50, help="Passages in the ensemble.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
) -> None:
    """Answer from your documents, with the passages and their weights, and what the untuned system would have said.

    The answer is a small language model's, which is often wrong: see the passages.

    Example:

        tenfold rag ask "Who brings the ladder?" --docs ~/notes
    """
    from tools.rag import answering, store

    set_process_environment()
    if not question.strip():
        raise UserError("The question is empty: ask something.")
    library, folder = store.library(documents), _encoder(encoder)
    opened = store.opened(library, folder)
    model, words = _model(lm, adapter)
    reply, *others = [
        answering.ask(question, opened, each, model, words, k) for each in answering.encoders(library, folder)
    ]
    before = [asdict(each) for each in others]
    if adapter is not None:
        plain, plain_words = _model(lm, None)
        before = [asdict(answering.ask(question, opened, folder, plain, plain_words, k))]
    if as_json:
        print(json.dumps({**asdict(reply), "untuned": before[0] if before else None}, indent=1, ensure_ascii=False))
        return
    console.print(f"[bold]{escape(reply.answer) or 'Nothing was said.'}[/]")
    table = Table("weight", "passage", "text", title="Passages", title_justify="left", show_lines=True)
    for used in reply.passages:
        text = used.text if len(used.text) <= EXCERPT else used.text[:EXCERPT].rsplit(" ", 1)[0] + " …"
        table.add_row(f"{used.weight:.2f}", escape(used.name), escape(text))
    console.print(table)
    if before:
        console.print(f"Untuned: {before[0]['answer']}", markup=False)


def _encoder(given: Path | None) -> Path:
    from flows.engine.fetched import fetched

    if given is None:
        return fetched("minilm")
    if not (given / "config.json").is_file() or not (given / "model.safetensors").is_file():
        raise UserError(
            f"{given} has no config.json with model.safetensors: give a folder with a sentence encoder in Hugging "
            "Face's layout."
        )
    return given


def _model(given: Path | None, adapter: Path | None) -> Any:
    """The language model and its words."""
    import torch

    from flows.engine.fetched import fetched
    from tasks.radit.language_models import load_model
    from tools.rag.language_model import unpacked

    torch.set_num_threads(cores())
    if adapter is not None and not (adapter / "adapter_config.json").is_file():
        raise UserError(f"{adapter} has no adapter_config.json: give a folder that peft has saved.")
    return load_model(unpacked(fetched("smollm2")) if given is None else given, adapter)
