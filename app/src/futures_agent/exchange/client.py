"""Market data of the exchange: time, contracts, closed candles."""

from __future__ import annotations

from typing import Any

from futures_agent.errors import Retry
from futures_agent.exchange.payloads import ExchangeInfo, decode_exchange_info, decode_klines
from futures_agent.exchange.reading import ReadingClient, raise_unless_ok
from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe

__all__ = ["ExchangeInfo", "MarketDataClient", "kline_weight"]

KLINES_MAX = 1500


def kline_weight(limit: int) -> int:
    """Return the weight of one klines request for `limit` candles (Binance USDⓈ-M "Kline Data").

    Raises
    ------
    ValueError
        `limit` is not in 1..1500.
    """
    if not 1 <= limit <= KLINES_MAX:
        raise ValueError(f"klines limit {limit}: must be 1..{KLINES_MAX}")
    if limit < 100:
        return 1
    if limit < 500:
        return 2
    return 5 if limit <= 1000 else 10


class MarketDataClient(ReadingClient):
    """The exchange's contracts and closed candles; see `ReadingClient` for how it asks."""

    def exchange_info(self) -> ExchangeInfo:
        """Return every contract, and adopt the weight limit that the exchange states."""
        reply = self._get("/fapi/v1/exchangeInfo", {}, 1)
        raise_unless_ok(reply)
        info = decode_exchange_info(reply.body, reply.url)
        if info.weight_limit_per_min is not None:
            self._governor.limit_per_min = info.weight_limit_per_min
        return info

    def closed_candles(
        self,
        symbol: str,
        timeframe: Timeframe,
        *,
        start_ms: int | None,
        end_ms: int | None = None,
        limit: int,
    ) -> Candles:
        """Return closed candles of one symbol, ascending; the forming one is never among them.

        Parameters
        ----------
        symbol : str
        timeframe : Timeframe
        start_ms, end_ms : int, optional
            First and last open time wanted, ms UTC, both inclusive. Without `start_ms`, the newest ones.
        limit : int
            Rows asked for, 1..1500. The forming candle takes one of them, so fewer may come back.

        Returns
        -------
        ndarray of FULL_CANDLE, shape (n,), n <= limit
            Only candles whose close time plus `exchange.close_grace_ms` had passed on the exchange's
            clock *before the request was sent*: one that closes while the answer travels is not trusted.

        Raises
        ------
        SkipSymbol
            The exchange does not know the symbol.
        Retry
            No answer, a rate limit, a fault of the exchange, or a page that is not right in every row.
        """
        weight = kline_weight(limit)
        params: dict[str, Any] = {"symbol": symbol, "interval": timeframe.value}
        if start_ms is not None:
            params["startTime"] = start_ms
        if end_ms is not None:
            params["endTime"] = end_ms
        params["limit"] = limit
        reply = self._get_of_symbol("/fapi/v1/klines", params, weight)
        source = f"{reply.url} {symbol} {timeframe.name}"
        candles = decode_klines(reply.body, timeframe, source)
        opens = candles["timestamp"]
        early = start_ms is not None and bool((opens < start_ms).any())
        late = end_ms is not None and bool((opens > end_ms).any())
        if early or late or len(candles) > limit:
            raise Retry(f"{source}: candles outside what was asked for; page not used")
        close_times = opens + timeframe.ms - 1
        sent_ms = self.clock.at_ms(reply.sent_mono)
        return candles[close_times + self._settings.close_grace_ms < sent_ms]
