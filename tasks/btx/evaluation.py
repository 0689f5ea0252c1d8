"""Evaluation of Branch-Train-MiX: bits per byte of every arm, where the routers send text, what each cost."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from models.config import Count, Index, Positive, config
from models.flops import forward_flops
from tasks.base import spool
from tasks.base.files import write_json
from tasks.base.measures import measures
from tasks.btx.training import GENERALIST, domain_in
from tasks.learning.bits import Windows, bits_per_byte, cut_windows, log_probabilities
from tasks.learning.stored import load_architecture, load_model
from tasks.learning.tokens import Text
from tasks.learning.train import keep_freed_memory

if TYPE_CHECKING:
    from torch import Tensor

    from models.transformer import Decoder

MIXED = "mixed"
"""The held-out documents that switch from one domain to another."""

Row = dict[str, Any]


@config
class Evaluation:
    """`windows` of held-out text a domain; the first `prefix` tokens of each are read but not scored.

    `permutations` of the documents' domains make the null of the mutual information, and as many more the
    shuffled control. `noise` is the planted control: how much noise, in units of each weight
    matrix's standard deviation, spoils a copy of the finetuned mixture.
    """

    seed: Index
    windows: Count = 400
    prefix: Count = 16
    permutations: Count = 200
    noise: Positive = 0.2


@measures(
    bits_per_byte="bits per byte on held-out text after the prefix; lower is better",
    gate_share="share of the gates that a domain's tokens give an expert, mean of the layers",
    mutual_information="bits that the chosen expert tells about the domain, mean of the layers",
    mutual_information_null="95th percentile of the same with the documents' domains permuted",
    mutual_information_shuffled="mean of the same over as many other permutations",
    minimum_load="smallest share of the gates of any expert in any layer, over all domains",
    expert_distance="smallest distance of two experts: |a - b| / (|a| + |b|) over their weights",
    flops="training operations after the seed (for the seed, its own)",
    tokens="training tokens after the seed (for the seed, its own)",
    serial_steps="optimiser steps that must follow one another, after the seed (for the seed, its own)",
    learning_rate="peak learning rate",
    inference_flops="operations to predict one token",
)
def evaluate(
    *,
    tokens: Path,
    seed_model: Path,
    experts: dict[str, Path],
    merged: Path,
    models: dict[str, Path],
    config: Evaluation,
    out: Path,
) -> None:
    """Score every arm on the same positions of the same text: metrics.json, and examples.parquet by document.

    Arms: seed; expert-DOMAIN; soup (the average of experts and seed); merged (the mixture before
    finetuning); each label of `models`, of which `btx` is the finetuned mixture and those that
    begin with btx cost what the experts cost, too; btm-top-1, btm-top-2
    and btm-oracle (Branch-Train-Merge, Li et al. 2022); btx-uniform-router, btx-random-router and the
    planted control btx-noised. Domains: each, `mean` (their plain mean), `mixed`, and for btx
    `shuffled`, a control whose tokens are in random order.
    """
    import torch

    from models.moe import average, expert_layers

    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    text = Text.load(tokens)
    # In the order of the mixture's experts, by the domain that each was really trained on.
    experts = {domain_in(text, name): folder for name, folder in sorted(experts.items())}
    seed = load_model(seed_model)
    context = seed.config.context
    splits = {domain: cut_windows(text, f"heldout/{domain}", context, config.windows) for domain in text.domains}
    splits[MIXED] = cut_windows(text, MIXED, context, config.windows, around="mixed.switches")

    members = {name: load_model(folder) for name, folder in experts.items()} | {GENERALIST: seed}
    arms: dict[str, Decoder] = {
        (name if name == GENERALIST else f"expert-{name}"): model for name, model in members.items()
    }
    soup = load_model(seed_model)
    soup.load_state_dict(average([model.state_dict() for model in members.values()]))
    arms |= {"soup": soup, "merged": load_model(merged)}
    arms |= {label: load_model(folder) for label, folder in models.items()}
    if "btx" in models:
        torch.manual_seed(config.seed)
        arms |= {f"btx-{kind}-router": _ablated(models["btx"], kind) for kind in ("uniform", "random")}
        arms["btx-noised"] = _noised(models["btx"], config.noise)

    rows: list[Row] = []
    logs: dict[str, dict[str, Tensor]] = {}
    for arm, model in arms.items():
        model.to(device).eval()
        with _Gates(model) as gates:
            logs[arm] = {split: log_probabilities(model, windows) for split, windows in splits.items()}
        if expert_layers(model) and not arm.endswith(("-router", "-noised")):
            rows += _routing(arm, gates.shares(splits), splits, list(members), config)
            rows.append({"arm": arm, "expert_distance": _closest(model)})

    ensemble = {name: logs[arm] for name, arm in zip(members, list(arms)[: len(members)], strict=True)}
    owners = {domain: torch.full_like(splits[domain].targets, _index(members, domain)) for domain in text.domains}
    owners[MIXED] = _owners_of_mixed(text, splits[MIXED], tokens, members)
    for split, windows in splits.items():
        stack = torch.stack([logs_of[split] for logs_of in ensemble.values()])
        for top in (1, 2):
            merged_logs = btm(stack, (windows.bytes > 0), config.prefix, top)
            logs.setdefault(f"btm-top-{top}", {})[split] = merged_logs
        logs.setdefault("btm-oracle", {})[split] = stack.gather(0, owners[split][None])[0]

    for arm, by_split in logs.items():
        values = {split: bits_per_byte(by_split[split], splits[split], config.prefix) for split in splits}
        values["mean"] = sum(values[domain] for domain in text.domains) / len(text.domains)
        rows += [{"arm": arm, "domain": domain, "bits_per_byte": value} for domain, value in values.items()]
    if "btx" in models:
        shuffled = _shuffled(splits[text.domains[0]], config.seed)
        value = bits_per_byte(log_probabilities(arms["btx"], shuffled), shuffled, config.prefix)
        rows.append({"arm": "btx", "domain": "shuffled", "bits_per_byte": value})
    rows += _costs(seed_model, experts, models)
    rows = [{**row, "seed": config.seed} for row in rows]
    write_json(out / "metrics.json", rows)
    documents = [row for arm, by_split in logs.items() for row in _of_documents(arm, by_split, splits, config.prefix)]
    _write_examples(out / "examples.parquet", [{**row, "seed": config.seed} for row in documents])
    for column in ("bits_per_byte", "gate_share", "flops"):
        spool.table(column, [row for row in rows if column in row])


def _of_documents(arm: str, logs: "Mapping[str, Tensor]", splits: "Mapping[str, Windows]", prefix: int) -> list[Row]:
    """Bits per byte of each document, with the weight at which their mean is the domain's: its bytes.

    In the domain `mean` each document weighs by its share of its own domain's bytes, so that domains count alike.
    """
    import torch

    rows = []
    for split, windows in splits.items():
        lengths = windows.bytes[:, prefix:]
        spent = -(logs[split][:, prefix:].double() * (lengths > 0)).sum(1) / math.log(2)
        count = int(windows.document.max()) + 1
        bits = torch.zeros(count, dtype=torch.float64).index_add(0, windows.document, spent)
        sizes = torch.zeros(count, dtype=torch.int64).index_add(0, windows.document, lengths.sum(1))
        for document in torch.nonzero(sizes)[:, 0].tolist():
            size = int(sizes[document])
            shares = {split: float(size)} | ({"mean": size / int(sizes.sum())} if split != MIXED else {})
            rows += [
                {
                    "arm": arm,
                    "domain": domain,
                    "document": f"{split} {document}",
                    "bits_per_byte": float(bits[document]) / size,
                    "weight": weight,
                }
                for domain, weight in shares.items()
            ]
    return rows


def _write_examples(path: Path, rows: list[Row]) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def btm(logs: "Tensor", inside: "Tensor", prefix: int, top: int) -> "Tensor":
    """Branch-Train-Merge: average the distributions of the experts that a prefix points to.

    `logs` are the experts' log-probabilities of the targets, (experts, windows, context). The posterior
    over experts comes from the first `prefix` targets alone, under equal priors; the `top` experts are
    weighed by it (Li et al. 2022, section 3, with its cached prior replaced by equal ones).
    """
    import torch

    evidence = (logs * inside)[:, :, :prefix].sum(-1)
    best, chosen = evidence.topk(top, dim=0)
    weights = best.log_softmax(0)[..., None]
    picked = logs.gather(0, chosen[..., None].expand(-1, -1, logs.shape[-1]))
    return torch.logsumexp(picked + weights, 0)


def mutual_information(gates: "Tensor", domain: "Tensor", domains: int) -> float:
    """Bits between expert and domain, from gate shares (windows, experts) and each window's domain.

    Domains count equally, whatever the number of their windows.
    """
    import torch

    joint = torch.stack([gates[domain == index].mean(0) for index in range(domains)]).double() / domains
    product = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return float(torch.special.xlogy(joint, joint / product).nan_to_num(0.0).sum()) / math.log(2)


class _Gates:
    """Collects what each mixture layer decides while a model reads the splits one after the other."""

    def __init__(self, model: "Decoder") -> None:
        from models.moe import expert_layers

        self.layers = expert_layers(model)
        self.seen: list[list[Tensor]] = [[] for _ in self.layers]

    def __enter__(self) -> Self:
        self.hooks = [
            layer.register_forward_hook(lambda module, _, __, seen=seen: seen.append(module.routing.gates.cpu()))
            for layer, seen in zip(self.layers, self.seen, strict=True)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def shares(self, splits: "Mapping[str, Windows]") -> "dict[str, Tensor]":
        """Mean gates of each window's tokens, by split: (layers, windows, experts)."""
        import torch

        sizes = [windows.targets.shape for windows in splits.values()]
        layers = [torch.split(torch.cat(seen), [count * length for count, length in sizes]) for seen in self.seen]
        shares = {}
        for index, (split, windows) in enumerate(splits.items()):
            gates = torch.stack([layer[index].view(*sizes[index], -1) for layer in layers])
            inside = (windows.bytes > 0)[None, ..., None]
            shares[split] = (gates * inside).sum(2) / inside.sum(2).clamp(min=1)
        return shares


