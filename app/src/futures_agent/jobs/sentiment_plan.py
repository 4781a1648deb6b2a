"""What sentiment-macro asks the exchange for: each symbol's funding and statistics, from where they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import apsw
import numpy as np

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS
from futures_agent.exchange.sentiment import STATISTICS_KEPT_MS, STATISTICS_PAGE, SentimentClient
from futures_agent.jobs.rounds import Store, Task
from futures_agent.market.instrument import Instrument
from futures_agent.market.sentiment import PERIODS_MS, Statistic
from futures_agent.settings import Settings
from futures_agent.store.sentiment import (
    FUNDING_COLUMN,
    sentiment_span,
    upsert_funding,
    upsert_statistic,
)

FUNDING = "funding"
SOURCES = {
    Statistic.OPEN_INTEREST: "open interest",
    Statistic.LONG_SHORT: "long/short ratio",
    Statistic.TOP_LONG_SHORT_ACCOUNTS: "top traders' accounts",
    Statistic.TOP_LONG_SHORT_POSITIONS: "top traders' positions",
    Statistic.TAKER_VOLUME: "taker volume",
}
# Requests may wait for their turn: what is only just within the exchange's memory may then be beyond it.
_EDGE_MS = HOUR_MS


def sentiment_tasks(
    db: apsw.Connection,
    client: SentimentClient,
    settings: Settings,
    symbols: Sequence[str],
    instruments: Mapping[str, Instrument],
) -> list[Task]:
    """Return one task per symbol and source, funding first: the backtest charges it.

    Parameters
    ----------
    instruments : mapping of str to Instrument
        As far as they are known; nothing is asked for from before a contract's first day.
    """
    now_ms = client.clock.now_ms()
    listed_ms = {symbol: instruments[symbol].onboard_ms if symbol in instruments else 0 for symbol in symbols}
    earliest_ms = now_ms - settings.data.history_days * DAY_MS
    tasks = []
    for symbol in symbols:
        start_ms = max(earliest_ms, listed_ms[symbol])
        ranges = _missing(sentiment_span(db, symbol, FUNDING_COLUMN), start_ms, now_ms)
        tasks.append(_funding_task(client, symbol, ranges))
    for statistic in Statistic:
        for symbol in symbols:
            span = sentiment_span(db, symbol, statistic.columns[0])
            newest = None if span is None else span[1]
            tasks.append(_statistic_task(client, settings, statistic, symbol, newest, listed_ms[symbol]))
    return tasks


def _missing(stored: tuple[int, int] | None, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """Return the ranges before and after what is stored, ms UTC; payments are at most a day apart."""
    if stored is None:
        return [(start_ms, end_ms)]
    first, last = stored
    before = [(start_ms, first - MINUTE_MS)] if first - start_ms > DAY_MS else []
    return [*before, (last + MINUTE_MS, end_ms)]


def _funding_task(client: SentimentClient, symbol: str, ranges: Sequence[tuple[int, int]]) -> Task:
    def fetch() -> Store:
        pages = []
        for cursor, end_ms in ranges:
            while cursor <= end_ms:
                page = client.funding(symbol, start_ms=cursor, end_ms=end_ms)
                pages.append(page.payments)
                if not page.full or page.last_ms is None:
                    break
                cursor = page.last_ms + 1
        fetched_at_ms = client.clock.now_ms()

        def store(db: apsw.Connection) -> int:
            return sum(upsert_funding(db, symbol, page, fetched_at_ms=fetched_at_ms) for page in pages)

        return store

    return Task(source=FUNDING, item=symbol, fetch=fetch)


def _statistic_task(
    client: SentimentClient,
    settings: Settings,
    statistic: Statistic,
    symbol: str,
    newest: int | None,
    listed_ms: int,
) -> Task:
    period = settings.sentiment.period
    step = PERIODS_MS[period]
    published_after_ms = step + settings.sentiment.publication_lag_s * 1000

    def fetch() -> Store:
        # Only periods that are over and published: the value of a running one would be corrected later.
        last = (client.clock.now_ms() - published_after_ms) // step * step
        kept_since = client.clock.now_ms() - STATISTICS_KEPT_MS + _EDGE_MS
        again = 0 if newest is None else newest  # the newest stored one is compared with a fresh copy
        first = -(-max(kept_since, listed_ms, again) // step) * step
        pages = [
            client.statistic(
                statistic,
                symbol,
                period,
                start_ms=start,
                end_ms=min(start + (STATISTICS_PAGE - 1) * step, last),
            )
            for start in range(first, last + 1, STATISTICS_PAGE * step)
        ]
        fetched_at_ms = client.clock.now_ms()
        rows = np.concatenate(pages) if pages else np.zeros(0, statistic.dtype)

        def store(db: apsw.Connection) -> int:
            return upsert_statistic(
                db,
                statistic,
                symbol,
                rows,
                published_after_ms=published_after_ms,
                fetched_at_ms=fetched_at_ms,
            )

        return store

    return Task(source=SOURCES[statistic], item=symbol, fetch=fetch)
