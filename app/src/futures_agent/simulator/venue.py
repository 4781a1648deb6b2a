"""One simulated exchange: its clock, its market, its limits, and a tally of what it answered."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from futures_agent.clock import MINUTE_MS, SystemClock
from futures_agent.settings.tree import DEFAULT_SYMBOLS
from futures_agent.simulator.clock import VenueClock
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.connections import Connections
from futures_agent.simulator.fault_acts import perform
from futures_agent.simulator.fault_orders import PlannedInterference
from futures_agent.simulator.fault_plan import FaultPlan
from futures_agent.simulator.fault_script import read_script
from futures_agent.simulator.fault_streams import Tampering
from futures_agent.simulator.faults import ClockSkew, EngineDelay
from futures_agent.simulator.generator import GeneratedCandles
from futures_agent.simulator.ledger_file import LedgerFile
from futures_agent.simulator.macro import load_macro
from futures_agent.simulator.market import CandleSource, Market
from futures_agent.simulator.order_counts import OrderCounts
from futures_agent.simulator.sentiment import Sentiment, read_funding
from futures_agent.simulator.signing import check_accounts
from futures_agent.simulator.streams.feed import Feed
from futures_agent.simulator.streams.hub import StreamHub
from futures_agent.simulator.streams.payloads import Payloads
from futures_agent.simulator.trading.exchange import Exchange
from futures_agent.simulator.trading.history import History
from futures_agent.simulator.trading.ledger import Ledger
from futures_agent.simulator.weights import WeightLimiter

# Requests that are counted beside the weight, by number: pool -> limit per window.
FUNDING_POOL, STATISTICS_POOL = "funding", "statistics"
_POOL_LIMITS = {FUNDING_POOL: 500, STATISTICS_POOL: 1000}
_POOL_WINDOW_MS = 5 * MINUTE_MS
_FRED_REQUESTS_PER_MIN = 120  # of each key


@dataclass
class Tally:
    """What was answered so far."""

    requests: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    by_path: Counter[str] = field(default_factory=Counter)

    def count(self, path: str, status: int) -> None:
        self.requests += 1
        self.by_status[status] += 1
        self.by_path[path] += 1

    def clear(self) -> None:
        self.requests = 0
        self.by_status.clear()
        self.by_path.clear()


class Venue:
    """Everything that the endpoints of one simulator share."""

    def __init__(self, config: SimulatorConfig) -> None:
        check_accounts(config.trading.accounts)
        source, start_ms = _source(config)
        self.market = Market(source)
        self.clock = VenueClock(start_ms, config.scale)
        self.limiter = WeightLimiter(config.weight_limit, config.tolerated_refusals)
        self.pools = {
            name: WeightLimiter(limit, config.tolerated_refusals, _POOL_WINDOW_MS)
            for name, limit in _POOL_LIMITS.items()
        }
        recorded = read_funding(config.dataset) if config.dataset is not None else {}
        self.sentiment = Sentiment(self.market, config.seed, recorded)
        self.macro = load_macro(config.dataset, config.seed)
        self.fred_limiter = WeightLimiter(_FRED_REQUESTS_PER_MIN, config.tolerated_refusals)
        self.order_counts = OrderCounts(config.orders_per_10s, config.orders_per_min)
        self.lock = threading.RLock()  # of the exchange; whoever calls it holds this
        self.ledger_file = None if config.ledger is None else LedgerFile(config.ledger)
        ledger = Ledger(
            lines_kept=config.ledger_lines_kept,
            write=None if self.ledger_file is None else self.ledger_file.append,
        )
        self.exchange = Exchange(
            self.market, self.sentiment, config.trading, config.seed, self.clock.now_ms(), ledger
        )
        self.payloads = Payloads(
            self.market, self.exchange.state.prices, self.sentiment, config.trading.half_spread
        )
        feed = Feed(self.market, self.payloads, self.exchange.status, config.streams.tick_ms)
        self.streams = StreamHub(self.clock, feed, config.streams, seed=config.seed, advance=self.advance)
        self.exchange.subscribe(self.streams.on_event, self.streams.on_market)
        self.history = History()
        self.exchange.subscribe(self.history.on_event)
        self.faults = FaultPlan(config.seed)
        for fault in read_script(config.script, self.clock.now_ms()) if config.script else ():
            self.faults.add(fault)
        self.exchange.interfere(PlannedInterference(self.faults))
        self.streams.tamper = Tampering(self.faults, self._key_of)
        self.legacy_avg_price = config.legacy_avg_price
        self.retry_after = config.retry_after
        self.latency_ms = config.latency_ms
        self.tally = Tally()
        self.connections = Connections()

    def advance(self, now_ms: int) -> None:
        """Let everything happen on the exchange up to `now_ms` (ms UTC)."""
        with self.lock:
            for at_ms, entry in self.faults.due(now_ms):
                self.exchange.advance(at_ms)
                perform(self, entry)
            self.exchange.advance(now_ms)

    def engine_delay_ms(self, now_ms: int) -> int:
        """Return how late (venue time) an order that comes at `now_ms` reaches the matching engine."""
        delay = self.faults.engage(EngineDelay, now_ms, lambda each: True)
        return delay.delay_ms if delay else 0

    def _key_of(self, listen_key: str) -> str:
        """Return the API key of the account whose listen key this is; empty where it is none's."""
        return next((each.key for each in self.exchange.accounts if each.listen_key == listen_key), "")

    def told_ms(self, now_ms: int) -> int:
        """Return the time that the venue tells, and holds timestamps against, at `now_ms` (ms UTC)."""
        skew = self.faults.engage(ClockSkew, now_ms, lambda each: True)
        return now_ms + skew.skew_ms if skew else now_ms


def _source(config: SimulatorConfig) -> tuple[CandleSource, int | None]:
    """Return where the candles come from, and where the clock starts (None: the host's time)."""
    if config.dataset is not None:
        from futures_agent.simulator.dataset import RecordedCandles

        recorded = RecordedCandles.load(
            config.dataset,
            symbols=config.symbols,
            first_ms=config.data_start_ms,
            last_ms=config.data_end_ms,
            start_ms=config.start_ms,
            with_untradable=config.untradable_symbols,
        )
        return recorded, recorded.start_ms
    start_ms = SystemClock().now_ms() if config.start_ms is None else config.start_ms
    generated = GeneratedCandles(
        config.symbols or DEFAULT_SYMBOLS,
        seed=config.seed,
        start_ms=start_ms,
        history_days=config.history_days,
        onboard_ms=config.onboard_ms,
        with_untradable=config.untradable_symbols,
    )
    return generated, config.start_ms
