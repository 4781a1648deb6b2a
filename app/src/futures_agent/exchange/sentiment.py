"""Funding payments and positioning statistics of the exchange.

Neither weighs anything; each is counted in a pool of its own. Source: Binance USDⓈ-M "Get Funding Rate
History", "Open Interest Statistics", "Long/Short Ratio", "Taker Buy/Sell Volume".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from futures_agent.clock import DAY_MS, MINUTE_MS
from futures_agent.errors import Retry
from futures_agent.exchange.governor import Pool
from futures_agent.exchange.reading import ReadingClient
from futures_agent.market.sentiment import FUNDING_PAYMENT, PERIODS_MS, Statistic

FUNDING_PAGE = 1000
STATISTICS_PAGE = 500
STATISTICS_KEPT_MS = 30 * DAY_MS  # the exchange has nothing older
FUNDING_POOL = Pool("funding", 500, 5 * MINUTE_MS)  # fundingRate and fundingInfo together
STATISTICS_POOL = Pool("statistics", 1000, 5 * MINUTE_MS)  # everything under /futures/data

_SPECIAL = "Special"  # a dividend on a stock contract, not funding
# The exchange's names of the columns of each statistic.
_FIELDS = {
    Statistic.OPEN_INTEREST: ("sumOpenInterest", "sumOpenInterestValue"),
    Statistic.LONG_SHORT: ("longShortRatio",),
    Statistic.TOP_LONG_SHORT_ACCOUNTS: ("longShortRatio",),
    Statistic.TOP_LONG_SHORT_POSITIONS: ("longShortRatio",),
    Statistic.TAKER_VOLUME: ("buySellRatio", "buyVol", "sellVol"),
}


class _FundingRow(msgspec.Struct, rename="camel"):
    symbol: str
    funding_time: int
    funding_rate: str
    mark_price: str = ""  # empty in rows from before the exchange told it
    rate_type: str = "Regular"


class FundingPage(NamedTuple):
    """One answer of the funding history."""

    payments: NDArray[np.void]  # FUNDING_PAYMENT, ascending
    last_ms: int | None  # time of the last row; None when there was none
    full: bool  # as many rows as an answer can hold: there may be more after `last_ms`


class SentimentClient(ReadingClient):
    """Funding and statistics; see `ReadingClient` for how it asks."""

    def funding(self, symbol: str, *, start_ms: int, end_ms: int) -> FundingPage:
        """Return the first funding payments of one symbol in [start_ms, end_ms], ms UTC, at most 1000.

        Raises
        ------
        SkipSymbol
            The exchange does not know the symbol.
        Retry
            No answer, a limit, a fault of the exchange, or an answer that is not right in every row.
        """
        params = {"symbol": symbol, "startTime": start_ms, "endTime": end_ms, "limit": FUNDING_PAGE}
        reply = self._get_of_symbol("/fapi/v1/fundingRate", params, pool=FUNDING_POOL)
        source = f"{reply.url} {symbol}"
        try:
            rows = msgspec.json.decode(reply.body, type=list[_FundingRow])
            payments = np.array(
                [(row.funding_time, float(row.funding_rate), _price(row.mark_price)) for row in rows],
                dtype=FUNDING_PAYMENT,
            )
        except (msgspec.DecodeError, ValueError, OverflowError) as error:
            raise Retry(f"{source}: the answer is no funding history: {error}; not used") from None
        _require_order(payments["timestamp"], start_ms, end_ms, source)
        if any(row.symbol != symbol for row in rows) or not np.isfinite(payments["rate"]).all():
            raise Retry(f"{source}: a funding rate of another symbol, or none at all; not used")
        last_ms = int(payments["timestamp"][-1]) if rows else None
        regular = np.array([row.rate_type != _SPECIAL for row in rows], dtype=bool)
        return FundingPage(payments[regular], last_ms, len(rows) >= FUNDING_PAGE)

    def statistic(
        self, statistic: Statistic, symbol: str, period: str, *, start_ms: int, end_ms: int
    ) -> NDArray[np.void]:
        """Return one statistic of one symbol for the periods that begin in [start_ms, end_ms], ms UTC.

        Parameters
        ----------
        period : str
            A key of `PERIODS_MS`.
        start_ms, end_ms : int
            At most 500 periods. Both are always sent: what the exchange does without one is its secret.

        Returns
        -------
        ndarray of `statistic.dtype`, shape (n,)
            Ascending. A period without trades is absent.

        Raises
        ------
        SkipSymbol
            The exchange does not know the symbol.
        Retry
            No answer, a limit, a fault of the exchange, or an answer that is not right in every row.
        ValueError
            More periods than one answer can hold.
        """
        if not 0 <= end_ms - start_ms < STATISTICS_PAGE * PERIODS_MS[period]:
            raise ValueError(f"statistics from {start_ms} to {end_ms}: not 1 to {STATISTICS_PAGE} × {period}")
        params = {
            "symbol": symbol,
            "period": period,
            "limit": STATISTICS_PAGE,
            # Whether a row at a bound belongs to the answer is not documented: the bounds lie beside them.
            "startTime": start_ms - 1,
            "endTime": end_ms + 1,
        }
        reply = self._get_of_symbol(f"/futures/data/{statistic.value}", params, pool=STATISTICS_POOL)
        source = f"{reply.url} {symbol}"
        try:
            decoded = msgspec.json.decode(reply.body, type=list[dict[str, Any]])
            values = [
                (int(row["timestamp"]), *(float(row[name]) for name in _FIELDS[statistic])) for row in decoded
            ]
            rows = np.array(values, dtype=statistic.dtype)
        except (msgspec.DecodeError, KeyError, ValueError, TypeError, OverflowError) as error:
            raise Retry(f"{source}: the answer is no such statistic: {error!r}; not used") from None
        _require_order(rows["timestamp"], start_ms, end_ms, source)
        good = all((np.isfinite(rows[name]) & (rows[name] >= 0)).all() for name in statistic.columns)
        strangers = {row.get("symbol", symbol) for row in decoded} - {symbol}
        if strangers or not good or (rows["timestamp"] % PERIODS_MS[period]).any():
            raise Retry(f"{source}: a row of another symbol or period, or a value below 0; not used")
        return rows


def _require_order(times: NDArray[np.int64], start_ms: int, end_ms: int, source: str) -> None:
    if (np.diff(times) <= 0).any() or (times < start_ms).any() or (times > end_ms).any():
        raise Retry(f"{source}: rows out of order or outside what was asked for; not used")


def _price(text: str) -> float:
    return float(text) if text else float("nan")
