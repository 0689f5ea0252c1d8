"""The acoustic model: two convolutions and a bidirectional GRU, from log-mel spectra to log probabilities of tokens."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models.speech.features import HOP, RATE
from models.speech.settings import Acoustic


class AcousticModel(nn.Module):
    """`forward` takes spectra [texts, frames, mels] and their numbers of frames, and gives log probabilities.

    `mean` and `deviation` [mels] are those of the training data: spectra are normalised by them, whoever speaks.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: Acoustic) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.register_buffer("mean", torch.zeros(config.mels))
        self.register_buffer("deviation", torch.ones(config.mels))
        channels = (config.mels, width)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, width, 5, stride, padding=2)
            for before, stride in zip(channels, config.strides, strict=True)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in config.strides)
        between = config.dropout if config.layers > 1 else 0.0
        self.recurrent = nn.GRU(width, width, config.layers, batch_first=True, bidirectional=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(2 * width, config.tokens)

    @property
    def seconds(self) -> float:
        """How long one of its frames is."""
        return HOP * self.stride / RATE

    @property
    def stride(self) -> int:
        """Spectra in one of its frames."""
        first, second = self.config.strides
        return first * second

    def frames(self, spectra: Tensor) -> Tensor:
        """How many frames come of so many spectra."""
        for stride in self.config.strides:
            spectra = (spectra - 1) // stride + 1
        return spectra

    def forward(self, spectra: Tensor, lengths: Tensor) -> Tensor:
        """Log probabilities, [texts, frames, tokens]; what lies beyond a text's frames is meaningless."""
        there = torch.arange(spectra.shape[1], device=spectra.device) < lengths[:, None]
        hidden = (spectra - self.mean) / self.deviation * there[:, :, None]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            hidden = nn.functional.gelu(norm(convolution(hidden.transpose(1, 2)).transpose(1, 2)))
            lengths = (lengths - 1) // convolution.stride[0] + 1  # type: ignore[index]
            there = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
            hidden = hidden * there[:, :, None]
        packed = pack_padded_sequence(self.dropout(hidden), lengths.cpu(), batch_first=True, enforce_sorted=False)
        hidden, _ = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=hidden.shape[1])
        logs: Tensor = self.head(self.dropout(hidden)).log_softmax(-1)
        return logs


def emissions(
    model: AcousticModel, spectrum: NDArray[np.float32], window: int = 3000, context: int = 200
) -> NDArray[np.float32]:
    """Log probabilities of a spectrum of any length, [frames, tokens], by windows with `context` on either side.

    Sound within one window is heard whole. Beyond the context the recurrent part no longer hears what came before,
    which changes probabilities little and keeps memory constant.
    """
    step = window // model.stride * model.stride
    around = context // model.stride * model.stride
    pieces = []
    with torch.inference_mode():
        for start in range(0, len(spectrum), step):
            begin, end = max(0, start - around), min(len(spectrum), start + step + around)
            piece = torch.from_numpy(spectrum[begin:end])[None]
            found = model(piece, torch.tensor([end - begin]))[0].numpy()
            first = (start - begin) // model.stride
            count = int(model.frames(torch.tensor(min(step, len(spectrum) - start))))
            pieces.append(found[first : first + count])
    tokens = model.config.tokens
    return np.concatenate(pieces) if pieces else np.zeros((0, tokens), np.float32)
