"""History through the live trader: simulator → streams → trader → orders → simulator, bar by bar.

The clock stands still while anybody has something to do. What comes out are the venue's own fills, which the
backtest's trades are compared with; nothing of the backtest's or of the trader's bookkeeping is believed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

from msgspec.structs import replace

from futures_agent.clock import HOUR_MS
from futures_agent.execution.margin import MAINTENANCE_MARGIN
from futures_agent.live.assembly import Assembly
from futures_agent.program.progress import Reporter
from futures_agent.settings.tree import (
    CostSettings,
    DataSettings,
    ExchangeSettings,
    LiveSettings,
    PathSettings,
    Settings,
)
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.server import RunningSimulator, running_simulator
from futures_agent.simulator.streams.config import StreamsConfig
from futures_agent.simulator.trading.config import AccountConfig, TradingConfig
from parity.stepped_clock import SteppedClock, stand_in_for

KEY, SECRET = "parity", "parity-secret"
EQUITY = 10_000
_FOR_EVER_MS = 10 * 365 * 24 * HOUR_MS
_PATIENCE_S = 60.0
_TICK_S = 0.5
_OPEN_WINDOW_MS = 60_000


def venue_config(costs: CostSettings, leverage: int, **terms: Any) -> SimulatorConfig:
    """Return a venue that stands still, and fills as the backtest does."""
    trading = TradingConfig(
        path="bar",
        open_window_ms=_OPEN_WINDOW_MS,
        accounts=(
            AccountConfig(
                key=KEY,
                secret=SECRET,
                balances={"USDT": Decimal(EQUITY)},
                leverage=leverage,
                margin_type="ISOLATED",
            ),
        ),
        maker_fee=Decimal(repr(costs.maker_fee_bps / 10_000)),
        taker_fee=Decimal(repr(costs.taker_fee_bps / 10_000)),
        half_spread=Decimal(repr(costs.slippage_bps / 10_000)),
        impact=Decimal(repr(costs.impact_bps / 10_000)),
        brackets={"usual": ((Decimal(10**12), Decimal(125), Decimal(repr(MAINTENANCE_MARGIN))),)},
        listen_key_ms=_FOR_EVER_MS,
    )
    streams = StreamsConfig(
        tick_ms=0, ping_ms=_FOR_EVER_MS, longest_ms=_FOR_EVER_MS, answer_first_ms=0.0, patience_s=60.0
    )
    return SimulatorConfig(
        scale=0.0,
        trading=trading,
        streams=streams,
        untradable_symbols=False,
        weight_limit=1_000_000_000,
        orders_per_10s=1_000_000,
        orders_per_min=1_000_000,
        **terms,
    )


def trader_settings(base: Settings, url: str, state_dir: Path, symbols: Sequence[str]) -> Settings:
    """Return `base` for a trader at the venue `url`, its strategy's memory beginning now."""
    files = {}
    for name, text in (("key", KEY), ("secret", SECRET)):
        path = state_dir / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        files[f"{name}_file"] = str(path)
    exchange = ExchangeSettings(
        rest_url=url,
        stream_url=url.replace("http", "ws", 1),
        weight_limit_per_min=1_000_000,
        close_grace_ms=0,
        read_timeout_s=60.0,
    )
    return replace(
        base,
        paths=PathSettings(state_dir=str(state_dir)),
        exchange=exchange,
        data=DataSettings(symbols=tuple(symbols), timeframes=("D1", "H4", "H1")),
        live=LiveSettings(
            mode="testnet",
            anchor_days=0,
            unprotected_limit_s=600.0,
            heartbeat_stale_s=3_000.0,
            reconcile_s=3_600.0,
            rotate_h=80_000.0,
            keep_decisions_days=10_000,
            **files,
        ),
    )


