"""A language of tones: each letter is one, so that a small model learns it in seconds, and the truth is known."""

import gzip
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from tasks.speech.media import SoundWriter

RATE = 16000
LETTERS = {"a": 500.0, "b": 900.0, "c": 1500.0, "d": 2400.0}
LONG = 0.11
"""Seconds of a letter."""
WORDS = ("ab", "ba", "cad", "dab", "bad", "ca", "acd", "db")


def spoken(text: str, seed: int = 0) -> NDArray[np.float32]:
    """The tones of a text, with a pause after each letter and a longer one after each word."""
    chance = np.random.default_rng(seed)
    parts = [np.zeros(RATE // 20)]
    for word in text.split():
        for letter in word:
            times = np.arange(round(LONG * RATE)) / RATE
            parts += [0.3 * np.sin(2 * np.pi * LETTERS[letter] * times), np.zeros(RATE // 50)]
        parts.append(np.zeros(RATE // 10))
    sound = np.concatenate(parts)
    return (sound + 1e-3 * chance.standard_normal(len(sound))).astype(np.float32)


def sentences(count: int, seed: int = 0) -> list[str]:
    chance = Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(1, 4))) for _ in range(count)]


def packages(root: Path, count: int = 60) -> tuple[Path, Path]:
    """Folders of sound and of transcripts as the prompts' packages have them, with lines that are no speech."""
    sounds, texts = root / "sounds", root / "texts"
    (sounds / "digits").mkdir(parents=True)
    texts.mkdir()
    lines = ["; a comment", "beep: [a tone]", "nowhere: ab", "digits/7: dab", "broken: b?d", "seven: ca 7"]
    named = {f"p{number}": text for number, text in enumerate(sentences(count))}
    for number, (name, text) in enumerate([*named.items(), ("digits/7", "dab"), ("beep", "a"), ("seven", "ca dab")]):
        with SoundWriter(sounds / f"{name}.g722", RATE, 1, "g722") as writer:
            writer.write(spoken(text, number)[:, None])
    (sounds / "broken.g722").write_bytes(b"")
    lines += [f"{name}: {text.upper()}." for name, text in named.items()]
    with gzip.open(texts / "core-sounds-en.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return sounds, texts
