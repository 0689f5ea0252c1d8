"""SmolLM2, a small language model: it answers prompts, and says how likely an answer is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from tasks.base.errors import UserError

Precision = Literal["bfloat16", "float32"]

END = "\n"
"""What ends an answer to a prompt that is no message."""


@dataclass(frozen=True)
class Said:
    """What the model says, and the mean log-probability of its tokens (the end among them): how sure it is."""

    text: str
    confidence: float


class SmolLM2:
    """An instruction-tuned decoder: a folder with one GGUF file, or with what `convert` made of it.

    Decoding is greedy. A prompt gets the same answer alone and in a batch: padding stands on the left, is masked, and
    does not count as a position.
    """

    def __init__(
        self, folder: Path, threads: int = 1, precision: Precision = "float32", adapter: Path | None = None
    ) -> None:
        """Load it, with the adapter of a folder merged into its weights; a `UserError` says what is wrong with it."""
        import torch

        torch.set_num_threads(threads)
        model, self.tokenizer = _read(folder, getattr(torch, precision))
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if self.tokenizer.chat_template is None:
            raise UserError(f"{folder}: the model has no chat template: take an instruction-tuned one.")
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model: Any = model.eval().to(self._device)

    def answer(
        self, prompts: Sequence[str], max_new_tokens: int = 16, instruction: str = "", batch: int = 32
    ) -> list[str]:
        """What the model says to each prompt, a user's message, in the order of `prompts`.

        `instruction` is the system message that all prompts share (without it, the model's own).
        """
        chats = [self._chat(prompt, instruction) for prompt in prompts]
        return [said.text for said in self._said(chats, max_new_tokens, [], batch)]

    def complete(self, prompts: Sequence[str], max_new_tokens: int = 16, batch: int = 16) -> list[Said]:
        """How the model goes on after each prompt, which is no message, up to the end of the line."""
        ends = self.tokenizer(END, add_special_tokens=False)["input_ids"]
        return self._said(prompts, max_new_tokens, ends, batch)

    def log_likelihood(self, prompt: str, answer: str) -> float:
        """The natural logarithm of the probability that the model's answer to `prompt` begins with `answer`."""
        import torch

        before = self.tokenizer(self._chat(prompt), add_special_tokens=False)["input_ids"]
        after = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([before + after], device=self._device)
        with torch.inference_mode():
            logs = self.model(input_ids=ids).logits[0, len(before) - 1 : -1].log_softmax(-1)
        return float(logs.gather(1, ids[0, len(before) :, None]).sum())

    def _said(self, texts: Sequence[str], longest: int, ends: list[int], batch: int) -> list[Said]:
        """What comes after each text, up to one of the tokens `ends` or the model's own end."""
        import torch

        if not texts:
            return []
        ends = [*ends, self.tokenizer.eos_token_id]
        lengths = [len(ids) for ids in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
        order = sorted(range(len(texts)), key=lambda row: (lengths[row], row))
        said = [Said("", 0.0)] * len(texts)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            tokens = self.tokenizer(
                [texts[row] for row in rows], add_special_tokens=False, padding=True, return_tensors="pt"
            ).to(self._device)
            with torch.inference_mode():
                made = self.model.generate(
                    **tokens,
                    max_new_tokens=longest,
                    do_sample=False,
                    temperature=None,
                    top_p=None,
                    top_k=None,
                    pad_token_id=self.tokenizer.pad_token_id,
                    eos_token_id=ends,
                    output_scores=True,
                    return_dict_in_generate=True,
                )
            new = made.sequences[:, tokens["input_ids"].shape[1] :]
            logs = torch.stack(made.scores, 1).float().log_softmax(-1).gather(2, new[..., None])[..., 0]
            # What follows the first end is padding.
            is_end = torch.isin(new, torch.tensor(ends, device=new.device)).long()
            counts = is_end.cumsum(1) - is_end == 0
            means = ((logs * counts).sum(1) / counts.sum(1)).tolist()
            for row, tokens_said, own, mean in zip(rows, new, counts, means, strict=True):
                said[row] = Said(self.tokenizer.decode(tokens_said[own], skip_special_tokens=True).strip(), mean)
        return said

    def _chat(self, prompt: str, instruction: str = "") -> str:
        """`prompt` as a user's message in the model's own format, up to where the assistant begins to speak."""
        system = [{"role": "system", "content": instruction}] if instruction else []
        messages = [*system, {"role": "user", "content": prompt}]
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def convert(folder: Path, out: Path) -> None:
    """Write the model of a GGUF file in Hugging Face's layout and in bfloat16, which is read in a second."""
    import torch
    from safetensors.torch import save_file

    model, tokenizer = _read(folder, torch.float32)
    # `transformers` writes no model that came from a GGUF file, though its weights are plain numbers by now.
    tied = model.config.tie_word_embeddings
    state = {
        name: weight.to(torch.bfloat16).contiguous()
        for name, weight in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    model.config.dtype = "bfloat16"
    del model.config.quantization_config
    model.config.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _read(folder: Path, precision: Any) -> tuple[Any, Any]:
    """The model and its tokenizer out of either kind of folder."""
    import gguf
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    how: dict[str, Any] = {"local_files_only": True}
    if not (folder / "config.json").is_file():
        files = sorted(folder.glob("*.gguf"))
        if len(files) != 1:
            raise UserError(f"{folder} has {len(files)} .gguf files: point the source at a folder with exactly one.")
        how["gguf_file"] = files[0].name
    # `transformers` reads a GGUF file once for each of configuration, tokenizer and weights: seconds each time.
    with patch.object(gguf, "GGUFReader", cache(gguf.GGUFReader)):
        tokenizer = AutoTokenizer.from_pretrained(folder, **how)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=precision, attn_implementation="sdpa", **how)
    return model, tokenizer
