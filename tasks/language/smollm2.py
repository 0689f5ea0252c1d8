"""SmolLM2, a small language model read from a GGUF file: it answers prompts, and says how likely an answer is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.base.errors import UserError


class SmolLM2:
    """An instruction-tuned decoder out of a folder with one GGUF file; weights are read as float32.

    Decoding is greedy. A prompt gets the same answer alone and in a batch: padding stands on the left, is masked, and
    does not count as a position.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        """Load the one *.gguf of `folder`; a `UserError` says what is wrong with it."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        files = sorted(folder.glob("*.gguf"))
        if len(files) != 1:
            raise UserError(f"{folder} has {len(files)} .gguf files: point the source at a folder with exactly one.")
        logging.disable_progress_bar()
        torch.set_num_threads(threads)
        name = files[0].name
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, gguf_file=name, local_files_only=True)
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        if self._tokenizer.chat_template is None:
            raise UserError(f"{files[0]} has no chat template: take an instruction-tuned model.")
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        loaded = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, local_files_only=True, dtype=torch.float32, attn_implementation="sdpa"
        )
        self._model: Any = loaded.eval().to(self._device)

    def answer(
        self, prompts: Sequence[str], max_new_tokens: int = 16, instruction: str = "", batch: int = 32
    ) -> list[str]:
        """What the model says to each prompt, a user's message, in the order of `prompts`.

        `instruction` is the system message that all prompts share (without it, the model's own).
        """
        import torch

        chats = [self._chat(prompt, instruction) for prompt in prompts]
        lengths = [len(ids) for ids in self._tokenizer(chats, add_special_tokens=False)["input_ids"]] if chats else []
        order = sorted(range(len(chats)), key=lambda row: (lengths[row], row))
        said = [""] * len(chats)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            tokens = self._tokenizer(
                [chats[row] for row in rows], add_special_tokens=False, padding=True, return_tensors="pt"
            ).to(self._device)
            with torch.inference_mode():
                made = self._model.generate(
                    **tokens,
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                    temperature=None,
                    top_p=None,
                    top_k=None,
                    pad_token_id=self._tokenizer.pad_token_id,
                    eos_token_id=self._tokenizer.eos_token_id,
                )
            new = made[:, tokens["input_ids"].shape[1] :]
            for row, text in zip(rows, self._tokenizer.batch_decode(new, skip_special_tokens=True), strict=True):
                said[row] = text.strip()
        return said

    def log_likelihood(self, prompt: str, answer: str) -> float:
        """The natural logarithm of the probability that the model's answer to `prompt` begins with `answer`."""
        import torch

        before = self._tokenizer(self._chat(prompt), add_special_tokens=False)["input_ids"]
        after = self._tokenizer(answer, add_special_tokens=False)["input_ids"]
        ids = torch.tensor([before + after], device=self._device)
        with torch.inference_mode():
            logs = self._model(input_ids=ids).logits[0, len(before) - 1 : -1].log_softmax(-1)
        return float(logs.gather(1, ids[0, len(before) :, None]).sum())

    def _chat(self, prompt: str, instruction: str = "") -> str:
        """`prompt` as a user's message in the model's own format, up to where the assistant begins to speak."""
        system = [{"role": "system", "content": instruction}] if instruction else []
        messages = [*system, {"role": "user", "content": prompt}]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
