"""Rounds: what is done at the close of a bar, one close after the other.

A round gathers the candles that closed, asks for those that no stream delivered, waits for the account's
word where a candle shows that an order of ours was reached, and lets the strategy decide. Exits are handed
over at once, and so are entries, but for those whose symbol has to be left first.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from futures_agent.clock import Clock, utc_text
from futures_agent.errors import AgentError, Retry
from futures_agent.live.account import Account
from futures_agent.live.deciding import Decided, Decider
from futures_agent.live.inbox import CandlesFetched
from futures_agent.live.records import EntryWanted, ExitWanted
from futures_agent.live.steps import Step, reached
from futures_agent.live.tracker import Missing
from futures_agent.market.timeframe import Timeframe
from futures_agent.risk.rejection import Rejection
from futures_agent.settings.tree import LiveSettings

_log = logging.getLogger(__name__)
_FETCHES = (
    3  # for one close; then it is decided without what is still missing, which is asked for again later
)
_NEWS_WAIT_S = 1.0  # host time, for the fill of an order that a candle must have reached
Fetch = Callable[[int, list[Missing]], None]


class Holdings(Protocol):
    """What a round needs to know of the account; `live.view` tells it."""

    def account_at(self, close_ms: int) -> Account: ...

    def is_leaving(self, symbol: str) -> bool: ...

    def may_open(self, symbol: str) -> bool: ...

    def awaits(self, symbol: str, high: float, low: float) -> bool: ...


class _Round:
    """One close that is being worked on."""

    def __init__(self, close_ms: int, next_fetch_ms: int) -> None:
        self.close_ms = close_ms
        self.fetching = False
        self.fetches = 0
        self.next_fetch_ms = next_fetch_ms
        self.news_until_mono: float | None = None
        self.decided: Decided | None = None
        self.entries: deque[EntryWanted] = deque()
        self.leave_until_ms = 0


class Rounds:
    """Works through the closes of the deciding timeframe.

    Parameters
    ----------
    clock : Clock
        Exchange time.
    settings : LiveSettings
    timeframe : Timeframe
        The one that decides.
    fetch : callable
        Has candles fetched in a thread; they come back through `on_fetched`.
    finish : callable
        Given the decider and what was decided, when everything of a close is on its way.

    Attributes
    ----------
    last_close_ms : int
        The newest close that was decided; 0 before the first.
    """

    def __init__(
        self,
        clock: Clock,
        settings: LiveSettings,
        timeframe: Timeframe,
        fetch: Fetch,
        finish: Callable[[Decider, Decided], None],
    ) -> None:
        self._clock = clock
        self._timeframe = timeframe
        self._backstop_ms = int(settings.close_backstop_s * 1000)
        self._late_ms = int(settings.decide_within_s * 1000)
        self._fetch = fetch
        self._finish = finish
        self.decider: Decider | None = None
        self._early: list[tuple[str, Timeframe, Any]] = []  # came before the strategy was ready
        self._ranges: dict[str, tuple[int, float, float]] = {}  # newest deciding candle: close, high, low
        self._next_close_ms = 0
        self._round: _Round | None = None
        self.last_close_ms = 0

    def begin(self, decider: Decider, next_close_ms: int) -> None:
        """Decide by `decider`, first at `next_close_ms`."""
        self.decider, self._next_close_ms = decider, next_close_ms
        for symbol, timeframe, candle in self._early:
            decider.on_candle(symbol, timeframe, candle)
        self._early.clear()

    def on_candle(self, symbol: str, timeframe: Timeframe, candle: Any) -> None:
        """A closed candle has come."""
        if timeframe is self._timeframe:
            close_ms = int(candle["timestamp"]) + timeframe.ms
            if close_ms > self._ranges.get(symbol, (0,))[0]:
                self._ranges[symbol] = (close_ms, float(candle["high"]), float(candle["low"]))
        if self.decider is None:
            self._early.append((symbol, timeframe, candle.copy()))
        else:
            self.decider.on_candle(symbol, timeframe, candle)

    def on_fetched(self, fetched: CandlesFetched) -> None:
        """Candles that were asked for have come, or the exchange has none."""
        for fault in fetched.faults:
            _log.warning("candles of %s: %s", utc_text(fetched.close_ms), fault)
        for symbol, timeframe, candles in fetched.found:
            for candle in candles:
                self.on_candle(symbol, timeframe, candle)
        if self.decider is not None and self._round is not None and self._round.fetches >= _FETCHES:
            for missing in fetched.absent:
                self.decider.have_none(missing)
        if self._round is not None and self._round.close_ms == fetched.close_ms:
            self._round.fetching = False

    @property
    def is_busy(self) -> bool:
        """Whether a close is being worked on."""
        return self._round is not None

    @property
    def next_due_ms(self) -> int | None:
        """When, in exchange time, something is to be done that nothing announces."""
        if self.decider is None:
            return None
        if self._round is None:
            return self._next_close_ms
        if self._round.decided is not None:
            return self._round.leave_until_ms
        if self._round.fetching or self._round.news_until_mono is not None:
            return None
        return self._round.next_fetch_ms

    def forget_entries(self) -> None:
        """Open nothing more at the close that is being worked on."""
        if self._round is not None:
            self._round.entries.clear()

    def rearm(self) -> str:
        """Let the account open positions again after the drawdown kill switch (Retry: not ready yet)."""
        if self.decider is None:
            raise Retry("rearm: the strategy is still warming up; try again in a minute")
        said = self.decider.risk.rearm()
        self.decider.risk.save()
        return said

    def turn(self, account: Holdings, opens_nothing: str) -> Iterator[EntryWanted | ExitWanted]:
        """Do what can be done now, and yield what is wanted; the account knows of each before the next."""
        while self.decider is not None:
            if self._round is None and not self._open_round(self.decider):
                return
            assert self._round is not None
            if self._round.decided is None:
                if not self._is_complete(self.decider, self._round):
                    return
                if self._awaits_news(self._round, account):
                    return
                yield from self._decide(self.decider, self._round, account, opens_nothing)
            yield from self._enter(self.decider, self._round, account)
            if self._round.entries:
                return
            self._end_round(self.decider, self._round)

    def _open_round(self, decider: Decider) -> bool:
        """Begin with the next close if it has come."""
        close_ms = self._next_close_ms
        # The exchange's word that a candle is closed is better than a clock that is never ahead of it.
        told = any(each[0] >= close_ms for each in self._ranges.values())
        if self._clock.now_ms() < close_ms and not told:
            return False
        self._round = _Round(close_ms, close_ms + self._backstop_ms)
        return True

    def _is_complete(self, decider: Decider, current: _Round) -> bool:
        """Say whether the close can be decided; have fetched what is missing."""
        if current.fetching:
            return False
        missing = decider.missing(current.close_ms)
        if not missing:
            return True
        now_ms = self._clock.now_ms()
        if now_ms < current.next_fetch_ms:
            return False
        if current.fetches >= _FETCHES:
            named = ", ".join(f"{each.symbol} {each.timeframe.name}" for each in missing[:5])
            _log.warning("%s: decided without %s", utc_text(current.close_ms), named)
            return True
        current.fetches += 1
        current.fetching = True
        current.next_fetch_ms = now_ms + self._backstop_ms
        self._fetch(current.close_ms, missing)
        return False

    def _awaits_news(self, current: _Round, account: Holdings) -> bool:
        """Say whether a candle shows that an order of ours was reached, and the account has not said so yet.

        Market and account come through different connections; who decides by one without the other takes a
        position for open that is not.
        """
        for symbol, (close_ms, high, low) in self._ranges.items():
            if close_ms == current.close_ms and account.awaits(symbol, high, low):
                break
        else:
            return False
        if current.news_until_mono is None:
            current.news_until_mono = time.monotonic() + _NEWS_WAIT_S
        return time.monotonic() < current.news_until_mono

    def _decide(
        self, decider: Decider, current: _Round, account: Holdings, opens_nothing: str
    ) -> Iterator[ExitWanted]:
        def refusal(symbol: str) -> Rejection:
            # Where doubts about the symbol are left, its entry waits for them to be settled; see `_enter`.
            return Rejection.ENTRIES_STOPPED if opens_nothing else Rejection.ACCEPTED

        now_ms = self._clock.now_ms()
        current.decided = decider.decide(
            current.close_ms, account.account_at(current.close_ms), now_ms, refusal
        )
        for failure in current.decided.failures:
            _log.error("%s", failure)
        current.leave_until_ms = current.close_ms + self._late_ms
        current.entries.extend(current.decided.entries)
        yield from (each for each in current.decided.exits if not account.is_leaving(each.symbol))

    def _enter(self, decider: Decider, current: _Round, account: Holdings) -> Iterator[EntryWanted]:
        """Hand over the entries that can be; others wait until their symbol is flat and beyond doubt."""
        for entry in list(current.entries):
            if account.may_open(entry.symbol):
                current.entries.remove(entry)
                yield entry
            elif self._clock.now_ms() >= current.leave_until_ms:
                _log.warning("%s: not entered, what was there before has not come to an end", entry.symbol)
                counts, why = decider.rejections, Rejection.UNSETTLED.name
                counts[why] = counts.get(why, 0) + 1
                current.entries.remove(entry)

    def _end_round(self, decider: Decider, current: _Round) -> None:
        assert current.decided is not None
        reached(Step.CLOSED)
        try:
            self._finish(decider, current.decided)
        except AgentError as error:  # memory and log are a convenience; what is held does not depend on them
            _log.error("%s", error)
        reached(Step.SAVED)
        self.last_close_ms = current.close_ms
        self._next_close_ms = current.close_ms + self._timeframe.ms
        self._round = None
