"""Settings of the methods of speech, importable without torch."""

from typing import Literal

from models.config import Count, Fraction, Index, NotNegative, Positive, config

BLANK = 0
"""The token of CTC that says nothing."""


@config
class Search:
    """Beam search over prefixes of words (Graves 2012; Hannun et al. 2014; the settings of flashlight's decoder).

    Each frame keeps the best `beam` hypotheses within `threshold` nats of the best one, tried with the `tokens`
    likeliest tokens (0: all); a prefix counts twice where it may have ended in blank or not. `model_weight` times the
    n-gram model's log probabilities and `word_score` a word are added. A frame whose blank has a probability of at
    least `blank_skip` is left out where the frame before it was such a one, too (1: none is). `merge` adds up the
    alignments of a hypothesis, or takes their best.
    """

    beam: Count = 50
    tokens: Index = 0
    threshold: Positive = 25.0
    model_weight: NotNegative = 0.0
    word_score: float = 0.0
    blank_skip: Fraction = 1.0
    merge: Literal["sum", "max"] = "sum"


@config
class Acoustic:
    """Two convolutions, of which each halves the frames as often as `strides` says, and a bidirectional GRU."""

    tokens: Count
    mels: Count = 40
    width: Count = 160
    layers: Count = 2
    strides: tuple[int, int] = (2, 2)
    dropout: Fraction = 0.1
