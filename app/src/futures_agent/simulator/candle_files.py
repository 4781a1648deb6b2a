"""Recorded candles from files: taken only when nothing is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from futures_agent.errors import Refuse
from futures_agent.interchange.findings import Findings
from futures_agent.interchange.judging import candles_of, settle
from futures_agent.interchange.layout import Series, find_candle_files
from futures_agent.interchange.spool import Spool, spool_files
from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe


def read_candle_files(
    path: Path, *, symbols: Sequence[str], first_ms: int | None, last_ms: int | None
) -> dict[str, dict[Timeframe, Candles]]:
    """Return the candles of a data set by symbol and timeframe (FULL_CANDLE, sorted).

    Where the files say nothing, quote_volume and taker volumes are NaN and trades is −1.

    Raises
    ------
    Refuse
        Nothing there, columns missing, unknown interval, unreadable or senseless contents.
    """

    def wanted(series: Series) -> bool:
        return not symbols or series[0] in symbols

    files = find_candle_files([path])
    names = [file.path.name for file in files]
    findings = Findings()
    found: dict[str, dict[Timeframe, Candles]] = {}
    with Spool() as spool:
        spool_files(files, spool, findings, now_ms=None, wanted=wanted)
        for bad in (None, *filter(wanted, findings.series())):
            _refuse_bad(path, bad, findings)
        for series in spool.series():
            candles = candles_of(settle(series, spool.rows(series), names, findings))
            _refuse_bad(path, series, findings)
            times = candles["timestamp"]
            inside = (times >= (first_ms or 0)) & (times <= (times if last_ms is None else last_ms))
            if inside.any():
                found.setdefault(series[0], {})[series[1]] = candles[inside]
    absent = [symbol for symbol in symbols if symbol not in found]
    if absent:
        raise Refuse(f"{path}: no candles of {', '.join(absent)}; choose symbols and dates that it holds")
    if not found:
        raise Refuse(f"{path}: holds no candles, at least not in the range of dates asked for")
    return found


def _refuse_bad(path: Path, series: Series | None, findings: Findings) -> None:
    """Refuse what only a person may decide about; order and identical rows are set right."""
    bad = [defect for defect in findings.of(series) if not defect.repaired]
    if bad:
        where = f" {series[0]} {series[1].value}:" if series else ""
        count, example = findings.of(series)[bad[0]], findings.examples_of(series, bad[0])[0]
        raise Refuse(f"{path}:{where} {count} × {bad[0].value}, such as {example}; correct the file")
