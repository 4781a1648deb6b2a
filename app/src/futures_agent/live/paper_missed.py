"""What a paper account missed: the candles and funding of its open positions while nobody showed them.

An exchange goes on while the trader is down, or deaf; a paper account stands still. Before anybody acts on
it, it is shown what happened meanwhile, in the order in which it happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from futures_agent.clock import DAY_MS, HOUR_MS, Clock
from futures_agent.exchange.sentiment import FundingPage
from futures_agent.live.paper import PaperBroker
from futures_agent.live.warmup import PAGE, Fetch
from futures_agent.market.timeframe import Timeframe

# (symbol, first and last time wanted) → the first payments of that time.
FetchFunding = Callable[[str, int, int], FundingPage]
_FINER, _CANDLE, _FUNDING = range(3)  # in this order where they come at one time


class _Happening(NamedTuple):
    at_ms: int
    rank: int
    show: Callable[[], None]


class Missed:
    """Shows a paper account what it has not seen.

    Parameters
    ----------
    broker : PaperBroker
    timeframe : Timeframe
        By whose candles the broker judges.
    finer : Timeframe, optional
        By which it decides candles that reached both stop and target.
    clock : Clock
        Exchange time.
    fetch : callable
        Candles by REST; see `warmup.Fetch`.
    fetch_funding : callable, optional
        None: funding is switched off.
    """

    def __init__(
        self,
        broker: PaperBroker,
        timeframe: Timeframe,
        finer: Timeframe | None,
        clock: Clock,
        fetch: Fetch,
        fetch_funding: FetchFunding | None,
    ) -> None:
        self._broker = broker
        self._timeframe, self._finer = timeframe, finer
        self._clock = clock
        self._fetch, self._fetch_funding = fetch, fetch_funding
        self._shown_ms = 0

    def show(self) -> int:
        """Show everything since the last time, or since a position was opened; return how many candles.

        Positions that have ended lately are among them: funding may be owed for them. What the account has
        seen before does nothing. All is fetched before any of it is shown: half of it would be
        an order that never was.

        Raises
        ------
        Retry
            The exchange did not answer, or the disk does not take what came of it.
        Refuse
            As `PaperBroker.on_candle`.
        """
        now_ms = self._clock.now_ms()
        # The newest candle and payment of the last time may not have been in the exchange's records yet.
        seen_ms = self._shown_ms - max(self._timeframe.ms, HOUR_MS)
        shown = [
            each
            for symbol, opened_ms in self._broker.held_since(max(seen_ms, now_ms - DAY_MS)).items()
            for since_ms in (max(opened_ms, seen_ms),)
            for each in (*self._candles(symbol, since_ms, now_ms), *self._payments(symbol, since_ms, now_ms))
        ]
        for each in sorted(shown, key=lambda each: (each.at_ms, each.rank)):
            each.show()
        self._shown_ms = now_ms
        return sum(each.rank == _CANDLE for each in shown)

    def _candles(self, symbol: str, since_ms: int, now_ms: int) -> Iterator[_Happening]:
        first_ms, broker = self._timeframe.open_of(since_ms), self._broker
        for rank, frame in ((_FINER, self._finer), (_CANDLE, self._timeframe)):
            if frame is None:
                continue
            next_ms, last_ms = first_ms, frame.last_closed_open(now_ms)
            while next_ms <= last_ms:
                until_ms = min(last_ms, next_ms + (PAGE - 1) * frame.ms)
                for candle in self._fetch(symbol, frame, next_ms, until_ms):
                    at_ms = int(candle["timestamp"]) + frame.ms
                    yield _Happening(at_ms, rank, partial(broker.on_candle, symbol, frame, candle))
                next_ms = until_ms + frame.ms

    def _payments(self, symbol: str, since_ms: int, now_ms: int) -> Iterator[_Happening]:
        if self._fetch_funding is None:
            return
        next_ms: int | None = since_ms
        while next_ms is not None:
            page = self._fetch_funding(symbol, next_ms, now_ms)
            for at_ms, rate, mark_price in page.payments.tolist():
                yield _Happening(
                    at_ms, _FUNDING, partial(self._broker.on_funding, symbol, rate, mark_price, at_ms)
                )
            next_ms = page.last_ms + 1 if page.full and page.last_ms is not None else None
