"""Putting the live trader together: which broker, which streams, and what is remembered."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

from futures_agent import __version__
from futures_agent.backtest.result_files import read_latest
from futures_agent.clock import Clock
from futures_agent.errors import AgentError, Interrupted, Refuse
from futures_agent.exchange.client import MarketDataClient
from futures_agent.exchange.orders import Seen
from futures_agent.exchange.sentiment import FundingPage, SentimentClient
from futures_agent.exchange.streams.market import MarketStream
from futures_agent.exchange.trading import MARGIN_ASSET, ExchangeBroker
from futures_agent.live.account import RiskMemory
from futures_agent.live.audit import Audit
from futures_agent.live.broker import Broker
from futures_agent.live.candle_fetch import CandleFetch, Found
from futures_agent.live.clerk import Clerk
from futures_agent.live.control import Control
from futures_agent.live.deciding import Decided, Decider
from futures_agent.live.desk import Desk
from futures_agent.live.heartbeat import Heartbeat, Limits
from futures_agent.live.inbox import CandleClosed, Inbox, StreamChanged, WarmedUp, WorkFailed
from futures_agent.live.inputs import StoredInputs
from futures_agent.live.journal import Journal
from futures_agent.live.journal_files import read_journal
from futures_agent.live.keys import keys_of
from futures_agent.live.memory import Memory, anchor_of, load_memory, maker_of, save_memory
from futures_agent.live.paper import PaperBroker
from futures_agent.live.paper_missed import Missed
from futures_agent.live.projection import Projection
from futures_agent.live.records import Incident, Record
from futures_agent.live.rounds import Rounds
from futures_agent.live.rows import RowMaker, Rows, symbol_of
from futures_agent.live.showing import orders_shown, positions_shown
from futures_agent.live.status import LiveStatus, write_status
from futures_agent.live.trader import Parts, Trader
from futures_agent.live.view import AccountView, Cash
from futures_agent.live.warmup import warm_up
from futures_agent.market.instrument import Instrument
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.decision_log import DecisionLog
from futures_agent.program.incidents import IncidentLog
from futures_agent.program.progress import Reporter
from futures_agent.settings import Settings
from futures_agent.strategy.registry import load_strategy

_log = logging.getLogger(__name__)
_INSTRUMENTS_EVERY_S = 3_600.0
_GATE_LOOK_EVERY_S = 60.0
_WARM_UP_PAUSES_S = (5.0, 15.0)  # exchange time, before symbols that could not be warmed up are tried again


class Assembly:
    """A live trader with everything it needs.

    Parameters
    ----------
    settings : Settings
    reporter : Reporter
    reload : callable
        Returns the settings as they are written now.

    Raises
    ------
    Refuse
        Settings or keys with which it must not start.
    Blocked
        Another live trader runs.
    Retry
        The disk is full or failing.
    """

    def __init__(self, settings: Settings, reporter: Reporter, reload: Callable[[], Settings]) -> None:
        live, paths = settings.live, settings.paths
        self.settings = settings
        self._reload_settings = reload
        self.strategy = load_strategy(settings.strategy.name)
        self.timeframe = Timeframe[settings.strategy.timeframe]
        self.frames = tuple(dict.fromkeys((*self.strategy.timeframes, self.timeframe)))
        params = self.strategy.read_params(settings.strategy.params)  # a typo is told before anything else
        self._inputs = StoredInputs(paths.database, settings.database, self.strategy, params)
        keys = keys_of(settings)
        self.inbox = Inbox()
        self.instruments: dict[str, Instrument] = {}
        self.symbols: tuple[str, ...] = ()
        self.marks: dict[str, float] = {}
        self._closing = Event()
        self.market_client = MarketDataClient(
            settings.exchange, paths.exchange_state, live=True, on_wait=lambda until_ms: self._check_closing()
        )
        self._funding_client: SentimentClient | None = None
        self._finer = next((frame for frame in reversed(self.frames) if frame.ms < self.timeframe.ms), None)
        self.broker = self._broker(keys)
        self.journal = Journal(paths.journal, live.mode)
        self.desk = Desk(live, self.instruments, self.marks.get)
        self.cash = Cash(MARGIN_ASSET)
        self.view = AccountView(self.desk, self.cash, self.marks)
        for record in self.journal.replay.records:
            self.desk.apply(record)
            self.cash.hear(record)
        faults = self.journal.replay.faults
        self.journal.release()
        self.heartbeat = Heartbeat(
            Limits(
                market_s=live.heartbeat_stale_s,
                user_s=live.heartbeat_stale_s,
                reconciled_s=live.reconcile_s + live.heartbeat_stale_s,
                candle_s=self.timeframe.ms / 1000 / settings.exchange.time_scale + live.heartbeat_stale_s,
            ),
            live.heartbeat_stale_s,
        )
        self.clerk = Clerk(
            self.journal,
            self.desk,
            self.broker,
            self.clock,
            IncidentLog(paths.incidents, "live-trading"),
            self.inbox.put,
            self._recorded,
        )
        self.fetch = CandleFetch(self.market_client, self.inbox, self._on_found)
        self._missed = self._missed_by_paper()
        self.rounds = Rounds(self.clock, live, self.timeframe, self.fetch, self._finish)
        self.audit = Audit(self.broker, self.inbox, live.reconcile_s, self._prepare)
        self.control = Control(paths.live)
        self.risk = RiskMemory(paths.live / f"risk-{live.mode}.json")
        self.decisions = DecisionLog(paths.decisions, live.keep_decisions_days)
        self._rows = RowMaker(live.mode, self.strategy.name, MARGIN_ASSET)
        self.projection = Projection(paths.database, settings.database, live.mode, self._all_rows)
        self.market_stream: MarketStream | None = None
        self._maker = ""
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="warm-up")
        self._instruments_mono: float | None = None
        self._instruments_due = False
        self._prepared = False
        self._gate_looked_mono = float("-inf")
        self._gate_why = ""
        self._is_up: set[str] = set()
        self.trader = Trader(
            settings,
            Parts(
                clerk=self.clerk,
                account=self.view,
                audit=self.audit,
                rounds=self.rounds,
                inbox=self.inbox,
                control=self.control,
                heartbeat=self.heartbeat,
                clock=self.clock,
                reporter=reporter,
                host_seconds_until=self.market_client.clock.host_seconds_until,
                start_warm_up=self._start_warm_up,
                write_status=self._write_status,
                reload=self._reload,
                why_closed=self._why_gate_closed,
            ),
        )
        for fault in faults:
            self.clerk.record(
                Incident(at_ms=self.clock.now_ms(), symbol="", kind="JOURNAL_DAMAGED", text=fault)
            )

    @property
    def clock(self) -> Clock:
        """Exchange time."""
        return _ExchangeTime(self.market_client)

    @property
    def streams_are_up(self) -> bool:
        """Whether both the account and the market are heard."""
        return self._is_up == {"user", "market"}

    def close(self) -> None:
        """End threads and connections; what the database lacks is written at the next start."""
        self._closing.set()
        for each in (self.market_stream, self.fetch, self.audit, self._funding_client, self.broker):
            if each is not None:
                each.close()
        self._worker.shutdown(wait=False, cancel_futures=True)
        self.projection.close(2.0)
        self.clerk.close(wait=False)
        self.market_client.close()

    def _broker(self, keys: tuple[str, str] | None) -> Broker:
        settings = self.settings
        if keys is None:
            return PaperBroker(
                settings.paths.live / "paper-account.jsonl",
                equity=settings.live.paper_equity,
                costs=settings.costs,
                instruments=self.instruments,
                timeframe=self.timeframe,
                finer=self._finer,
                clock=self.clock,
                on_seen=self._on_seen,
                opening_s=settings.live.decide_within_s,
            )
        return ExchangeBroker(
            settings.exchange,
            settings.paths.exchange_state,
            *keys,
            testnet=settings.live.mode == "testnet",
            on_seen=self._on_seen,
            on_stream=self._on_stream,
            rotate_h=settings.live.rotate_h,
        )

    def _missed_by_paper(self) -> Missed | None:
        """Return what shows the paper account its past; None where the account is an exchange's."""
        if not isinstance(self.broker, PaperBroker):
            return None
        settings, fetch_funding = self.settings, None
        if settings.costs.funding:
            self._funding_client = SentimentClient(
                settings.exchange,
                settings.paths.exchange_state,
                live=True,
                clock=self.market_client.clock,
            )
            funding = self._funding_client.funding

            def fetch_funding(symbol: str, start_ms: int, end_ms: int) -> FundingPage:
                return funding(symbol, start_ms=start_ms, end_ms=end_ms)

        return Missed(self.broker, self.timeframe, self._finer, self.clock, self.fetch.page, fetch_funding)

    # From other threads.

    def _on_seen(self, seen: Seen) -> None:
        self.inbox.put(seen)

    def _on_stream(self, name: str, up: bool, why: str) -> None:
        (self._is_up.add if up else self._is_up.discard)(name)
        self.inbox.put(StreamChanged(name, up, why))

    def _on_candle(self, symbol: str, timeframe: Timeframe, candle: Any, received_ms: int = 0) -> None:
        self._show_candle(symbol, timeframe, candle)
        self.inbox.put(CandleClosed(symbol, timeframe, candle))

    def _on_found(self, found: Found) -> None:
        """Show the paper account what no stream told, finer candles first; before the round goes on."""
        for symbol, timeframe, candles in sorted(found, key=lambda each: each[1].ms):
            for candle in candles:
                self._show_candle(symbol, timeframe, candle)

    def _show_candle(self, symbol: str, timeframe: Timeframe, candle: Any) -> None:
        self._tell_paper(lambda paper: paper.on_candle(symbol, timeframe, candle))

    def _on_funding(self, symbol: str, rate: float, mark: float, due_ms: int) -> None:
        self._tell_paper(lambda paper: paper.on_funding(symbol, rate, mark, due_ms))

    def _on_mark(self, symbol: str, mark: float, at_ms: int) -> None:
        self.heartbeat.mark("market")
        self.marks[symbol] = mark
        self._tell_paper(lambda paper: paper.on_price(symbol, mark, at_ms))

    def _tell_paper(self, tell: Callable[[PaperBroker], None]) -> None:
        """Show the paper account a price; a full disk leaves it unseen until the next one."""
        if isinstance(self.broker, PaperBroker):
            try:
                tell(self.broker)
            except AgentError as error:
                self.inbox.put(WorkFailed("paper account", error))

    def _prepare(self) -> None:
        """Know the contracts, asked for once an hour and after a refusal, and the account's terms.

        Done before each audit.
        """
        now_mono, due, self._instruments_due = time.monotonic(), self._instruments_due, False
        last_mono = self._instruments_mono
        if due or last_mono is None or now_mono - last_mono >= _INSTRUMENTS_EVERY_S:
            info = self.market_client.exchange_info()
            self.instruments.update(info.instruments)
            self._instruments_mono = now_mono
        if not self._prepared:  # no answer half-way: the next audit begins again
            followed = self.settings.data.followed(self.instruments)
            self.symbols = tuple(each for each in followed if self._trades(each))
            if not self.symbols:
                raise Refuse("none of data.symbols is traded at the exchange; mend the list")
            leverage = max(1, int(self.settings.risk.max_leverage))
            self.broker.prepare(self.symbols, leverage)
        if self._missed is not None:
            self._missed.show()
            if not self._prepared:
                self._on_stream("user", True, "the paper account tells by itself")
        self._prepared = True

    def _trades(self, symbol: str) -> bool:
        instrument = self.instruments.get(symbol)
        return instrument is not None and instrument.tradable

    # In the work loop.

    def _recorded(self, record: Record) -> None:
        """Keep money and the database's rows up with the desk."""
        self.cash.hear(record)
        if isinstance(record, Incident) and record.kind.endswith("_REFUSED"):
            self._instruments_due = True  # the contract's terms may have changed
        symbol = symbol_of(record)
        symbols = list(self.desk.lines) if symbol is None else [symbol]
        trades, orders = self._rows.newest(self.desk, symbols)
        if trades or orders:
            self.projection.put(trades, orders)

    def _all_rows(self) -> Rows:
        """Return every row that the journal holds; read anew, from the projection's thread."""
        records = read_journal(self.journal.directory, whole=True).records
        return self._rows.every(Desk(self.settings.live, self.instruments), records)

    def _finish(self, decider: Decider, decided: Decided) -> None:
        """Remember what was seen and decided, and look what has been published for the next close."""
        live = self.settings.live
        self.risk.save()
        self.decisions.append(decided.close, list(decided.decisions))
        save_memory(
            self.settings.paths.live / f"memory-{live.mode}.bin",
            decider.trackers,
            maker=self._maker,
            anchor_ms=decider.anchor_ms,
            anchor_days=live.anchor_days,
        )
        self._worker.submit(self._refresh_inputs, decided.close.close_ms + self.timeframe.ms)

    def _refresh_inputs(self, close_ms: int) -> None:
        self._inputs.refresh(self.symbols, close_ms - self.timeframe.ms, close_ms)

    def _why_gate_closed(self) -> str:
        """Return why the last backtest forbids entries, where the settings let it."""
        if not self.settings.live.gate_blocks_entries:
            return ""
        now_mono = time.monotonic()
        if now_mono - self._gate_looked_mono >= _GATE_LOOK_EVERY_S:
            self._gate_looked_mono = now_mono
            try:
                latest = read_latest(self.settings.paths.results)
                passed = latest is not None and latest.verdict.passed
                self._gate_why = "" if passed else "the last backtest did not pass its gate"
            except AgentError as error:
                self._gate_why = f"the last backtest cannot be read: {error}"
        return self._gate_why

    def _reload(self) -> str:
        """Take over the risk limits that are written now; everything else needs a restart."""
        if self.rounds.decider is None:
            raise Refuse("not yet: the strategy is warming up; try again in a minute")
        fresh = self._reload_settings()
        self.rounds.decider.set_limits(fresh.risk)
        return "risk limits as in the settings now; all other settings count from the next start on"

    # Warming up, in a thread.

    def _start_warm_up(self) -> None:
        self._worker.submit(self._warm_up)

    def _warm_up(self) -> None:
        try:
            decider, next_close_ms = self._warmed()
            if self._missed is not None:
                self._missed.show()  # what closed during the warm-up
        except Exception as error:  # the work loop says it and tries again
            self.inbox.put(WorkFailed("warm-up", error))
            return
        if self.market_stream is None:
            self.market_stream = MarketStream(
                self.settings.exchange,
                self.settings.live,
                tuple(dict.fromkeys((*self.symbols, *filter(self._trades, self.view.held_symbols)))),
                self.frames,
                self.market_client.clock,
                self.market_client.sync_clock,
                on_candle=self._on_candle,
                on_mark=self._on_mark,
                on_stream=self._on_stream,
                on_funding=self._on_funding if self._missed is not None else None,
            )
            self.market_stream.start()
        self.inbox.put(WarmedUp(decider, next_close_ms))

    def _warmed(self) -> tuple[Decider, int]:
        """Return a decider that has seen every candle so far, and the close that it decides first."""
        settings, now_ms = self.settings, self.clock.now_ms()
        close_ms = now_ms - now_ms % self.timeframe.ms
        path = settings.paths.live / f"memory-{settings.live.mode}.bin"
        rules = self._decider(anchor_ms=0)
        self._maker = maker_of(rules.rules, rules.code)
        memory, why = load_memory(path, maker=self._maker, anchor_days=settings.live.anchor_days)
        if memory is None:
            _log.info("the strategy warms up from its anchor: %s", why)
        anchor_ms = anchor_of(settings.live.anchor_days, now_ms) if memory is None else memory.anchor_ms
        decider = self._decider(anchor_ms=anchor_ms)
        self.risk.begin(self.view.equity, now_ms)
        self._inputs.refresh(self.symbols, anchor_ms, now_ms)
        for pause_s in (*_WARM_UP_PAUSES_S, None):
            faults = self._step_through(decider, memory, close_ms)
            if not faults or pause_s is None:
                break
            _log.warning("warm-up: %d symbols, the first: %s; tried again", len(faults), faults[0])
            self.clock.sleep(pause_s)
        for fault in faults:
            _log.error("warm-up: not decided on until the next start: %s", fault)
        return decider, close_ms if self._is_recent(close_ms, now_ms) else close_ms + self.timeframe.ms

    def _step_through(self, decider: Decider, memory: Memory | None, close_ms: int) -> list[str]:
        """Warm up the symbols that have not been; return what kept some of them from it."""
        faults = []
        for done in warm_up(
            decider,
            memory,
            close_ms=close_ms,
            fetch=self.fetch.page,
            database=self.settings.paths.database,
            settings=self.settings.database,
        ):
            self._check_closing()
            self.heartbeat.mark("attempt")
            if done.fault:
                faults.append(done.fault)
        return faults

    def _check_closing(self) -> None:
        """Raise `Interrupted` once the trader is ending: a program ends when its last thread does."""
        if self._closing.is_set():
            raise Interrupted("live trading ends")

    def _is_recent(self, close_ms: int, now_ms: int) -> bool:
        """Say whether the newest close may still be decided; it is not decided twice."""
        return close_ms > self.risk.close_ms and close_ms > 0 and now_ms >= close_ms

    def _decider(self, anchor_ms: int) -> Decider:
        settings = self.settings
        return Decider(
            self.strategy,
            settings.strategy.params,
            self.timeframe,
            {symbol: self.instruments[symbol] for symbol in self.symbols},
            risk=settings.risk,
            memory=self.risk,
            anchor_ms=anchor_ms,
            mode=settings.live.mode,
            decide_within_ms=int(settings.live.decide_within_s * 1000),
            published=self._inputs,
        )

    # What people see.

    def _write_status(self, trader: Trader) -> None:
        if "user" in self._is_up:
            self.heartbeat.mark("user")
        status = self._status(trader)
        try:
            write_status(self.settings.paths.live, status)
        except AgentError as error:
            self.inbox.put(WorkFailed("status", error))

    def _status(self, trader: Trader) -> LiveStatus:
        now_ms = self.clock.now_ms()
        risk = self.risk.state
        decider = self.rounds.decider
        excluded = {each: t.failure for each, t in decider.trackers.items() if t.failure} if decider else {}
        return LiveStatus(
            pid=os.getpid(),
            mode=self.settings.live.mode,
            version=__version__,
            started_ms=trader.started_ms,
            written_ms=time.time_ns() // 1_000_000,
            exchange_now_ms=now_ms,
            phase=trader.phase,
            strategy=self.strategy.name,
            symbols=len(self.symbols),
            excluded=excluded,
            ages_s={each: self.heartbeat.age_s(each) for each in ("market", "user", "reconciled", "candle")},
            stale=self.heartbeat.stale if trader.phase == "trading" else [],
            last_close_ms=self.rounds.last_close_ms,
            equity=self.view.equity,
            wallet=float(self.cash.balance),
            positions=positions_shown(self.desk, self.marks),
            orders=orders_shown(self.desk),
            paused=self.control.paused,
            kill_switch=bool(risk is not None and risk.kill_switch),
            daily_loss_hit=bool(risk is not None and risk.daily_loss_hit),
            opens_nothing=trader.opens_nothing,
            incidents=self.clerk.incident_count,
            fills=self.cash.fills,
            rejections=dict(decider.rejections) if decider else {},
            database=self.projection.fault or "ok",
        )


class _ExchangeTime:
    """The exchange's clock as a `Clock`."""

    def __init__(self, client: MarketDataClient) -> None:
        self._clock = client.clock

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self._clock.scale)
