"""A public implementation of the retriever's step, where it is installed: whether its loss reaches the retriever."""

from importlib import metadata
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from models.radit.supervision import retriever_loss

SEEN = "0.0.27"
"""The version of fed-rag whose code was read; another one may have been mended."""


def test_fed_rags_loss_does_not_reach_its_retriever() -> None:
    """Where it did, ours would not be the first that is verified, and the page that says so would be wrong.

    Its collator gives scores as numbers, and its trainer takes the loss of these alone: here they come from a layer,
    which our own loss, of the same scores and likelihoods, moves.
    """
    pytest.importorskip("fed_rag")
    if (installed := metadata.version("fed-rag")) != SEEN:
        pytest.skip(f"fed-rag {installed} is installed; the code that was read is {SEEN}")
    collators = pytest.importorskip("fed_rag.data_collators.huggingface.lsr")
    losses = pytest.importorskip("fed_rag.loss.pytorch.lsr")
    torch.manual_seed(0)
    retriever, passages, query = nn.Linear(4, 4), torch.randn(3, 4), torch.randn(4)
    likelihood = torch.tensor([0.1, 0.7, 0.2])

    def scores() -> torch.Tensor:
        return passages @ retriever(query)

    def node(score: torch.Tensor) -> Any:
        content = {"text_content": "a passage"}
        return SimpleNamespace(score=score.item(), node=SimpleNamespace(get_content=lambda: content))

    told = iter(likelihood)
    generator = SimpleNamespace(compute_target_sequence_proba=lambda **_: next(told))
    system = SimpleNamespace(retrieve=lambda _: [node(each) for each in scores()], generator=generator)
    collator = SimpleNamespace(
        rag_system=system,
        prompt_template="{query} {context}",
        target_template="{response}",
        default_return_tensors="pt",
    )
    batch = collators.DataCollatorForLSR.__call__(collator, [{"query": "q", "response": "a"}])
    loss = losses.LSRLoss()(batch["retrieval_scores"], batch["lm_scores"])
    if loss.requires_grad:
        loss.backward()
    assert retriever.weight.grad is None, "its loss reaches the retriever: say so, and drop this test"
    retriever_loss(scores()[None], likelihood[None]).backward()
    assert retriever.weight.grad is not None
    assert float(retriever.weight.grad.abs().sum()) > 0
