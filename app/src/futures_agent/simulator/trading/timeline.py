"""The timeline: everything that happens by itself, in the order of time.

At one instant, in this order: what the price's path brings up to it; funding; what was waited for
(triggered orders, countdowns, dates, listen keys); the check of margins.
"""

from __future__ import annotations

import heapq

import numpy as np

from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.admission import TRADED_STATUSES
from futures_agent.simulator.trading.bars import Bars
from futures_agent.simulator.trading.calm import Calm
from futures_agent.simulator.trading.funding import Funding
from futures_agent.simulator.trading.liquidation import Liquidation
from futures_agent.simulator.trading.listen_keys import expire_listen_key
from futures_agent.simulator.trading.matching import Matching
from futures_agent.simulator.trading.reach import Arrival, Mark, Trail, first_on, follow, marks_of, trail_of
from futures_agent.simulator.trading.records import AlgoOrder, Order, Position
from futures_agent.simulator.trading.retention import forget
from futures_agent.simulator.trading.state import Due, State
from futures_agent.simulator.trading.triggers import TRAILING, Triggers


class Timeline:
    """Moves the exchange through time."""

    def __init__(
        self,
        state: State,
        matching: Matching,
        triggers: Triggers,
        liquidation: Liquidation,
        funding: Funding,
    ) -> None:
        self._state = state
        self._matching = matching
        self._triggers = triggers
        self._liquidation = liquidation
        self._funding = funding
        self._bars = Bars(state, matching, triggers, liquidation)
        self._calm = Calm(state, matching, liquidation)
        self._ticks_ahead = 1  # how far it is worth to look whether a stretch is calm
        self._by_bar = state.config.path == "bar"
        self._walked: dict[str, int] = {}  # with path="bar": up to where a symbol's path has been walked
        # Signs of the positions that the current candle has judged, by account id and position side.
        self._judged: dict[tuple[int, str], int] = {}

    def advance(self, to_ms: int) -> None:
        """Let everything happen before `to_ms`, and what is due then; a past time changes nothing.

        Where the path has come to at `to_ms` counts from then on: who acts at that very time acts first.
        """
        state = self._state
        while state.now_ms < to_ms:
            staked = self._staked()
            end_ms = min(to_ms, self._next_stop(bool(staked)))
            if self._by_bar:
                self._judge_bars(staked, end_ms)
            elif staked and (end_ms := self._walk(staked, end_ms)) == state.now_ms:
                continue  # what has arrived may have changed what comes next
            state.now_ms = end_ms
            if end_ms % HOUR_MS == 0:
                self._funding.settle(end_ms)
            self._run_due()
            if end_ms % DAY_MS == 0:
                forget(state)
            if staked:
                self._liquidation.check()

    def settle(self, symbol: str) -> None:
        """Walk one symbol's path up to now, before something about it changes."""
        state = self._state
        if not self._by_bar:
            return
        open_ms = state.config.timeframe.open_of(state.now_ms)
        now_ms = open_ms if state.now_ms - open_ms <= state.config.open_window_ms else state.now_ms
        walked = max(self._walked.get(symbol, open_ms), open_ms)
        self._walked[symbol] = max(walked, now_ms)
        self._walk_alone(symbol, walked, now_ms)

    def _next_stop(self, staked: bool) -> int:
        """Return the next time at which something else than an arrival may happen."""
        state = self._state
        stop = (state.now_ms // HOUR_MS + 1) * HOUR_MS
        if state.waiting:
            stop = min(stop, max(state.waiting[0].time_ms, state.now_ms + 1))
        if staked and self._by_bar:
            stop = min(stop, self._state.config.timeframe.open_of(state.now_ms) + state.config.timeframe.ms)
        return stop

    def _staked(self) -> list[str]:
        """Return the symbols in which somebody has an order or a position, in the market's order."""
        symbols: set[str] = set()
        for account in self._state.accounts:
            symbols.update(order.symbol for order in account.open_orders.values())
            symbols.update(algo.symbol for algo in account.open_algos.values())
            symbols.update(position.symbol for position in account.held())
        return [symbol for symbol in self._state.market.listings if symbol in symbols]

    # With path="ticks": arrival by arrival, over all symbols.

    def _walk(self, symbols: list[str], to_ms: int) -> int:
        """Walk a part of [now, to_ms) and return its end: now, where something has arrived on the way.

        Margins are looked at tick by tick, but where all is calm they need not be.
        """
        state, tick_ms = self._state, self._state.config.tick_ms
        tick = state.now_ms // tick_ms
        while self._ticks_ahead > 1:
            end_ms = min(to_ms, (tick + self._ticks_ahead) * tick_ms)
            if self._calm.holds(symbols, end_ms):
                for symbol in symbols:
                    self._follow(symbol, state.now_ms, end_ms)
                self._ticks_ahead = min(2 * self._ticks_ahead, HOUR_MS // tick_ms + 1)
                return end_ms
            self._ticks_ahead //= 2
        self._ticks_ahead = 2
        end_ms = min(to_ms, (tick + 1) * tick_ms)
        return end_ms if self._step(symbols, state.now_ms, end_ms) is None else state.now_ms

    def _step(self, symbols: list[str], from_ms: int, to_ms: int) -> Arrival | None:
        """Let the first arrival on the paths of `symbols` in [from_ms, to_ms) happen, and return it."""
        arrivals = (self._first_arrival(symbol, from_ms, to_ms) for symbol in symbols)
        first = min((each for each in arrivals if each), key=lambda each: each.time_ms, default=None)
        for symbol in symbols:
            self._follow(symbol, from_ms, to_ms if first is None else first.time_ms)
        if first is not None:
            self._state.now_ms = max(self._state.now_ms, first.time_ms)
            self._arrive(first)
        return first

    def _first_arrival(self, symbol: str, from_ms: int, to_ms: int) -> Arrival | None:
        if self._state.status(symbol) not in TRADED_STATUSES:
            return None
        trail = self._trail(symbol)
        marks = self._marks(symbol, trail)
        for leg in self._state.prices.legs(symbol, from_ms, to_ms) if marks else ():
            arrival = first_on(leg, marks)
            if arrival is not None:
                return arrival
            if trail:
                follow(trail, self._algos(symbol), leg.at(leg.to_ms))
                marks = self._marks(symbol, trail)
        return None

    def _marks(self, symbol: str, trail: Trail) -> list[Mark]:
        marks = marks_of(self._state, symbol, trail, self._matching.level_of, self._liquidation.price_of)
        return [mark for mark in marks if not self._is_judged(mark)] if self._judged else marks

    def _algos(self, symbol: str) -> list[AlgoOrder]:
        return [algo for account in self._state.accounts for algo in account.algos_of(symbol)]

    def _trail(self, symbol: str) -> Trail:
        return trail_of(self._algos(symbol))

    def _follow(self, symbol: str, from_ms: int, to_ms: int) -> None:
        """Let the trailing stops of `symbol` see the path from `from_ms` to `to_ms`."""
        trail = self._trail(symbol)
        if trail and from_ms < to_ms:
            algos = self._algos(symbol)
            for leg in self._state.prices.legs(symbol, from_ms, to_ms):
                follow(trail, algos, leg.at(leg.from_ms))
                follow(trail, algos, leg.at(leg.to_ms))
            for algo in algos:
                algo.extreme_price = trail.get(algo.algo_id, algo.extreme_price)

    def _arrive(self, arrival: Arrival) -> None:
        account, what = arrival.mark.account, arrival.mark.what
        if isinstance(what, Order):
            self._matching.fill_resting(account, what)
        elif isinstance(what, Position):
            self._liquidation.liquidate(account, what, arrival.price)
        elif what.type == TRAILING and not what.is_activated:
            self._triggers.activate(account, what, arrival.price)
        else:
            self._triggers.fire(account, what, arrival.price)

    # With path="bar": candle by candle.

    def _judge_bars(self, symbols: list[str], close_ms: int) -> None:
        """Let the candles that close at `close_ms`, if it is a close, do what they do, just before it."""
        state = self._state
        if close_ms % state.config.timeframe.ms:
            return
        state.now_ms = max(state.now_ms, close_ms - 1)
        open_ms = close_ms - state.config.timeframe.ms
        for symbol in symbols:
            walked = max(self._walked.get(symbol, open_ms), open_ms)
            self._walked[symbol] = close_ms
            bar = state.prices.bar(symbol, open_ms)
            if bar is None or state.status(symbol) not in TRADED_STATUSES:
                continue
            if walked == open_ms:
                self._judge_positions(symbol, bar)
            self._walk_alone(symbol, walked, close_ms)
            self._judged.clear()

    def _judge_positions(self, symbol: str, bar: np.void) -> None:
        for account in self._state.accounts:
            for position in account.held():
                if position.symbol == symbol:
                    self._judged[account.account_id, position.side] = position.sign
                    self._bars.judge(account, position, bar)

    def _is_judged(self, mark: Mark) -> bool:
        """Say whether the whole candle has judged already what `mark` stands for."""
        what = mark.what
        if isinstance(what, Position):
            return (mark.account.account_id, what.side) in self._judged
        sign = self._judged.get((mark.account.account_id, what.position_side), 0)
        return what.sign == -sign and not (isinstance(what, AlgoOrder) and what.type == TRAILING)

    def _walk_alone(self, symbol: str, from_ms: int, to_ms: int) -> None:
        while from_ms < to_ms and (arrival := self._first_arrival(symbol, from_ms, to_ms)) is not None:
            self._follow(symbol, from_ms, arrival.time_ms)
            from_ms = arrival.time_ms
            self._arrive(arrival)
        self._follow(symbol, from_ms, to_ms)

    # What was waited for.

    def _run_due(self) -> None:
        state = self._state
        while state.waiting and state.waiting[0].time_ms <= state.now_ms:
            waiting = heapq.heappop(state.waiting)
            account, what = waiting.account, waiting.what
            if waiting.due is Due.TRIGGERED:
                self._engage(account, what)
            elif waiting.due is Due.GOOD_TILL:
                self._expire(account, what)
            elif waiting.due is Due.COUNTDOWN:
                self._count_down(account, what)
            elif waiting.due is Due.LISTEN_KEY:
                expire_listen_key(state, account)

    def _engage(self, account: Account, algo_id: int) -> None:
        algo = account.algos[algo_id]
        if algo.status == "TRIGGERING":
            self._triggers.engage(account, algo)

    def _expire(self, account: Account, what: int | tuple[str, int]) -> None:
        if isinstance(what, int):
            if what in account.open_algos and account.algos[what].status == "NEW":
                self._triggers.expire(account, account.algos[what])
        elif what in account.open_orders:
            self._matching.expire(account, account.open_orders[what], 0)

    def _count_down(self, account: Account, symbol: str) -> None:
        if account.countdowns.get(symbol, self._state.now_ms + 1) <= self._state.now_ms:
            del account.countdowns[symbol]
            for order in account.orders_of(symbol):
                self._matching.cancel(account, order)
