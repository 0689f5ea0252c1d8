"""Fast scoring and ensembles give what a plain loop over prompts gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import WORDS, llama, prompts

from models.radit.decoder import Decoder, by_length
from models.radit.ensemble import answer_log_probability, mixture, mixtures, passage_weights
from models.radit.generation import Asked, answered, generate

MODEL = llama()
HEAD = prompts(7, seed=9)[0]
END = 3


def plain(text: list[int]) -> torch.Tensor:
    """Log probabilities after each token of one text, alone and unpadded."""
    with torch.inference_mode():
        logs: torch.Tensor = MODEL(input_ids=torch.tensor([text])).logits[0].log_softmax(-1)
    return logs


@pytest.mark.parametrize("head", [[], HEAD])
@pytest.mark.parametrize("batch_tokens", [1, 30, 1000])
def test_answers_score_as_in_a_plain_loop(head: list[int], batch_tokens: int) -> None:
    """Padding that is seen, positions that are shifted or a head that is forgotten would all change the numbers."""
    asked, answers = prompts(3, 11, 1, 6, 4), prompts(2, 1, 4, 3, 1, seed=5)
    found = Decoder(MODEL, head).answers(asked, answers, batch_tokens)
    for prompt, answer, logs in zip(asked, answers, found, strict=True):
        text = [*head, *prompt, *answer]
        at = len(text) - len(answer) - 1
        expected = [plain(text)[at + i, token].item() for i, token in enumerate(answer)]
        assert logs.tolist() == pytest.approx(expected, abs=1e-4)


def test_an_answer_may_follow_the_head_at_once() -> None:
    (found,) = Decoder(MODEL, HEAD).answers([[]], [[5, 6]])
    assert found[0].item() == pytest.approx(plain(HEAD)[-1, 5].item(), abs=1e-4)
    for prompt, answer in (([], [5]), ([4], [])):
        with pytest.raises(ValueError, match="nothing"):
            Decoder(MODEL).answers([prompt], [answer])


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 120))
@settings(deadline=None)
def test_batches_hold_every_row_once_and_not_too_many_tokens(lengths: list[int], most: int) -> None:
    batches = list(by_length(lengths, most))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= most for batch in batches)


def test_probabilities_are_averaged_and_not_logits() -> None:
    logs = torch.tensor([[0.9, 0.1], [0.001, 0.999]]).log()
    weights = torch.tensor([0.5, 0.5])
    assert mixture(logs, weights).exp().tolist() == pytest.approx([0.4505, 0.5495])
    logits = (0.5 * logs).sum(0).log_softmax(-1).exp()
    assert abs(logits[0].item() - 0.4505) > 0.1
    grouped = mixtures(torch.cat([logs, logs[:1]]), torch.tensor([0.5, 0.5, 1.0]), torch.tensor([0, 0, 1]), 2)
    assert grouped.tolist() == [pytest.approx([0.4505, 0.5495]), pytest.approx([0.9, 0.1])]


def test_an_answers_probability_is_mixed_token_by_token() -> None:
    weights = passage_weights(torch.tensor([1.0, 0.0, 3.0]))
    assert weights.tolist() == pytest.approx([0.1142, 0.0420, 0.8438], abs=1e-4)
    tokens = torch.log(torch.tensor([[0.5, 0.1], [0.2, 0.2], [0.1, 0.9]]))
    expected = 1.0
    for step in range(2):
        expected *= sum(weights[c].item() * tokens[c, step].exp().item() for c in range(3))
    assert answer_log_probability(tokens, weights).exp().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("head", [[], HEAD])
def test_the_answer_to_each_prompt_has_its_own_probability(head: list[int]) -> None:
    """Catches a probability of another prompt's answer, of padding, or of the token that ends it."""
    texts = prompts(5, 2, 9)
    found = answered(Decoder(MODEL, head), texts, lambda token: token == END, longest=4)
    for text, (said, log) in zip(texts, found, strict=True):
        whole, expected = [*head, *text], 0.0
        for _ in range(4):
            logs = plain(whole)[-1]
            token = int(logs.argmax())
            if token == END and len(whole) > len(head) + len(text):
                break
            whole.append(token)
            expected += logs[token].item()
        assert said == whole[len(head) + len(text) :]
        assert log == pytest.approx(expected, abs=1e-4)


def test_no_answer_is_shorter_than_it_may_be() -> None:
    """A question gets a word, however likely silence is."""
    texts = prompts(*range(1, 13), seed=2)
    asked = [Asked((row,), (1.0,)) for row in range(12)]
    free, held = (generate(Decoder(MODEL), texts, asked, END, longest=4, shortest=least) for least in (0, 2))
    assert any(len(said) < 2 for said in free)
    assert all(len(said) >= 2 for said in held)
    kept = [(a, b) for a, b in zip(free, held, strict=True) if len(a) >= 2]
    assert kept
    assert all(a == b for a, b in kept)


def by_brute_force(texts: list[list[int]], weights: list[float], longest: int) -> list[int]:
    """One token after the other, each passage's whole text run anew for each."""
    said: list[int] = []
    while len(said) < longest:
        mixed = sum(w * plain([*text, *said])[-1].exp() for text, w in zip(texts, weights, strict=True))
        token = int(torch.as_tensor(mixed).argmax())
        if token == END:
            break
        said.append(token)
    return said


@pytest.mark.parametrize("head", [[], HEAD])
@pytest.mark.parametrize("at_once", [2, 5, 100])
def test_an_ensembles_answer_is_that_of_brute_force(head: list[int], at_once: int) -> None:
    """Rows that end early are left out on the way: the others must not notice."""
    generator = torch.Generator().manual_seed(3)
    # Some are read apart from others that are much longer.
    texts = prompts(*torch.randint(1, 40, (24,), generator=generator).tolist(), seed=2)
    asked = [Asked((row,), (1.0,)) for row in range(12)]
    asked += [Asked((row, row + 1, row + 12), (0.5, 0.2, 0.3)) for row in range(12)]
    found = generate(Decoder(MODEL, head), texts, asked, END, longest=6, at_once=at_once)
    lengths = set()
    for each, said in zip(asked, found, strict=True):
        expected = by_brute_force([[*head, *texts[row]] for row in each.prompts], list(each.weights), 6)
        assert said == expected
        lengths.add(len(said))
    assert len(lengths) > 1, "every answer has the same length, so nothing ended early"
    assert max(max(each, default=0) for each in found) < WORDS
