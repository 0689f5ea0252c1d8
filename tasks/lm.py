"""Language modelling on documents: tokenizer, token streams, pre-training, and bits per byte."""

import json
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.config import Count, Fraction, Index, Mixture, Optimisation, Transformer, config
from models.flops import training_flops
from tasks import spool
from tasks.errors import UserError
from tasks.train import Plateau, Training, train

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from models.transformer import Decoder

END = "<|end|>"
"""The token that begins every document and so separates it from the one before."""


@config
class Tokenization:
    """A byte-level BPE tokenizer, trained on the same number of bytes of each domain.

    `train_bytes` is the most text a domain brings to training, `validation` the share of its training
    documents that is kept aside for the plateau rule.
    """

    vocabulary: Count = 1024
    sample_bytes: Count = 500_000
    train_bytes: Count = 100_000_000
    validation: Fraction = 0.02


@config
class Pretraining:
    """The seed model: trained on all domains in equal shares until its validation stops improving."""

    architecture: Transformer
    optimisation: Optimisation
    plateau: Plateau
    seed: Index


def tokenize(*, corpus: Path, config: Tokenization, out: Path) -> None:
    """Train the tokenizer and write every split as token ids.

    Writes tokenizer.json; tokens.safetensors with, for each split/domain (train, validation, heldout)
    and for `mixed`, the stream of ids (uint16, each document after END) and where its documents start,
    for mixed documents also the token at which they switch; token_bytes, the length of each token, so
    that bits per byte are exact; domains.json, in order; sizes.json.
    """
    import numpy as np
    from pyarrow import parquet
    from safetensors.numpy import save_file

    rows = parquet.read_table(corpus / "train.parquet").to_pylist()
    heldout = parquet.read_table(corpus / "heldout.parquet").to_pylist()
    mixed = parquet.read_table(corpus / "mixed.parquet").to_pylist()
    domains = sorted({row["domain"] for row in rows})
    splits: dict[str, list[str]] = {}
    for domain in domains:
        texts = _up_to([row["text"] for row in rows if row["domain"] == domain], config.train_bytes)
        aside = max(1, round(len(texts) * config.validation))
        splits[f"train/{domain}"] = texts[aside:]
        splits[f"validation/{domain}"] = texts[:aside]
        splits[f"heldout/{domain}"] = [row["text"] for row in heldout if row["domain"] == domain]
    sample = [t for d in domains for t in _up_to(splits[f"train/{d}"], config.sample_bytes)]
    tokenizer = train_tokenizer(sample, config.vocabulary)
    tokenizer.save(str(out / "tokenizer.json"))
    lengths = _token_bytes(tokenizer)

    tensors: dict[str, np.ndarray] = {"token_bytes": lengths}
    sizes = []
    for name, texts in (*splits.items(), ("mixed", [row["text"] for row in mixed])):
        documents = [[0, *encoding.ids] for encoding in tokenizer.encode_batch_fast(texts)]
        ids = np.concatenate([np.array(document, np.uint16) for document in documents])
        tensors[name] = ids
        tensors[f"{name}.starts"] = np.cumsum([0, *map(len, documents)])[:-1]
        count = sum(len(text.encode()) for text in texts)
        if count != int(lengths[ids].sum()):
            raise UserError(f"The tokens of {name} do not spell its text; the tokenizer lost bytes.")
        sizes.append({"split": name, "documents": len(texts), "bytes": count, "tokens": len(ids)})
    switches = [row["switch_byte"] for row in mixed]
    tensors["mixed.switches"] = _positions(tensors["mixed"], tensors["mixed.starts"], switches, lengths)
    save_file(tensors, out / "tokens.safetensors")
    write_json(out / "domains.json", domains)
    write_json(out / "mixed.json", [{"first": row["first"], "second": row["second"]} for row in mixed])
    write_json(out / "sizes.json", sizes)
    spool.table("tokens", sizes)


def pretrain(*, tokens: Path, config: Pretraining, out: Path) -> None:
    """Train a dense model from random weights on all domains in equal shares, to a plateau or the limit."""
    import torch

    from models.transformer import Decoder

    text = Text.load(tokens)
    if config.architecture.vocabulary < len(text.token_bytes):
        raise UserError(f"The tokenizer has {len(text.token_bytes)} tokens; the architecture allows fewer.")
    torch.manual_seed(config.seed)
    model = Decoder(config.architecture)
    shares = dict.fromkeys(text.domains, 1.0)
    done = fit(model, text, shares, config.optimisation, ("seed", config.seed), plateau=config.plateau)
    save_model(model, config.optimisation, done, out)


