"""The verdict on the candles for a person: a table on a terminal, plain lines in the journal."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from futures_agent.clock import age_text
from futures_agent.health.data import DataReport
from futures_agent.market.quality import FrameQuality, SeriesQuality

_MOST_LINES = 20  # of faults; the JSON report has all
_COLUMNS = (
    *("timeframe", "fresh", "coverage", "oldest closed", "candles", "missing", "not at exchange"),
    *("impossible", "disagreeing", "copies", "jumps", "longest untraded"),
)


def print_report(report: DataReport) -> None:
    """Print the verdict to stdout."""
    rows = [_row(frame, _of(report, frame)) for frame in report.frames]
    if sys.stdout.isatty():
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in _COLUMNS:
            table.add_column(name, justify="left" if name == _COLUMNS[0] else "right")
        for row in rows:
            table.add_row(*row)
        Console(highlight=False).print(table)
    else:
        for row in rows:
            pairs = zip(_COLUMNS[1:], row[1:], strict=True)
            print(f"{row[0]}: " + ", ".join(f"{name} {value}" for name, value in pairs))
    for symbol, why in report.excluded.items():
        print(f"excluded: {symbol}, {why}")
    for warning in report.warnings:
        print(f"warning: {warning}")
    for fault in report.faults[:_MOST_LINES]:
        print(f"fault: {fault}")
    if len(report.faults) > _MOST_LINES:
        print(f"fault: … and {len(report.faults) - _MOST_LINES} more")


def _of(report: DataReport, frame: FrameQuality) -> list[SeriesQuality]:
    return [one for one in report.series if one.timeframe == frame.timeframe]


def _row(frame: FrameQuality, series: list[SeriesQuality]) -> tuple[str, ...]:
    age_ms = frame.oldest_age_ms
    impossible = sum(one.off_grid + one.duplicates + one.forming + one.bad_prices for one in series)
    return (
        frame.timeframe,
        f"{frame.covered}/{frame.symbols}",
        f"{frame.coverage:.1%}",
        "-" if age_ms is None else f"{age_text(max(age_ms, 0) / 1000)} ago",
        f"{frame.candles:,}",
        str(frame.missing),
        str(frame.confirmed_missing),
        str(impossible),
        str(sum(len(one.disagreeing) for one in series)),
        str(sum(len(one.repeated) for one in series)),
        str(sum(one.jumps for one in series)),
        str(max((one.untraded_run for one in series), default=0)),
    )
