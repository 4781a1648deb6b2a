"""A venue and a live trader on one stepped clock, between which a fault strikes.

Time stands still while anybody has something to do, and then goes on to whatever is due next: what takes
half a minute at the exchange takes none here, and how long a position was without a stop is told exactly.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
from msgspec.structs import replace

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, parse_utc
from futures_agent.settings.tree import (
    CostSettings,
    DataSettings,
    ExchangeSettings,
    LiveSettings,
    PathSettings,
    RiskSettings,
    Settings,
    StrategySettings,
)
from futures_agent.simulator.clock import VenueClock
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.fault_plan import Planned
from futures_agent.simulator.fault_script import read_fault
from futures_agent.simulator.faults import Asked, Fault
from futures_agent.simulator.server import RunningSimulator, running_simulator
from futures_agent.simulator.streams.config import StreamsConfig
from futures_agent.simulator.trading.config import AccountConfig, TradingConfig
from parity.replay import TraderThread
from parity.stepped_clock import SteppedClock, stand_in_for

SYMBOL = "BTCUSDT"
# The hour from here on goes 0.8 % up and 0.56 % down from its open: a stop or a target inside is reached.
OPEN_MS = parse_utc("2026-03-02T14:00Z")
PRICES_SEED = 3
KEY, SECRET = "faults", "faults-secret"
AUDIT_MS = 3 * MINUTE_MS  # the trader's routine look at the account, which host time paces, in venue time
_STRIDE_MS = MINUTE_MS  # where nothing is due
_FRUITLESS, _LONG_STRIDE_MS = 12, 8 * SECOND_MS
_CLOSE_STRIDE_MS = 500  # where something is under way, or a position is without its stop
_MOMENT_MS, _NEVER_MS = 10, 2**62
_PATIENCE_S, _IDLE_PATIENCE_S = 5.0, 0.5
_START_PATIENCE_S = 60.0
# Host time that the network may take; shortened, as the network is this machine.
_WAITS: dict[str, Any] = {
    "live.audit._PAUSES_S": (0.05, 0.1, 0.2, 0.5, 1.0),
    "exchange.streams.stream._WAITS_S": (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0),
    "exchange.streams.stream._OVERLAP_S": 0.2,
    "exchange.streams.user._REST_S": 0.2,
    "exchange.streams.user._TOLD_WITHIN_S": 2.0,
    "exchange.streams.market._SUSPECT_S": 0.3,
    "exchange.streams.wire._PING_S": 2.0,
}


class OfType(Fault, frozen=True, kw_only=True):
    """A fault of REST answers that strikes only orders of one `type`."""

    type: str

    def hits(self, asked: Asked) -> bool:
        return Fault.hits(self, asked) and asked.params.get("type") == self.type


class OffsetClock(SteppedClock):
    """Exchange time as the exchange tells it, right or wrong."""

    def __init__(self, venue: VenueClock) -> None:
        super().__init__(venue)
        self.offset_ms = 0

    def sync(self, server_ms: int, sent_mono: float, received_mono: float) -> None:
        super().sync(server_ms, sent_mono, received_mono)
        self.offset_ms = server_ms - self._venue.now_ms()

    def now_ms(self) -> int:
        return super().now_ms() + self.offset_ms

    def at_ms(self, mono_s: float) -> int:
        return self.now_ms()

    def host_seconds_until(self, exchange_ms: int) -> float:
        return 0.0 if exchange_ms <= self.now_ms() else 0.002


class World:
    """One venue and one trader.

    Attributes
    ----------
    trader : TraderThread or None
    naked_ms : int
        The longest time in which a position was without a live stop, venue time, once the trader had done
        what it could do at a moment.
    most_stops : int
        The most live stops that were seen for one symbol.
    """

    def __init__(self, simulator: RunningSimulator, settings: Settings, clock: OffsetClock) -> None:
        self.simulator = simulator
        self.settings = settings
        self.clock = clock
        self.trader: TraderThread | None = None
        self.naked_ms = 0
        self.most_stops = 0
        self.faults: list[tuple[Planned, int]] = []  # with its number in the plan
        self._naked_since_ms: int | None = None
        self._audited_ms = 0
        self._fruitless = 0  # rests in a row that came to no end

    @property
    def now_ms(self) -> int:
        return self.simulator.clock.now_ms()

    @property
    def account(self) -> Any:
        """The venue's account; hold the venue's lock."""
        return self.simulator.venue.exchange.accounts[0]

    # Faults.

    def order_fault(self, told: dict[str, Any]) -> None:
        """Let a fault lie in wait, or happen now; `do` names what a person does instead."""
        venue = self.simulator.venue
        if "do" in told:
            with venue.lock:
                getattr(self, told["do"])()
            return
        if "type" in told:
            fault: Planned = msgspec.convert(told, OfType)
        else:
            fault = read_fault(msgspec.json.encode(told), self.now_ms)
        self.faults.append((fault, venue.faults.add(fault)))
        venue.advance(self.now_ms)

    def unengaged(self) -> list[str]:
        """Return the faults that never struck, and why they could not where that is known."""
        rows = {row["number"]: row for row in self.simulator.venue.faults.rows(self.now_ms)}
        numbers = [number for _, number in self.faults]
        idle = [rows[number] for number in numbers if not rows[number]["engaged"]]
        return [f"{row['how']} did not strike {row.get('note', '')}".rstrip() for row in idle]

    def nothing(self) -> None:
        """A moment in which nothing happens."""

    def cancel_stops(self) -> None:
        """A person cancels the conditional orders at the exchange."""
        exchange, account = self.simulator.venue.exchange, self.account
        assert exchange.cancel_all_algos(account, SYMBOL, self.now_ms), "there was no stop to cancel"

    def cancel_orders(self) -> None:
        """A person cancels the regular orders at the exchange."""
        exchange, account = self.simulator.venue.exchange, self.account
        assert exchange.cancel_all(account, SYMBOL, self.now_ms), "there was no order to cancel"

    def cut_streams(self) -> None:
        """Every connection is torn."""
        assert self.simulator.venue.streams.disturb("closed"), "there was no connection to tear"

    # Time.

    def start(self) -> None:
        """Start a trader; time goes on until it trades."""
        assert self.trader is None
        self.trader = TraderThread(self.settings)
        ends_mono = time.monotonic() + _START_PATIENCE_S
        while not (self._one.trader.is_idle and self._one.streams_are_up):
            self._raise_fault()
            if time.monotonic() > ends_mono:
                raise TimeoutError(self.trader.explain())
            self._rest()
            if not self._one.trader.is_idle:
                self._step(self._next_ms(self._close_stride_ms))

    def stop(self) -> None:
        if self.trader is not None:
            self.trader.stop()
            self.trader = None

    def go_to(self, until_ms: int) -> None:
        """Let time pass."""
        while self.now_ms < until_ms:
            self._rest()
            self._look()
            now_ms = self.now_ms
            if now_ms - self._audited_ms >= AUDIT_MS:
                self._audited_ms = now_ms
                self._one.audit.ask()
            stride_ms = _STRIDE_MS if self._is_calm else self._close_stride_ms
            self._step(min(until_ms, self._next_ms(stride_ms)))
        self._rest()
        self._look()

    @property
    def _one(self) -> Any:
        assert self.trader is not None
        return self.trader.assembly

    @property
    def _is_calm(self) -> bool:
        return self._one.trader.is_idle and self._one.streams_are_up and self._naked_since_ms is None

    @property
    def _close_stride_ms(self) -> int:
        """Small steps; larger ones while all that happens is that a limit of the exchange is waited out."""
        return min(_CLOSE_STRIDE_MS << max(self._fruitless - _FRUITLESS, 0), _LONG_STRIDE_MS)

    def _due_ms(self) -> int:
        """Return when something is due by the trader's word, venue time."""
        one = self._one
        try:
            dues = (one.desk.next_due_ms(), one.desk.reconcile_wanted_ms(), one.rounds.next_due_ms)
        except RuntimeError:  # it is changing just now
            return 0
        return min((each for each in dues if each is not None), default=_NEVER_MS) - self.clock.offset_ms

    def _next_ms(self, stride_ms: int) -> int:
        """Return the time to go on to: what is due next, a moment from now at least, a stride at most."""
        return min(max(self._due_ms(), self.now_ms + _MOMENT_MS), self.now_ms + stride_ms)

    def _step(self, to_ms: int) -> None:
        self.simulator.clock.set(to_ms)
        self.simulator.venue.advance(to_ms)

    def _rest(self) -> None:
        """Wait until nobody has anything to do, or waits for time to pass."""
        one, hub = self._one, self.simulator.venue.streams
        began, held, seen = time.monotonic(), 0, -1
        while held < 3:
            self._raise_fault()
            working = hub.in_flight or hub.waiting or not one.inbox.is_done
            if time.monotonic() - began > (_PATIENCE_S if working else _IDLE_PATIENCE_S):
                self._fruitless += 1
                return
            calm = (
                not working and hub.activity == seen and one.trader.is_idle and self._due_ms() > self.now_ms
            )
            held, seen = (held + 1 if calm else 0), hub.activity
            time.sleep(0.001)
        self._fruitless = 0

    def _raise_fault(self) -> None:
        assert self.trader is not None
        if self.trader.fault is not None:
            raise self.trader.fault

    def _look(self) -> None:
        """Note whether every position has its stop at the venue."""
        with self.simulator.venue.lock:
            stops = [
                algo.side
                for algo in self.account.algos_of(SYMBOL)
                if algo.type == "STOP_MARKET" and algo.close_position
            ]
            amount = self.account.position(SYMBOL).amount
        self.most_stops = max(self.most_stops, len(stops))
        if amount and ("SELL" if amount > 0 else "BUY") not in stops:
            if self._naked_since_ms is None:
                self._naked_since_ms = self.now_ms
            self.naked_ms = max(self.naked_ms, self.now_ms - self._naked_since_ms)
        else:
            self._naked_since_ms = None


