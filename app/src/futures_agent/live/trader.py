"""The live trader: one work loop that hears the market and the account, and acts on what it hears.

The order of its beginning is the order of what matters: what the journal knows; the account as the venue
tells it; stops for whatever has none; and only then the strategy. From then on the loop takes one message
after the other and does what follows from it before it takes the next.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from futures_agent import __version__
from futures_agent.clock import Clock, utc_text
from futures_agent.errors import Refuse, Retry
from futures_agent.exchange.orders import Answer
from futures_agent.live.audit import Audit
from futures_agent.live.clerk import Clerk
from futures_agent.live.control import Command, Control
from futures_agent.live.heartbeat import Heartbeat
from futures_agent.live.inbox import (
    AuditTaken,
    CandleClosed,
    CandlesFetched,
    Inbox,
    Message,
    StreamAlive,
    StreamChanged,
    WarmedUp,
    WorkFailed,
)
from futures_agent.live.records import Answered, ExitWanted, Happened, Reconciled, Started
from futures_agent.live.rounds import Rounds
from futures_agent.live.steps import Step, reached
from futures_agent.live.view import AccountView
from futures_agent.program.progress import Reporter
from futures_agent.settings import Settings

_log = logging.getLogger(__name__)
_LONGEST_NAP_S = 0.5  # host seconds between two looks at timers, commands and the order to stop
_ALIVE_EVERY_S = 1.0
_STATUS_EVERY_S = 2.0
_COMMANDS_EVERY_S = 0.5


class Parts(NamedTuple):
    """What the trader is put together from."""

    clerk: Clerk
    account: AccountView
    audit: Audit
    rounds: Rounds
    inbox: Inbox
    control: Control
    heartbeat: Heartbeat
    clock: Clock  # exchange time
    reporter: Reporter
    host_seconds_until: Callable[[int], float]  # until an exchange time
    start_warm_up: Callable[[], None]  # its end comes as WarmedUp or WorkFailed("warm-up", …)
    write_status: Callable[[Trader], None]
    reload: Callable[[], str]  # takes over what may change at run time; returns what a person reads
    why_closed: Callable[[], str]  # why the last backtest forbids entries; empty where it does not


class Trader:
    """The work loop.

    Attributes
    ----------
    phase : str
        starting, reconciling, warming up, trading, stopping.
    reconciled : bool
        Whether the account's state is known since the user stream last came up.
    """

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self.settings = settings
        self.parts = parts
        self.phase = "starting"
        self.reconciled = False
        self.started_ms = time.time_ns() // 1_000_000
        self._is_due = True
        self._hears_account = False
        self._warming = False
        self._alive_mono = float("-inf")
        self._status_mono = self._commands_mono = float("-inf")
        self._stop_deadline_mono: float | None = None

    # What may be done now.

    @property
    def opens_nothing(self) -> str:
        """Why no position is opened at all now; empty where the gate and the desk decide."""
        parts = self.parts
        if self.phase != "trading":
            return f"{self.phase}"
        if (pause := parts.control.paused) is not None:
            return f"paused by {pause.by}: {pause.why}"
        if parts.clerk.fault:
            return f"the journal cannot be written: {parts.clerk.fault}"
        if not self.reconciled:
            return "the account has not been reconciled since its stream came up"
        if unexplained := parts.account.unexplained:
            return f"unexplained: {', '.join(unexplained)}"
        return parts.why_closed()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way and nothing waits: until time or the venue moves, nothing happens.

        May be asked from another thread.
        """
        parts = self.parts
        return (
            self.phase == "trading"
            and self.reconciled
            and not self._is_due
            and parts.inbox.is_done
            and not parts.clerk.in_flight
            and not parts.audit.is_pending
            and not parts.rounds.is_busy
        )

    # The loop.

    def run(self, stopping: Callable[[], bool]) -> None:
        """Trade until `stopping` says so and what is under way has come to rest."""
        mode = self.settings.live.mode
        now_ms = self.parts.clock.now_ms()
        self.parts.clerk.record(Started(at_ms=now_ms, mode=mode, version=__version__))
        self.phase = "reconciling"
        while not self._may_end(stopping()):
            self.turn()

    def turn(self) -> None:
        """Take one message, if one comes soon, and do whatever follows and whatever is due.

        The candles of all symbols close at once: those that wait are one message.
        """
        message = self.parts.inbox.take(self._nap_s())
        self._is_due = True  # until it has been looked at again
        taken = 0
        while message is not None:
            self._take(message)
            taken += 1
            message = self.parts.inbox.take(0.0) if isinstance(message, CandleClosed) else None
        self.parts.clerk.settle()
        self._look_after()
        self.parts.inbox.done(taken)
        now_mono = time.monotonic()
        if self.parts.heartbeat.is_working and now_mono - self._alive_mono >= _ALIVE_EVERY_S:
            self._alive_mono = now_mono
            self.parts.reporter.alive()

    def _nap_s(self) -> float:
        """Return for how long, in host seconds, nothing is to be done unless a message comes."""
        desk, now_ms = self.parts.clerk.desk, self.parts.clock.now_ms()
        dues = [
            each
            for each in (desk.next_due_ms(), desk.reconcile_wanted_ms(), self.parts.rounds.next_due_ms)
            if each is not None
        ]
        self._is_due = any(each <= now_ms for each in dues) or not self.parts.account.is_at_rest
        return min([*map(self.parts.host_seconds_until, dues), _LONGEST_NAP_S])

    def _take(self, message: Message) -> None:
        parts, now_ms = self.parts, self.parts.clock.now_ms()
        match message:
            case Answer():
                parts.heartbeat.mark("attempt")
                parts.clerk.record(Answered(at_ms=now_ms, answer=message))
            case CandleClosed():
                parts.heartbeat.mark("candle")
                parts.rounds.on_candle(message.symbol, message.timeframe, message.candle)
            case StreamAlive():
                parts.heartbeat.mark("user" if message.name == "user" else "market")
            case StreamChanged():
                self._stream_changed(message)
            case AuditTaken():
                self._reconcile(message)
            case CandlesFetched():
                parts.heartbeat.mark("attempt")
                parts.rounds.on_fetched(message)
            case WarmedUp():
                parts.rounds.begin(message.decider, message.next_close_ms)
                self.phase = "trading"
                parts.reporter.status("trading")
            case WorkFailed():
                self._failed(message)
            case _:
                parts.heartbeat.mark("user")
                reached(Step.SEEN, type(message).__name__)
                parts.clerk.record(Happened(at_ms=now_ms, seen=message))

    def _stream_changed(self, change: StreamChanged) -> None:
        self.parts.heartbeat.mark("attempt")
        _log.log(
            logging.INFO if change.up else logging.WARNING,
            "%s stream %s: %s",
            change.name,
            "up" if change.up else "down",
            change.why,
        )
        if change.name != "user":
            return
        # Nothing tells what happened while it was down; and an audit that began before does not either.
        self.reconciled, self._hears_account = False, change.up
        self.parts.audit.ask()

    def _reconcile(self, taken: AuditTaken) -> None:
        clerk, now_ms = self.parts.clerk, self.parts.clock.now_ms()
        for payment in taken.funding:
            clerk.record(Happened(at_ms=now_ms, seen=payment))
        clerk.record(Reconciled(at_ms=now_ms, snapshot=taken.snapshot, fills=taken.fills))
        self.parts.audit.succeeded()
        self.reconciled = self._hears_account and not self.parts.audit.is_pending
        self.parts.heartbeat.mark("reconciled")
        clerk.settle()  # stops for what has none come before everything else
        if not self._warming:
            self._warming = True
            self.phase = "warming up"
            self.parts.reporter.status("warming up the strategy")
            self.parts.start_warm_up()

    def _failed(self, failed: WorkFailed) -> None:
        self.parts.heartbeat.mark("attempt")
        if isinstance(failed.error, Refuse):
            raise failed.error
        if not isinstance(failed.error, Retry):
            _log.error("%s failed", failed.what, exc_info=failed.error)
        _log.warning("%s: %s; it is tried again", failed.what, failed.error)
        if failed.what == "audit":
            self.parts.audit.failed()
        elif failed.what == "warm-up":
            self._warming = False  # the next audit starts it again
            self.parts.audit.ask()

    def _look_after(self) -> None:
        """Do what no message asks for: audits, rounds, commands, the status."""
        parts, desk = self.parts, self.parts.clerk.desk
        now_ms = parts.clock.now_ms()
        wanted_ms = desk.reconcile_wanted_ms()
        if wanted_ms is not None and wanted_ms <= now_ms and not parts.audit.is_pending:
            parts.audit.ask()
        since_ms = parts.account.funding_wanted_ms
        parts.audit.turn(desk.fills_wanted, lambda: now_ms if since_ms is None else since_ms)
        if self.phase == "trading":
            for wanted in parts.rounds.turn(parts.account, self.opens_nothing):
                parts.clerk.record(wanted)
                parts.clerk.settle()
        now_mono = time.monotonic()
        if now_mono - self._commands_mono >= _COMMANDS_EVERY_S:
            self._commands_mono = now_mono
            parts.control.serve(self._obey)
        if now_mono - self._status_mono >= _STATUS_EVERY_S:
            self._status_mono = now_mono
            parts.write_status(self)

    # Commands.

    def _obey(self, command: Command) -> str:
        """Carry out a person's command; return what the person reads."""
        _log.warning("%s %s by %s: %s", command.verb, command.symbol, command.by, command.why)
        if command.verb == "flatten":
            return self._flatten(command.symbol)
        if command.verb == "rearm":
            return self.parts.rounds.rearm()
        if command.verb == "reload":
            return self.parts.reload()
        self.parts.audit.ask()
        return "asking the exchange; `agentctl live status` shows the result"

    def _flatten(self, symbol: str) -> str:
        clerk, now_ms = self.parts.clerk, self.parts.clock.now_ms()
        held = [each for each in self.parts.account.held_symbols if symbol in ("", each)]
        if not held:
            raise Refuse(f"nothing to close: no open position{f' in {symbol}' if symbol else ''}")
        self.parts.rounds.forget_entries()
        for each in held:
            clerk.record(ExitWanted(at_ms=now_ms, symbol=each, why="FLATTEN"))
        clerk.settle()
        return f"closing at market: {', '.join(held)}; `agentctl live positions` shows what is left"

    # The end.

    def _may_end(self, stopping: bool) -> bool:
        """Say whether the loop may end: told to stop, and nothing that opens or protects is under way.

        Stops and targets stay at the venue. What has not come to rest in time is found again at the start.
        """
        if not stopping:
            return False
        now_mono = time.monotonic()
        if self._stop_deadline_mono is None:
            self._stop_deadline_mono = now_mono + self.settings.live.stop_limit_s
            self.phase = "stopping"
            self.parts.rounds.forget_entries()
            self.parts.reporter.status("stopping: waiting for orders under way")
            self.parts.write_status(self)
        at_rest = not self.parts.clerk.in_flight and self.parts.account.is_at_rest
        if not at_rest and now_mono >= self._stop_deadline_mono:
            when = utc_text(self.parts.clock.now_ms())
            _log.warning("%s: stopped with orders under way; the next start finds them", when)
        return at_rest or now_mono >= self._stop_deadline_mono