def _routing(
    arm: str,
    shares: "dict[str, Tensor]",
    splits: "Mapping[str, Windows]",
    experts: list[str],
    config: Evaluation,
) -> list[Row]:
    """Rows about where a mixture sends text: gate shares, mutual information and its null, the least load."""
    import torch

    domains = [split for split in splits if split != MIXED]
    rows: list[Row] = []
    for domain in (*domains, MIXED):
        means = shares[domain].mean((0, 1)).tolist()
        rows += [
            {"arm": arm, "domain": domain, "expert": expert, "gate_share": value}
            for expert, value in zip(experts, means, strict=True)
        ]
    gates = torch.cat([shares[domain] for domain in domains], 1)
    labels = torch.cat([torch.full_like(splits[d].document, i) for i, d in enumerate(domains)])
    # Windows of one document move together, since they are not independent draws.
    documents = torch.cat([splits[domain].document for domain in domains])
    groups = torch.unique(labels * 1_000_000 + documents, return_inverse=True)[1]
    of_group = torch.zeros(int(groups.max()) + 1, dtype=labels.dtype).scatter(0, groups, labels)

    def information(by_window: "Tensor") -> float:
        return sum(mutual_information(layer, by_window, len(domains)) for layer in gates) / len(gates)

    generator = torch.Generator().manual_seed(config.seed)
    permuted = [
        information(of_group[torch.randperm(len(of_group), generator=generator)][groups])
        for _ in range(2 * config.permutations)
    ]
    null, shuffled = torch.tensor(permuted).chunk(2)
    load = torch.stack([shares[domain].mean(1) for domain in domains]).mean(0)
    rows.append(
        {
            "arm": arm,
            "mutual_information": information(labels),
            "mutual_information_null": null.quantile(0.95).item(),
            "mutual_information_shuffled": shuffled.mean().item(),
            "minimum_load": load.min().item(),
        }
    )
    return rows


