"""What became of each series of an import, for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from futures_agent.interchange.findings import Defect, Findings
from futures_agent.interchange.layout import Series
from futures_agent.market.timeframe import Timeframe

_SHOWN_EXAMPLES = 40


class SeriesVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol in one timeframe."""

    symbol: str
    timeframe: str
    rows: int = 0  # good ones, each open time once
    new: int = 0
    same: int = 0  # stored already, with the same values
    different: int = 0  # stored already, with other values
    missing: int = 0  # candles absent between the first and the last of the files
    unknown: dict[str, int] = {}  # column -> new rows for which the files do not tell it
    refused: str | None = None  # why nothing of it is stored
    examples: tuple[str, ...] = ()  # of differing rows

    @property
    def series(self) -> Series:
        return self.symbol, Timeframe[self.timeframe]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A whole import."""

    series: tuple[SeriesVerdict, ...]
    overwrite: bool
    dry_run: bool
    accept_repairs: bool
    findings: Findings
    without_instrument: tuple[str, ...] = ()  # symbols whose contract details are not stored

    @property
    def unassigned(self) -> int:
        """Bad rows that tell no series."""
        return self.findings.count_of(None)

    @property
    def refused(self) -> tuple[SeriesVerdict, ...]:
        return tuple(one for one in self.series if one.refused is not None)

    @property
    def clean(self) -> bool:
        """Whether everything could be taken, or was accepted as it is."""
        return not self.refused and (self.accept_repairs or not self.unassigned)

    def total(self, count: str) -> int:
        """Return the sum of a count over the series that are not refused."""
        return sum(getattr(one, count) for one in self.series if one.refused is None)

    def line(self) -> str:
        """Return the outcome in one line."""
        taken = len(self.series) - len(self.refused)
        differing = "overwritten" if self.overwrite else "kept as stored"
        counts = [
            f"{taken} of {len(self.series)} series",
            f"{self.total('new')} new candles",
            f"{self.total('same')} stored before",
            f"{self.total('different')} differ ({differing})",
        ]
        parts = [", ".join(counts)]
        if self.dry_run:
            parts.append("nothing was written")
        if self.refused:
            first = self.refused[0]
            parts.append(
                f"refused: {first.symbol} {first.timeframe} ({first.refused})"
                + (f" and {len(self.refused) - 1} more" if len(self.refused) > 1 else "")
                + "; correct the files, or leave bad rows out with --accept-repairs"
            )
        elif not self.clean:
            parts.append(f"{self.unassigned} bad rows tell no series; --accept-repairs leaves them out")
        return "; ".join(parts)


def print_verdict(verdict: Verdict) -> None:
    """Print one line per timeframe, one per series with anything to say, and examples of bad rows."""
    rows = [("", *_HEADINGS, "verdict"), *_rows(verdict)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) + 1)]
    for label, *counts, remarks in rows:
        numbers = (count.rjust(width) for count, width in zip(counts, widths[1:], strict=True))
        print("  ".join([label.ljust(widths[0]), *numbers, remarks]))
    for line in (*_examples(verdict), *_notes(verdict)):
        print(line)


_COUNTS = ("rows", "new", "same", "different", "missing")
_HEADINGS = ("rows", "new", "stored", "differ", "missing")


def _rows(verdict: Verdict) -> Iterator[tuple[str, ...]]:
    for timeframe in Timeframe:
        of_frame = [one for one in verdict.series if one.timeframe == timeframe.name]
        quiet = [one for one in of_frame if not _remarks(verdict, one)]
        if quiet:
            sums = [sum(getattr(one, name) for one in quiet) for name in _COUNTS]
            yield f"{timeframe.name}, {len(quiet)} symbols", *map(str, sums), "good"
        for one in of_frame:
            if one not in quiet:
                counts = [str(getattr(one, name)) for name in _COUNTS]
                yield f"{one.symbol} {one.timeframe}", *counts, _remarks(verdict, one)
    if verdict.unassigned:
        yield "rows that tell no series", *[""] * len(_COUNTS), _kinds(verdict.findings.of(None))


def _remarks(verdict: Verdict, one: SeriesVerdict) -> str:
    kinds = _kinds(verdict.findings.of(one.series))
    if one.refused is not None:
        return f"REFUSED: {one.refused}"
    if any(not defect.repaired for defect in verdict.findings.of(one.series)):
        return f"bad rows left out: {kinds}"
    return kinds


def _kinds(counts: dict[Defect, int]) -> str:
    return ", ".join(f"{count} × {defect.value}" for defect, count in counts.items())


def _examples(verdict: Verdict) -> list[str]:
    """Return places and contents of the first bad rows of each kind, series by series."""
    lines = []
    for series in (None, *verdict.findings.series()):
        where = "no series" if series is None else f"{series[0]} {series[1].name}"
        for defect in verdict.findings.of(series):
            examples = verdict.findings.examples_of(series, defect)
            lines += [f"  {where}: {defect.value}: {example}" for example in examples]
    for one in verdict.series:
        lines += [f"  {one.symbol} {one.timeframe}: differs: {example}" for example in one.examples]
    more = len(lines) - _SHOWN_EXAMPLES
    return lines[:_SHOWN_EXAMPLES] + ([f"  … and {more} more examples"] if more > 0 else [])


def _notes(verdict: Verdict) -> list[str]:
    """Return what a person should know beyond the table."""
    notes = [f"{count} rows {remark}" for remark, count in verdict.findings.remarks.items()]
    columns = {name for one in verdict.series for name in one.unknown}
    for name in sorted(columns):
        rows = sum(one.unknown.get(name, 0) for one in verdict.series if one.refused is None)
        notes.append(f"{name}: not told by the files for {rows} new candles; stored as 0")
    if verdict.without_instrument:
        symbols = _few(verdict.without_instrument)
        notes.append(f"contract details of {symbols} are not stored yet; data-sync fetches them")
    return notes


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
