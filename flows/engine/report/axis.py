"""An axis: where a value lies on it, and the round numbers beside it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

THOUSANDS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k"))


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, values: Iterable[float], *, log: bool = False, room: float = 0.08) -> "Axis":
        """An axis that holds the values, with some room at both ends."""
        finite = [value for value in values if math.isfinite(value)] or [0.0]
        low, high = min(finite), max(finite)
        if log:
            factor = (high / low) ** room if high > low else 2.0
            return cls(low / factor, high * factor, log=True)
        wide = (high - low) * room or abs(high) * 0.1 or 1.0
        return cls(low - wide, high + wide)

    def at(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high one, and beyond these outside of it."""
        if math.isinf(value):
            return 2.0 if value > 0 else -1.0
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def percent(self, value: float) -> float:
        """The same in percent of its length, at an end for what lies beyond it."""
        return round(100 * min(1.0, max(0.0, self.at(value))), 1)

    def holds(self, value: float) -> bool:
        return 0 <= self.at(value) <= 1

    def ticks(self, about: int = 4) -> list[float]:
        """So many round numbers, more or less."""
        if self.log:
            return self._log_ticks(about)
        step = _round((self.high - self.low) / about)
        first = math.ceil(self.low / step)
        return [round(step * number, 12) for number in range(first, math.floor(self.high / step) + 1)]

    def _log_ticks(self, about: int) -> list[float]:
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        within = (1, 2, 5) if len(decades) < about else (1,)
        every = [digit * 10.0**decade for decade in decades for digit in within]
        return [tick for tick in every if self.holds(tick)]


def _round(step: float) -> float:
    """The next number of 1, 2, 2.5, 5 or 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(digit * power for digit in (1, 2, 2.5, 5, 10) if digit * power >= step * 0.999)


def short(value: float) -> str:
    """A number as it stands at a tick."""
    for size, letter in THOUSANDS:
        if abs(value) >= size:
            thousand = size if letter != "k" else 1e3
            return f"{value / thousand:g}{letter}"
    return f"{value:.4g}".replace("-", "−")
