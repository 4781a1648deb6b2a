"""Candles that no stream delivered, asked for by REST in a thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from futures_agent.errors import AgentError
from futures_agent.exchange.client import MarketDataClient
from futures_agent.live.inbox import CandlesFetched, Inbox
from futures_agent.live.tracker import Missing
from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe

_log = logging.getLogger(__name__)
_MOST_ROWS = 499  # the cheapest page per candle
_WORKERS = 4

Found = list[tuple[str, Timeframe, Candles]]
OnFound = Callable[[Found], None]


class CandleFetch:
    """Fetches what is missing at a close, several series at a time.

    Parameters
    ----------
    client : MarketDataClient
        With the live trader's share of the weight.
    inbox : Inbox
        Gets one CandlesFetched per call.
    on_found : callable, optional
        Shown what was found before the inbox gets it, in the thread.
    """

    def __init__(
        self, client: MarketDataClient, inbox: Inbox, on_found: OnFound = lambda found: None
    ) -> None:
        self._client = client
        self._inbox = inbox
        self._on_found = on_found
        self._caller = ThreadPoolExecutor(1, thread_name_prefix="candles")
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="candle")

    def __call__(self, close_ms: int, missing: list[Missing]) -> None:
        """Fetch in threads; returns at once."""
        self._caller.submit(self._fetch, close_ms, missing)

    def page(self, symbol: str, timeframe: Timeframe, first_ms: int, last_ms: int) -> Candles:
        """Return the closed candles that open in [first_ms, last_ms], at most a page of them (Retry, …)."""
        return self._one(Missing(symbol, timeframe, first_ms, last_ms))

    def close(self) -> None:
        self._caller.shutdown(wait=False, cancel_futures=True)
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, close_ms: int, missing: list[Missing]) -> None:
        found: Found = []
        absent, faults = [], []
        answers = [(each, self._workers.submit(self._one, each)) for each in missing]
        for each, answer in answers:
            try:
                candles = answer.result()
            except AgentError as error:
                faults.append(str(error))
            except Exception as error:
                _log.exception("fetching %s %s", each.symbol, each.timeframe.name)
                faults.append(f"{each.symbol} {each.timeframe.name}: {error}")
            else:
                found.append((each.symbol, each.timeframe, candles))
                absent.append(each)  # whatever of it came is known by then, and no longer missing
        self._on_found(found)
        self._inbox.put(CandlesFetched(close_ms, found, absent, faults))

    def _one(self, missing: Missing) -> Candles:
        rows = (missing.last_ms - missing.first_ms) // missing.timeframe.ms + 1
        return self._client.closed_candles(
            missing.symbol,
            missing.timeframe,
            start_ms=missing.first_ms,
            end_ms=missing.last_ms,
            limit=min(rows + 1, _MOST_ROWS),
        )
