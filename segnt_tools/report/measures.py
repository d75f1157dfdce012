"""The numbers of a report: one name, one value and one way to write each, for the page, JSON, TSV and MultiQC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Value = float | int | str | None
MISSING = "not known"


class Unit(StrEnum):
    """How a value is written."""

    COUNT = "count"
    BASES = "bp"
    SHARE = "share"
    NUMBER = "number"
    PROBABILITY = "probability"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a run.

    Attributes:
        key: name in JSON and TSV.
        label: name for people.
        value: None where it is not known.
        unit: how it is written.
    """

    key: str
    label: str
    value: Value
    unit: Unit = Unit.COUNT

    @property
    def text(self) -> str:
        """The value for people."""
        return written(self.value, self.unit)


def written(value: Value, unit: Unit) -> str:
    """A value as people read it: thousands separated, shares in percent."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    if unit is Unit.SHARE:
        return f"{100 * value:.1f} %"
    if unit is Unit.PROBABILITY:
        return f"{value:.3f}"
    if unit is Unit.BASES:
        return bases(value)
    if unit is Unit.NUMBER:
        return f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,.0f}"


def bases(count: float) -> str:
    """A number of bases with the fitting unit."""
    for limit, divisor, unit in ((1e9, 1e9, "Gb"), (1e6, 1e6, "Mb"), (1e4, 1e3, "kb")):
        if count >= limit:
            return f"{count / divisor:,.2f} {unit}"
    return f"{count:,.0f} bp"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: `1 gene`, `2,000 genes`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def ratio(part: float, whole: float) -> float | None:
    """part / whole, or None if there is no whole."""
    return part / whole if whole else None


@dataclass(frozen=True, slots=True)
class Distribution:
    """Where the values of a sample lie.

    Attributes:
        count: size of the sample.
        mean: arithmetic mean.
        quantiles: 5 %, 25 %, 50 %, 75 % and 95 %.
        least, most: the extremes.
    """

    count: int
    mean: float
    quantiles: tuple[float, float, float, float, float]
    least: float
    most: float

    @property
    def median(self) -> float:
        """The 50 % quantile."""
        return self.quantiles[2]

    @classmethod
    def of(cls, values: NDArray[np.generic]) -> Distribution | None:
        """The distribution of a sample; None for an empty one."""
        if not values.size:
            return None
        numbers = values.astype(np.float64)
        low, first, median, third, high = (float(q) for q in np.quantile(numbers, (0.05, 0.25, 0.5, 0.75, 0.95)))
        return cls(
            int(numbers.size),
            float(numbers.mean()),
            (low, first, median, third, high),
            float(numbers.min()),
            float(numbers.max()),
        )

    def as_json(self) -> dict[str, float | int]:
        """JSON-ready values."""
        names = ("q05", "q25", "median", "q75", "q95")
        quantiles = {name: round(value, 4) for name, value in zip(names, self.quantiles, strict=True)}
        return {
            "count": self.count,
            "mean": round(self.mean, 4),
            "min": round(self.least, 4),
            **quantiles,
            "max": round(self.most, 4),
        }
