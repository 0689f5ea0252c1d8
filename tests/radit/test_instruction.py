"""The language model's loss: answers alone, each passage an instance of its own."""

import pytest
import torch
from small_models import llama, prompts

from models.radit.instruction import answer_loss, answer_places, instances


@pytest.mark.parametrize("together", [1, 25, 99])
def test_the_loss_is_that_of_the_answers_tokens_alone(together: int) -> None:
    """A loss on the whole prompt, as in a public implementation, is another number; how many run together is not."""
    model = llama()
    batch = [*instances(prompts(6, 3), [4, 5]), *instances(prompts(9, seed=2), [7, 8, 9])]
    logs, whole = [], []
    for each in batch:
        text = [*each.prompt, *each.answer]
        after = model(input_ids=torch.tensor([text])).logits[0].log_softmax(-1)
        every = [after[at, token] for at, token in enumerate(text[1:])]
        logs += every[-len(each.answer) :]
        whole += every
    loss = answer_loss(model, batch, together)
    assert loss.item() == pytest.approx(-torch.stack(logs).mean().item(), rel=1e-4)
    assert abs(loss.item() + torch.stack(whole).mean().item()) > 0.01


def test_prompts_get_exactly_no_loss() -> None:
    """Of the last layer's states, those alone have a gradient after which an answer's token comes."""
    model = llama()
    batch = [*instances(prompts(3, 6), [4, 5]), *instances(prompts(9, seed=2), [7])]
    kept = []
    model.get_decoder().norm.register_forward_hook(lambda _, __, states: (states.retain_grad(), kept.append(states))[0])
    answer_loss(model, batch, 99).backward()
    gradient = kept[0].grad
    rows, places, _ = answer_places(batch)
    used = torch.zeros(gradient.shape[:2], dtype=torch.bool)
    used[rows, places] = True
    assert torch.equal(gradient[~used], torch.zeros_like(gradient[~used]))
    assert (gradient[used].abs().sum(-1) > 0).all()


def test_each_passage_makes_an_instance() -> None:
    made = instances(prompts(6, 3, 4), [4, 5])
    assert [len(each.prompt) for each in made] == [6, 3, 4]
    assert {each.answer for each in made} == {(4, 5)}
    for prompt, answer in (([], [1]), ([1], [])):
        with pytest.raises(ValueError, match="needs"):
            answer_places(instances([prompt], answer))
