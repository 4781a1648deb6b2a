"""A paper trader stepped along a simulated market, in one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

from msgspec.structs import replace

from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.live.paper import PaperBroker
from futures_agent.settings.tree import CostSettings, RiskSettings, Settings, StrategySettings
from futures_agent.simulator.server import running_simulator
from parity.replay import Replay, trader_settings, venue_config
from parity.stepped_clock import SteppedClock, stand_in_for
from trading_worlds import START_MS

SYMBOLS = ("BTCUSDT", "SOLUSDT", "DOGEUSDT", "XRPUSDT")
BEGIN_MS = START_MS - START_MS % DAY_MS
PLENTY = Settings(
    strategy=StrategySettings(name="ema_cross", params={"fast": 5, "slow": 13}),
    risk=RiskSettings(max_drawdown=0.95, max_daily_loss=0.9),
    costs=CostSettings(),
)


class PaperReplay(Replay):
    """One market and one paper trader, stepped from close to close."""

    @property
    def paper(self) -> PaperBroker:
        assert self.trader is not None
        broker = self.trader.assembly.broker
        assert isinstance(broker, PaperBroker)
        return broker

    def wallet(self) -> Decimal:
        return self.paper.snapshot().wallet.balance

    def step(self, hours: int = 1) -> None:
        """Let the trader see hours go by."""
        for _ in range(hours):
            self.step_to((self.now_ms // HOUR_MS + 1) * HOUR_MS)

    def step_until_held(self, most_hours: int = 400) -> None:
        """Step until a position is open."""
        for _ in range(most_hours):
            self.step()
            if self.held:
                return
        raise AssertionError("no position in all that time")

    @property
    def held(self) -> dict[str, Any]:
        return {each.symbol: each for each in self.paper.snapshot().positions}

    def audit(self) -> None:
        """Have the account compared now."""
        assert self.trader is not None
        self.trader.assembly.audit.ask()
        self.trader.wait(lambda one: one.trader.is_idle)

    def leave_alone(self, hours: int) -> None:
        """Let hours go by that no trader sees."""
        assert self.trader is None
        for _ in range(hours):
            close_ms = (self.now_ms // HOUR_MS + 1) * HOUR_MS
            self.simulator.clock.set(close_ms)
            self.simulator.venue.advance(close_ms)


@contextmanager
def paper_trading(state_dir: Path, settings: Settings = PLENTY, **live: Any) -> Iterator[PaperReplay]:
    """Run a market that stands still and a paper trader that decides at its next close."""
    with ExitStack() as stack:
        config = venue_config(settings.costs, 3, symbols=SYMBOLS, seed=6, history_days=2, start_ms=BEGIN_MS)
        simulator = stack.enter_context(running_simulator(config))
        clock = SteppedClock(simulator.clock)
        stack.enter_context(mock.patch("futures_agent.exchange.reading.ExchangeClock", stand_in_for(clock)))
        mine = trader_settings(settings, simulator.url, state_dir, SYMBOLS)
        mine = replace(mine, live=replace(mine.live, mode="paper", **live))
        replay = PaperReplay(simulator, mine)
        stack.callback(replay.stop)
        replay.start()
        yield replay
