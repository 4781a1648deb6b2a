"""What the venue publishes about the market's mood: funding payments and statistics.

Made-up values follow from seed, symbol and time alone, so that any range can be asked for at any time.
Recorded funding comes from the funding.parquet (symbol, funding_time in ms UTC, funding_rate) of a data set.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.errors import Refuse
from futures_agent.market.sentiment import FUNDING_PAYMENT, Statistic
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.market import Market
from futures_agent.simulator.noise import Floats, Ints, smooth, uniform
from futures_agent.simulator.tables import Kind, read_rows

_JITTER_MS = 12  # payments are stamped this much late at most
_INTERVALS_H = (8,) * 14 + (4,) * 4 + (1,) * 2  # how common each interval is
_USUAL_RATE = 0.0001  # per 8 h
_DAYS = 86_400_000.0


class Sentiment:
    """The funding payments and statistics of one venue.

    Parameters
    ----------
    market : Market
        Marks payments with its prices, and bounds history by its listings.
    seed : int
    recorded : mapping of str to ndarray of FUNDING_PAYMENT, ascending
        Recorded payments of some symbols; all others are made up.
    """

    def __init__(self, market: Market, seed: int, recorded: dict[str, NDArray[np.void]]) -> None:
        self._market = market
        self._seed = seed
        self._recorded = recorded
        self._changes: dict[str, list[tuple[int, int]]] = {}

    def change_interval(self, symbol: str, hours: int, now_ms: int) -> None:
        """Pay funding of `symbol` every so many hours from the full hour after `now_ms` (ms UTC) on.

        Raises
        ------
        Refuse
            Its payments are recorded ones.
        """
        if symbol in self._recorded:
            raise Refuse(f"{symbol}: its funding payments are recorded; their interval cannot be changed")
        from_ms = now_ms - now_ms % HOUR_MS + HOUR_MS
        self._changes.setdefault(symbol, []).append((from_ms, hours))

    def interval_h(self, symbol: str, at_ms: int | None = None) -> int:
        """Return the hours between two made-up payments of `symbol` at a time (None: the latest known)."""
        hours = [
            hours for from_ms, hours in self._changes.get(symbol, ()) if at_ms is None or from_ms <= at_ms
        ]
        if hours:
            return hours[-1]
        return _INTERVALS_H[crc32(symbol.encode()) % len(_INTERVALS_H)]

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> NDArray[np.void]:
        """Return the payments in [start_ms, end_ms], ms UTC, FUNDING_PAYMENT, ascending."""
        payments = self._recorded.get(symbol)
        if payments is None:
            payments = self._made_up(symbol, start_ms, end_ms)
        first = int(np.searchsorted(payments["timestamp"], start_ms))
        last = int(np.searchsorted(payments["timestamp"], end_ms, side="right"))
        found = payments[first:last].copy()
        found["mark_price"] = self._prices(symbol, found["timestamp"])
        return found

    def _made_up(self, symbol: str, start_ms: int, end_ms: int) -> NDArray[np.void]:
        """Return payments around [start_ms, end_ms], of each stretch of time by the interval it had."""
        changes = [from_ms for from_ms, _ in self._changes.get(symbol, ())]
        stretches = []
        for first, last in pairwise([0, *changes, max(end_ms, *changes, 0) + 1]):
            hours = self.interval_h(symbol, first)
            payments = self._at_interval(symbol, hours, max(first, start_ms), min(last - 1, end_ms))
            stretches.append(payments[payments["timestamp"] >= first])
        return np.concatenate(stretches)

    def _at_interval(self, symbol: str, hours: int, start_ms: int, end_ms: int) -> NDArray[np.void]:
        step = hours * HOUR_MS
        first = max((start_ms - _JITTER_MS) // step, -(-self._market.listings[symbol].onboard_ms // step))
        numbers = np.arange(first, end_ms // step + 1, dtype=np.int64)
        payments = np.zeros(len(numbers), FUNDING_PAYMENT)
        key = self._key(symbol, "funding")
        late = (_JITTER_MS * uniform(key, numbers)).astype(np.int64)
        payments["timestamp"] = numbers * step + late
        mood = smooth(key, payments["timestamp"] / _DAYS) - 0.5
        spread = uniform(key + 1, numbers) - 0.5
        per_8h = np.clip(_USUAL_RATE + 0.0004 * mood + 0.0002 * spread, -0.003, 0.003)
        payments["rate"] = np.round(per_8h * step / (8 * HOUR_MS), 8)
        return payments

    def statistic(self, statistic: Statistic, symbol: str, stamps: Ints) -> NDArray[np.void]:
        """Return the rows of the periods that begin at `stamps` (ms UTC); a few periods have none."""
        key = self._key(symbol, statistic.value)
        traded = stamps[uniform(key + 3, stamps // MINUTE_MS) > 0.01]
        rows = np.zeros(len(traded), statistic.dtype)
        rows["timestamp"] = traded
        mood = smooth(key, traded / _DAYS * 3) + 0.1 * uniform(key + 1, traded // MINUTE_MS)
        if statistic is Statistic.OPEN_INTEREST:
            price = self._prices(symbol, traded)
            rows["open_interest"] = np.round(1e8 / self._market.listings[symbol].price * (0.5 + mood), 3)
            rows["open_interest_value"] = np.round(rows["open_interest"] * np.nan_to_num(price), 8)
        elif statistic is Statistic.TAKER_VOLUME:
            rows["taker_buy_volume"] = np.round(1000 * (0.2 + mood), 4)
            rows["taker_sell_volume"] = np.round(1000 * (0.2 + smooth(key + 2, traded / _DAYS * 3)), 4)
            rows["taker_buy_sell_ratio"] = np.round(rows["taker_buy_volume"] / rows["taker_sell_volume"], 4)
        else:
            rows[statistic.columns[0]] = np.round(0.5 + 2 * mood, 4)
        return rows

    def _prices(self, symbol: str, times: Ints) -> Floats:
        """Return prices at `times`: the open of the hour; NaN where there is no candle."""
        if len(times) == 0:
            return np.zeros(0)
        candles = self._market.closed(symbol, Timeframe.H1, int(times[-1]) + 2 * HOUR_MS)
        if len(candles) == 0:
            return np.full(len(times), np.nan)
        hours = times - times % HOUR_MS
        at = np.minimum(np.searchsorted(candles["timestamp"], hours), len(candles) - 1)
        found: Floats = np.where(candles["timestamp"][at] == hours, candles["open"][at], np.nan)
        return found

    def _key(self, symbol: str, what: str) -> int:
        return crc32(f"{self._seed}/{symbol}/{what}".encode())


def read_funding(folder: Path) -> dict[str, NDArray[np.void]]:
    """Return the recorded payments by symbol, FUNDING_PAYMENT, ascending; empty where there is no file.

    Raises
    ------
    Refuse
        The file cannot be read, or lacks a column.
    """
    by_symbol: dict[str, list[tuple[int, float, float]]] = {}
    columns: dict[str, Kind] = {"symbol": "string", "funding_time": "int64", "funding_rate": "float64"}
    for symbol, time, rate in read_rows(folder, "funding", columns):
        if time is not None and rate is not None:
            by_symbol.setdefault(symbol, []).append((time, rate, np.nan))
    return {symbol: np.array(sorted(rows), FUNDING_PAYMENT) for symbol, rows in by_symbol.items()}
