"""What is wrong with rows of candles: the kinds, how many there are of each, and the first few of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from futures_agent.interchange.layout import Series, in_order

EXAMPLES_EACH = 3


class Defect(Enum):
    """A kind of bad row; the value is what a person reads."""

    COLUMN_COUNT = "wrong number of columns"
    NOT_A_NUMBER = "not a number"
    MISSING = "a value is missing or infinite"
    UNKNOWN_SYMBOL = "symbol not written as the exchange does"
    UNKNOWN_INTERVAL = "unknown interval"
    NO_TIME = "open_time is not ms UTC"
    OFF_GRID = "open_time off the grid"
    NOT_POSITIVE = "a price is not positive"
    CONTRADICTION = "open or close outside low…high"
    NEGATIVE = "a volume or count is negative"
    FUTURE = "open_time in the future"
    CONFLICT = "same open_time, different values"
    # From here on: set right by a rule that loses nothing.
    FORMING = "still forming: left out"
    DUPLICATE = "same row again: dropped"
    DISORDER = "out of order: sorted"

    @property
    def repaired(self) -> bool:
        """Whether a rule sets it right without losing anything; every other kind is a reason to refuse."""
        return self in (Defect.FORMING, Defect.DUPLICATE, Defect.DISORDER)


class Finding(NamedTuple):
    """One kind of bad row in one series; `series` is None where a row does not tell."""

    series: Series | None
    defect: Defect


class Findings:
    """Counts bad rows by series and kind, and keeps the first few of each as examples.

    Attributes
    ----------
    remarks : Counter of str
        What else a person should know → number of rows.
    """

    def __init__(self) -> None:
        self.remarks: Counter[str] = Counter()
        self.counts: Counter[Finding] = Counter()
        self._examples: dict[Finding, list[str]] = {}
        self._tainted: set[Series] = set()

    def add(self, series: Series | None, defect: Defect, count: int, examples: Iterable[str]) -> None:
        """Count `count` bad rows; `examples` (place and content) is only drawn from as far as needed."""
        if count == 0:
            return
        finding = Finding(series, defect)
        self.counts[finding] += count
        kept = self._examples.setdefault(finding, [])
        for example in examples:
            if len(kept) == EXAMPLES_EACH:
                break
            kept.append(example)

    def taint(self, series: Iterable[Series]) -> None:
        """Note series whose file also holds bad rows that might be theirs: nothing tells."""
        self._tainted.update(series)

    def count_of(self, series: Series | None) -> int:
        """Return how many rows are bad in one series, or tell no series."""
        return sum(self.of(series).values())

    def series(self) -> list[Series]:
        """Return the series that something was found in, in `in_order`."""
        return in_order(finding.series for finding in self.counts if finding.series is not None)

    def of(self, series: Series | None) -> dict[Defect, int]:
        """Return kind → number of bad rows of one series."""
        counts = {defect: self.counts[Finding(series, defect)] for defect in Defect}
        return {defect: count for defect, count in counts.items() if count}

    def examples_of(self, series: Series | None, defect: Defect) -> list[str]:
        """Return place and content of the first few bad rows of a kind."""
        return self._examples.get(Finding(series, defect), [])

    def why_refused(self, series: Series) -> str | None:
        """Return why a series is not to be trusted; None where all that was wrong is set right."""
        found = self.of(series).items()
        reasons = [f"{count} × {defect.value}" for defect, count in found if not defect.repaired]
        if series in self._tainted:
            reasons.append("its file has rows that tell no series")
        return ", ".join(reasons) or None
