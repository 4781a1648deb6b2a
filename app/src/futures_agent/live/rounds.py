"""Rounds: what is done at the close of a bar, one close after the other.

A round gathers the candles that closed, asks for those that no stream delivered, lets the strategy decide
on all of them, has positions closed that it wants closed, and hands over the entries one by one: each is
judged by what the account holds once the one before has filled, as in the backtest.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from futures_agent.clock import Clock, utc_text
from futures_agent.errors import AgentError
from futures_agent.live.inbox import CandlesFetched
from futures_agent.live.records import EntryWanted, ExitWanted
from futures_agent.live.steps import Step, reached
from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import LiveSettings

_log = logging.getLogger(__name__)
_FETCHES = 3  # for one close; then it is decided without what is still missing
_ENTRY_WAIT_MS = 5_000  # for one entry to fill before the next is judged
_NEWS_WAIT_S = 1.0  # host time, for the fill of an order that the candle must have reached
Missing = tuple[str, Timeframe]
Fetch = Callable[[int, list[Missing]], None]


class Holding(NamedTuple):
    """One open position as the gate sees it."""

    symbol: str
    side: int
    quantity: float
    price: float  # newest mark price


class Holdings(Protocol):
    """What a round needs to know of the account; the desk tells it."""

    @property
    def held_symbols(self) -> Iterable[str]: ...

    def side_of(self, symbol: str) -> int: ...

    def holdings(self) -> list[Holding]: ...

    def is_leaving(self, symbol: str) -> bool: ...

    def is_entering(self, symbol: str) -> bool: ...

    def why_not_open(self, symbol: str) -> str: ...

    def equity_at(self, close_ms: int, prices: Callable[[str], float]) -> float: ...

    def awaits(self, symbol: str, high: float, low: float) -> bool: ...


class Deciding(Protocol):
    """What a round needs of the decider."""

    @property
    def next_close_ms(self) -> int: ...

    def on_candle(self, symbol: str, timeframe: Timeframe, candle: Any) -> None: ...

    def on_candles(self, symbol: str, timeframe: Timeframe, candles: Candles) -> None: ...

    def missing(self, close_ms: int) -> list[Missing]: ...

    def range_at(self, symbol: str, close_ms: int) -> tuple[float, float] | None: ...

    def has_any(self, close_ms: int) -> bool: ...

    def close(self, close_ms: int, account: Holdings, *, late: bool) -> None: ...

    def leaves(self, symbol: str, side: int) -> bool: ...

    def candidates(self) -> list[str]: ...

    def judge(self, symbol: str, account: Holdings, now_ms: int) -> EntryWanted | None: ...

    def refuse(self, symbol: str, why: str) -> None: ...

    def finish(self) -> None: ...

    def rearm(self) -> str: ...


class _Round:
    """One close that is being worked on."""

    def __init__(self, close_ms: int) -> None:
        self.close_ms = close_ms
        self.fetching = False
        self.fetches = 0
        self.next_fetch_ms = 0
        self.news_until_mono: float | None = None
        self.decided = False
        self.candidates: deque[str] = deque()
        self.entering: tuple[str, int] | None = None  # symbol, and until when it is waited for
        self.leave_until_ms = 0


class Rounds:
    """Works through the closes of the deciding timeframe.

    Parameters
    ----------
    clock : Clock
        Exchange time.
    settings : LiveSettings
    fetch : callable
        Has candles fetched in a thread; they come back through `on_fetched`.
    """

    def __init__(self, clock: Clock, settings: LiveSettings, fetch: Fetch) -> None:
        self._clock = clock
        self._backstop_ms = int(settings.close_backstop_s * 1000)
        self._late_ms = int(settings.decide_within_s * 1000)
        self._fetch = fetch
        self._decider: Deciding | None = None
        self._early: list[tuple[str, Timeframe, Any]] = []  # came before the strategy was ready
        self._round: _Round | None = None
        self.last_close_ms = 0

    def begin(self, decider: Deciding) -> None:
        """Decide by `decider` from now on."""
        self._decider = decider
        for symbol, timeframe, candle in self._early:
            decider.on_candle(symbol, timeframe, candle)
        self._early.clear()

    def on_candle(self, symbol: str, timeframe: Timeframe, candle: Any) -> None:
        """A closed candle has come."""
        if self._decider is None:
            self._early.append((symbol, timeframe, candle.copy()))
        else:
            self._decider.on_candle(symbol, timeframe, candle)

    def on_fetched(self, fetched: CandlesFetched) -> None:
        """Candles that were asked for have come, or some of them."""
        for fault in fetched.faults:
            _log.warning("candles of %s: %s", utc_text(fetched.close_ms), fault)
        if self._decider is not None:
            for symbol, timeframe, candles in fetched.found:
                self._decider.on_candles(symbol, timeframe, candles)
        if self._round is not None and self._round.close_ms == fetched.close_ms:
            self._round.fetching = False

    @property
    def is_busy(self) -> bool:
        """Whether a close is being worked on."""
        return self._round is not None

    @property
    def next_due_ms(self) -> int | None:
        """When, in exchange time, something is to be done that nothing announces."""
        if self._decider is None:
            return None
        if self._round is None:
            return self._decider.next_close_ms
        if self._round.decided:
            return self._round.entering[1] if self._round.entering else self._round.leave_until_ms
        if self._round.fetching or self._round.news_until_mono is not None:
            return None
        return self._round.next_fetch_ms

    def forget_entries(self) -> None:
        """Open nothing more at the close that is being worked on."""
        if self._round is not None and self._decider is not None:
            for symbol in self._round.candidates:
                self._decider.refuse(symbol, "STOPPED")
            self._round.candidates.clear()

    def rearm(self) -> str:
        """Let the account open positions again after the drawdown kill switch."""
        if self._decider is None:
            raise AgentError("not yet: the strategy warms up; try again in a minute")
        return self._decider.rearm()

    def turn(self, account: Holdings, opens_nothing: str) -> Iterator[EntryWanted | ExitWanted]:
        """Do what can be done now, and yield what is wanted; the account knows of each before the next."""
        while self._decider is not None:
            if self._round is None and not self._open_round(self._decider):
                return
            assert self._round is not None
            if not self._round.decided:
                if not self._is_complete(self._decider, self._round):
                    return
                if self._awaits_news(self._decider, self._round, account):
                    return
                yield from self._decide(self._decider, self._round, account)
            yield from self._enter(self._decider, self._round, account, opens_nothing)
            if self._round.candidates or self._round.entering:
                return
            reached(Step.CLOSED)
            self._decider.finish()
            reached(Step.SAVED)
            self.last_close_ms = self._round.close_ms
            self._round = None

    def _open_round(self, decider: Deciding) -> bool:
        close_ms = decider.next_close_ms
        # The exchange's word that a candle is closed is better than a clock that is never ahead of it.
        if self._clock.now_ms() < close_ms and not decider.has_any(close_ms):
            return False
        self._round = _Round(close_ms)
        self._round.next_fetch_ms = close_ms + self._backstop_ms
        return True

    def _is_complete(self, decider: Deciding, current: _Round) -> bool:
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
            named = ", ".join(f"{symbol} {timeframe.name}" for symbol, timeframe in missing[:5])
            _log.warning("%s: decided without %s", utc_text(current.close_ms), named)
            return True
        current.fetches += 1
        current.fetching = True
        current.next_fetch_ms = now_ms + self._backstop_ms
        self._fetch(current.close_ms, missing)
        return False

    def _awaits_news(self, decider: Deciding, current: _Round, account: Holdings) -> bool:
        """Say whether a candle shows that an order of ours was reached, and the account has not said so yet.

        Market and account come through different connections; who decides by one without the other takes a
        position for open that is not.
        """
        for symbol in account.held_symbols:
            reached_to = decider.range_at(symbol, current.close_ms)
            if reached_to is not None and account.awaits(symbol, *reached_to):
                break
        else:
            return False
        if current.news_until_mono is None:
            current.news_until_mono = time.monotonic() + _NEWS_WAIT_S
        return time.monotonic() < current.news_until_mono

    def _decide(
        self, decider: Deciding, current: _Round, account: Holdings
    ) -> Iterator[EntryWanted | ExitWanted]:
        now_ms = self._clock.now_ms()
        late = now_ms - current.close_ms > self._late_ms
        decider.close(current.close_ms, account, late=late)
        current.decided = True
        current.leave_until_ms = now_ms + self._late_ms
        current.candidates.extend(decider.candidates())
        for symbol in list(account.held_symbols):
            if decider.leaves(symbol, account.side_of(symbol)) and not account.is_leaving(symbol):
                yield ExitWanted(at_ms=now_ms, symbol=symbol, why="SIGNAL")

    def _enter(
        self, decider: Deciding, current: _Round, account: Holdings, opens_nothing: str
    ) -> Iterator[EntryWanted]:
        """Hand over entries until one has to be waited for."""
        while current.candidates or current.entering:
            now_ms = self._clock.now_ms()
            if current.entering is not None:
                symbol, until_ms = current.entering
                if account.is_entering(symbol) and now_ms < until_ms:
                    return
                current.entering = None
                continue
            symbol = current.candidates[0]
            if account.is_leaving(symbol) and now_ms < current.leave_until_ms:
                return  # it turns: first out, then in
            current.candidates.popleft()
            if account.side_of(symbol):
                continue
            if why := opens_nothing or account.why_not_open(symbol):
                decider.refuse(symbol, why)
                continue
            wanted = decider.judge(symbol, account, now_ms)
            if wanted is not None:
                current.entering = (symbol, now_ms + _ENTRY_WAIT_MS)
                yield wanted