def _settings(url: str, state_dir: Path, live: dict[str, Any]) -> Settings:
    files = {}
    for name, text in (("key", KEY), ("secret", SECRET)):
        path = state_dir / f"{name}.txt"
        path.write_text(text)
        files[f"{name}_file"] = str(path)
    return Settings(
        paths=PathSettings(state_dir=str(state_dir)),
        exchange=ExchangeSettings(
            rest_url=url,
            stream_url=url.replace("http", "ws", 1),
            close_grace_ms=0,
            read_timeout_s=2.0,
        ),
        data=DataSettings(symbols=(SYMBOL,), timeframes=("D1", "H4", "H1")),
        strategy=StrategySettings(name="faults.scripted:SCRIPTED"),
        risk=RiskSettings(
            fixed_notional=2_000.0, max_daily_loss=0.9, max_drawdown=0.95, max_position_leverage=1.0
        ),
        live=replace(
            LiveSettings(
                mode="testnet",
                anchor_days=0,
                stream_silence_s=2.0,
                symbol_silence_s=4.0,
                heartbeat_stale_s=3_000.0,
                reconcile_s=3_600.0,  # see AUDIT_MS
                **files,
            ),
            **live,
        ),
    )


@contextmanager
def world(scratch: Path, seed: int, live: dict[str, Any]) -> Iterator[World]:
    """Run a venue whose clock stands two minutes before `OPEN_MS`; its trader is not started."""
    costs = CostSettings()
    config = SimulatorConfig(
        symbols=(SYMBOL,),
        seed=PRICES_SEED,
        history_days=3,
        start_ms=OPEN_MS - 2 * MINUTE_MS,
        scale=0.0,
        untradable_symbols=False,
        streams=StreamsConfig(answer_first_ms=2.0),
        trading=TradingConfig(
            accounts=(
                AccountConfig(
                    key=KEY,
                    secret=SECRET,
                    balances={"USDT": Decimal(10_000)},
                    leverage=3,
                    margin_type="ISOLATED",
                ),
            ),
            half_spread=Decimal(repr(costs.slippage_bps / 10_000)),
        ),
    )
    with ExitStack() as stack:
        for name, value in _WAITS.items():
            stack.enter_context(mock.patch(f"futures_agent.{name}", value))
        simulator = stack.enter_context(running_simulator(config))
        simulator.venue.streams._random.seed(seed)  # which of answer and event comes first
        clock = OffsetClock(simulator.clock)
        stack.enter_context(mock.patch("futures_agent.exchange.reading.ExchangeClock", stand_in_for(clock)))
        one = World(simulator, _settings(simulator.url, scratch, live), clock)
        stack.callback(one.stop)
        yield one


__all__ = ["DAY_MS", "HOUR_MS", "OPEN_MS", "SYMBOL", "World", "world"]