def _ablated(folder: Path, kind: str) -> "Decoder":
    """The finetuned mixture with a router that weighs all experts equally, or with a new random one."""
    import torch

    from models.moe import expert_layers

    model = load_model(folder)
    for layer in expert_layers(model):
        if kind == "uniform":
            layer.top_k = layer.router.out_features
            torch.nn.init.zeros_(layer.router.weight)
        else:
            torch.nn.init.normal_(layer.router.weight, std=layer.router.weight.detach().std().item())
    return model


def _noised(folder: Path, noise: float) -> "Decoder":
    """The finetuned mixture with noise on every weight matrix: its evaluation must find that it is worse."""
    import torch

    model = load_model(folder)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.add_(noise * weight.std() * torch.randn_like(weight))
    return model


def _closest(model: "Decoder") -> float:
    """The distance of the two most similar experts."""
    import torch

    from models.moe import expert_distances

    distances = expert_distances(model)
    first, second = torch.triu_indices(len(distances), len(distances), offset=1)
    return float(distances[first, second].min())


def _shuffled(windows: "Windows", seed: int) -> "Windows":
    """The same windows with the tokens of each in random order: what a model must find harder."""
    from dataclasses import replace

    import torch

    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(windows.targets.shape, generator=generator).argsort(1)
    targets, sizes = windows.targets.gather(1, order), windows.bytes.gather(1, order)
    inputs = torch.cat([windows.inputs[:, :1], targets[:, :-1]], 1)
    return replace(windows, inputs=inputs, targets=targets, bytes=sizes)