@dataclass(frozen=True)
class Text:
    """The output of `tokenize`, in memory: streams by split/domain, and the bytes of each token."""

    streams: "dict[str, np.ndarray]"
    domains: list[str]
    token_bytes: "np.ndarray"

    @classmethod
    def load(cls, folder: Path) -> "Text":
        """Read the output folder of `tokenize`."""
        from safetensors.numpy import load_file

        streams = load_file(folder / "tokens.safetensors")
        return cls(streams, json.loads((folder / "domains.json").read_text()), streams.pop("token_bytes"))


def fit(
    model: "Decoder",
    text: Text,
    shares: Mapping[str, float],
    optimisation: Optimisation,
    key: tuple[str, int],
    *,
    balance: float = 0.0,
    plateau: Plateau | None = None,
) -> Training:
    """Train a dense or mixture decoder on the training text, domains drawn by their `shares`.

    `key`, a name and a seed, decides the order of the data. `balance` weighs the load-balancing loss
    of each mixture layer (BTX, section 3.2).
    """
    from models.moe import balance_loss, expert_layers
    from models.transformer import next_token_loss

    layers = expert_layers(model)
    mixture = Mixture(experts=layers[0].router.out_features, top_k=layers[0].top_k) if layers else None
    context = model.config.context

    def loss(trained: "nn.Module", batch: "Tensor") -> "Tensor":
        total = next_token_loss(trained(batch[:, :-1]), batch[:, 1:])
        if balance:
            total = total + balance * sum(balance_loss(layer.routing) for layer in layers if layer.routing)
        return total

    def validate(trained: "nn.Module") -> float:
        values = []
        for domain in text.domains:
            windows = cut_windows(text, f"validation/{domain}", context, 32)
            values.append(bits_per_byte(log_probabilities(trained, windows), windows))
        return sum(values) / len(values)

    per_step = optimisation.batch * context
    return train(
        model,
        batch=sampler(text, shares, optimisation.batch, context, key),
        loss=loss,
        config=optimisation,
        tokens_per_step=per_step,
        flops_per_step=per_step * training_flops(model.config, mixture),
        validate=validate if plateau else None,
        plateau=plateau,
    )


def sampler(
    text: Text, shares: Mapping[str, float], batch: int, context: int, key: tuple[str, int]
) -> "Callable[[int], torch.Tensor]":
    """A function from the step to (batch, context + 1) token ids: random windows of the training streams.

    Each row draws its domain by `shares` and its place uniformly, from a generator made of the key and
    the step alone.
    """
    import numpy as np
    import torch

    streams = [text.streams[f"train/{domain}"] for domain in shares]
    room = np.array([len(stream) - context for stream in streams])
    if room.min() < 1:
        raise UserError(f"A domain has fewer training tokens than the context of {context}.")
    base = np.cumsum([0, *map(len, streams)])[:-1]
    everything = np.concatenate(streams)
    weights = np.array(list(shares.values()))
    weights = weights / weights.sum()
    name, seed = zlib.crc32(key[0].encode()), key[1]

    def batch_of(step: int) -> torch.Tensor:
        random = np.random.default_rng([name, seed, step])
        domain = random.choice(len(streams), size=batch, p=weights)
        start = base[domain] + (random.random(batch) * room[domain]).astype(np.int64)
        return torch.from_numpy(everything[start[:, None] + np.arange(context + 1)].astype(np.int64))

    return batch_of


@dataclass(frozen=True)
class Windows:
    """Pieces of held-out documents: `inputs`, `targets` (windows, context) of ids, padded with END.

    `bytes` counts the bytes of each target, zero for padding; `document` numbers each window's
    document; `starts` is the place of each window in the stream.
    """

    inputs: "Tensor"
    targets: "Tensor"
    bytes: "Tensor"
    document: "Tensor"
    starts: "Tensor"


def cut_windows(text: Text, split: str, context: int, limit: int, *, around: str | None = None) -> Windows:
    """At most `limit` windows, evenly spread over the documents of a split, none crossing a document's end.

    With `around`, one window a document instead, with its middle at the position that stream names.
    """
    import numpy as np
    import torch

    stream, starts = text.streams[split], text.streams[f"{split}.starts"]
    ends = np.append(starts[1:], len(stream))
    if around is None:
        begins = [np.arange(start, end - 1, context) for start, end in zip(starts, ends, strict=True)]
        document = np.repeat(np.arange(len(starts)), [len(begin) for begin in begins])
        begin = np.concatenate(begins)
    else:
        begin, document = np.maximum(starts, text.streams[around] - context // 2), np.arange(len(starts))
    chosen = np.linspace(0, len(begin) - 1, min(limit, len(begin))).round().astype(np.int64)
    begin, document = begin[chosen], document[chosen]
    place = begin[:, None] + np.arange(context + 1)
    inside = place < ends[document][:, None]
    ids = np.where(inside, stream[np.minimum(place, len(stream) - 1)], 0).astype(np.int64)
    lengths = text.token_bytes.astype(np.int64)[ids[:, 1:]] * inside[:, 1:]
    arrays = (ids[:, :-1], ids[:, 1:], lengths, document, begin)
    return Windows(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))