class TraderThread:
    """A live trader in a thread of this process."""

    def __init__(self, settings: Settings) -> None:
        self.assembly = Assembly(settings, Reporter("parity"), lambda: settings)
        self._stop = threading.Event()
        self.fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="trader", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.assembly.trader.run(self._stop.is_set)
        except BaseException as error:
            self.fault = error

    def wait(
        self, check: Callable[[Assembly], bool], while_waiting: Callable[[], None] = lambda: None
    ) -> None:
        """Wait until `check` holds twice in a row; call `while_waiting` a few times a second."""
        deadline, held = time.monotonic() + _PATIENCE_S, 0
        called_mono = time.monotonic()
        while held < 2:
            if time.monotonic() - called_mono >= _TICK_S:
                called_mono = time.monotonic()
                while_waiting()
            if self.fault is not None:
                raise self.fault
            if time.monotonic() > deadline:
                raise TimeoutError(self.explain())
            held = held + 1 if check(self.assembly) else 0
            time.sleep(0.0005)

    def explain(self) -> str:
        """Return what the trader is doing, for a test that waits in vain."""
        one = self.assembly
        lines = [
            f"{line.symbol} {line.exposure}, exit {line.exit_why!r}, unclear {line.is_unclear}, "
            f"told {line.told_agrees}, difference {line.difference}, ask {line.ask_ms}, "
            f"orders {[(o.client_id, o.state.value, o.status, str(o.unseen)) for o in line.orders.values()]}"
            for line in one.desk.lines.values()
            if not line.is_idle
        ]
        return (
            f"{one.trader.phase}, reconciled {one.trader.reconciled}, inbox done {one.inbox.is_done}, "
            f"in flight {one.clerk.in_flight}, audit {one.audit.is_pending}, round {one.rounds.is_busy}, "
            f"last close {one.rounds.last_close_ms}, now {one.clock.now_ms()}, "
            f"reconcile wanted {one.desk.reconcile_wanted_ms()}, {lines}"
        )

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(_PATIENCE_S)
        self.assembly.close()


@contextmanager
def trading(config: SimulatorConfig, settings: Settings, state_dir: Path) -> Iterator[Replay]:
    """Run a venue and a trader; the trader begins to decide at the next close."""
    with ExitStack() as stack:
        simulator = stack.enter_context(running_simulator(config))
        clock = SteppedClock(simulator.clock)
        stack.enter_context(mock.patch("futures_agent.exchange.reading.ExchangeClock", stand_in_for(clock)))
        mine = trader_settings(settings, simulator.url, state_dir, config.symbols)
        replay = Replay(simulator, mine)
        stack.callback(replay.stop)
        replay.start()
        yield replay


class Replay:
    """One venue and one trader, stepped from close to close."""

    def __init__(self, simulator: RunningSimulator, settings: Settings) -> None:
        self.simulator = simulator
        self.settings = settings
        self.trader: TraderThread | None = None
        # The venue forgets after three months, as the exchange does.
        self.fills: list[Any] = []
        self.incomes: list[Any] = []
        self.names: dict[tuple[str, int], str] = {}  # client ids by symbol and order id

    @property
    def now_ms(self) -> int:
        return self.simulator.clock.now_ms()

    def start(self) -> None:
        """Start the trader and wait until it trades."""
        self.trader = TraderThread(self.settings)
        self.trader.wait(lambda one: one.trader.is_idle and one.streams_are_up)

    def stop(self) -> None:
        if self.trader is not None:
            self.trader.stop()
            self.trader = None

    def step_to(self, close_ms: int) -> None:
        """Let the venue come to a close, and the trader do all that it wants to do there."""
        assert self.trader is not None
        self.simulator.clock.set(close_ms)
        self.simulator.venue.advance(close_ms)
        # What the account's stream has yet to tell must not be overtaken by the next close.
        self.trader.wait(
            lambda one: (
                one.rounds.last_close_ms == close_ms
                and one.trader.is_idle
                and one.cash.balance == self.wallet()
            ),
            lambda: self._tick(close_ms),
        )
        self._collect()

    def wallet(self) -> Decimal:
        """Return the balance of the account that the trader trades on."""
        return self.simulator.venue.exchange.accounts[0].wallet("USDT")

    def _tick(self, close_ms: int) -> None:
        """Let a second pass: some of what the trader does about doubts has a pace of its own.

        Prices stand still meanwhile.
        """
        if self.now_ms < close_ms + _OPEN_WINDOW_MS - 2_000:
            self.simulator.clock.step(1_000)
            self.simulator.venue.advance(self.now_ms)

    def _collect(self) -> None:
        """Take what the venue booked since the last time."""
        account = self.simulator.venue.exchange.accounts[0]
        with self.simulator.venue.lock:
            self.fills += _newer(account.fills, self.fills)
            self.incomes += _newer(account.incomes, self.incomes)
            self.names |= {key: account.orders[key].client_order_id for key in account.orders}


def _newer(booked: list[Any], known: list[Any]) -> list[Any]:
    """Return the end of `booked` that lies behind the last of `known`."""
    if not known:
        return list(booked)
    last = next(place for place in range(len(booked) - 1, -1, -1) if booked[place] is known[-1])
    return booked[last + 1 :]