def _index(members: Mapping[str, Any], name: str) -> int:
    """The place of a domain's expert, or of the generalist where the domain has none."""
    names = list(members)
    return names.index(name if name in names else GENERALIST)


def _owners_of_mixed(text: Text, windows: "Windows", tokens: Path, members: Mapping[str, Any]) -> "Tensor":
    """For each target of the mixed documents, the expert of the domain that it belongs to."""
    import torch

    sides = json.loads((tokens / "mixed.json").read_text())
    pairs = torch.tensor([[_index(members, side["first"]), _index(members, side["second"])] for side in sides])
    switch = torch.from_numpy(text.streams["mixed.switches"])[windows.document]
    place = windows.starts[:, None] + 1 + torch.arange(windows.targets.shape[1])
    return pairs[windows.document].gather(1, (place >= switch[:, None]).long())


def _costs(seed_model: Path, experts: dict[str, Path], models: dict[str, Path]) -> list[Row]:
    """What each arm cost to train after the seed, and what one token costs it to predict."""
    dense = forward_flops(*load_architecture(seed_model))
    rows = [_cost("seed", [], seed_model, dense)]
    rows += [_cost(f"expert-{name}", [], folder, dense) for name, folder in experts.items()]
    branches = list(experts.values())
    rows += [_cost(f"btm-top-{top}", branches, None, top * dense) for top in (1, 2)]
    for name, folder in models.items():
        before = branches if name.startswith("btx") else []
        rows.append(_cost(name, before, folder, forward_flops(*load_architecture(folder))))
    return rows


def _cost(arm: str, parallel: list[Path], last: Path | None, inference_flops: int) -> Row:
    """The cost of trainings that run beside each other and one that follows them."""
    branches = [json.loads((folder / "training.json").read_text()) for folder in parallel]
    final = [json.loads((last / "training.json").read_text())] if last else []
    every = branches + final
    return {
        "arm": arm,
        "flops": sum(training["flops"] for training in every),
        "tokens": sum(training["tokens"] for training in every),
        "serial_steps": max((t["steps"] for t in branches), default=0) + sum(t["steps"] for t in final),
        "learning_rate": every[0]["learning_rate"],
        "inference_flops": inference_flops,
    }