def log_probabilities(model: "nn.Module", windows: Windows, batch: int = 16) -> "Tensor":
    """The natural log-probability that the model gives each target, (windows, context), float32."""
    import torch

    device = next(model.parameters()).device
    parts = []
    with torch.inference_mode():
        pairs = zip(torch.split(windows.inputs, batch), torch.split(windows.targets, batch), strict=True)
        for inputs, targets in pairs:
            logits = model(inputs.to(device)).float().flatten(0, 1)
            loss = torch.nn.functional.cross_entropy(logits, targets.to(device).flatten(), reduction="none")
            parts.append(-loss.view(targets.shape).cpu())
    return torch.cat(parts)


def bits_per_byte(logs: "Tensor", windows: Windows, skip: int = 0) -> float:
    """Bits to encode the targets after the first `skip` of each window, over the bytes that they spell."""
    lengths = windows.bytes[:, skip:]
    bits = -(logs[:, skip:].double() * (lengths > 0)).sum().item() / math.log(2)
    return bits / int(lengths.sum())


def save_model(model: "Decoder", optimisation: Optimisation | None, done: Training, out: Path) -> None:
    """Write model.safetensors, config.json (the architecture) and training.json (what it cost)."""
    from safetensors.torch import save_file

    from models.moe import expert_layers

    layers = expert_layers(model)
    mixture = {"experts": layers[0].router.out_features, "top_k": layers[0].top_k} if layers else None
    save_file({name: weight.contiguous() for name, weight in model.state_dict().items()}, out / "model.safetensors")
    write_json(out / "config.json", {"transformer": asdict(model.config), "mixture": mixture})
    write_json(
        out / "training.json",
        {
            "steps": done.steps,
            "tokens": done.tokens,
            "flops": done.flops,
            "learning_rate": optimisation.learning_rate if optimisation else 0.0,
            "ended": done.ended,
            "losses": done.losses,
            "validations": done.validations,
        },
    )


def load_architecture(folder: Path) -> tuple[Transformer, Mixture | None]:
    """The sizes of the model that `save_model` wrote; the second is None for a dense one."""
    settings: dict[str, Any] = json.loads((folder / "config.json").read_text())
    mixture = settings["mixture"]
    return Transformer(**settings["transformer"]), Mixture(**mixture) if mixture else None


def load_model(folder: Path) -> "Decoder":
    """The dense or mixture decoder that `save_model` wrote."""
    from models.moe import mixture_decoder
    from models.transformer import Decoder

    transformer, mixture = load_architecture(folder)
    model = mixture_decoder(transformer, mixture) if mixture else Decoder(transformer)
    model.load_state_dict(load_weights(folder))
    return model


def load_weights(folder: Path) -> "dict[str, Tensor]":
    """The weights that `save_model` wrote, by name."""
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = load_file(folder / "model.safetensors")
    return weights


def train_tokenizer(texts: list[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer (Sennrich et al. 2016) whose token 0 is END; it can spell any text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.encode_special_tokens = True  # text that spells END is text
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return tokenizer


def _token_bytes(tokenizer: Any) -> "np.ndarray":
    """The bytes of each token: byte-level tokens are written with one character a byte. END has none."""
    import numpy as np

    names = [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())]
    return np.array([0 if name == END else len(name) for name in names], np.uint16)


def _positions(stream: "np.ndarray", starts: "np.ndarray", offsets: list[int], lengths: "np.ndarray") -> "np.ndarray":
    """The place in the stream of the first token that ends after each document's byte offset."""
    import numpy as np

    total = np.cumsum(lengths[stream].astype(np.int64))
    return np.asarray(np.searchsorted(total, total[starts] + np.array(offsets), side="right"))


def _up_to(texts: list[str], size: int) -> list[str]:
    """The first documents, until they have brought `size` bytes."""
    kept: list[str] = []
    for text in texts:
        if size <= 0:
            break
        kept.append(text)
        size -= len(text.encode())
    return kept


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON with sorted keys."""
    path.write_text(json.dumps(value, sort_keys=True, indent=1) + "\n", encoding="utf-8")
