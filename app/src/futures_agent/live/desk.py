"""The order desk: from records to what is held, and from what is held to what must be done next.

The desk reads no clock, file or socket. `apply` takes in one record; `due` says which records follow from
what is known at a time. So a desk made anew from the journal is the desk that wrote it.

    records = desk.due(now_ms)        # until it returns none
    journal.append(*records)          # on the disk first
    for record in records:
        desk.apply(record)            # then each `Sent` goes to the broker
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from futures_agent.clock import MINUTE_MS, SECOND_MS
from futures_agent.exchange.orders import (
    FillSeen,
    FundingSeen,
    OrderSeen,
    PositionSeen,
    Seen,
    StopSeen,
    WalletSeen,
)
from futures_agent.execution.rounding import RULES, round_to_tick, rules_of
from futures_agent.live.answers import hear, take_answer, take_sent
from futures_agent.live.asking import asking_wants, unknown_since
from futures_agent.live.booking import close_trade, count_fill, pay_funding, place_fills, reopen_trade
from futures_agent.live.ids import Purpose, purpose_of
from futures_agent.live.line import Line
from futures_agent.live.order import Order, State
from futures_agent.live.protecting import (
    Terms,
    drop_wants,
    entry_wants,
    exit_wants,
    naked_wants,
    stop_wants,
    target_wants,
)
from futures_agent.live.reconciling import adopt_stop, reconcile, see_stranger
from futures_agent.live.records import (
    Answered,
    Checkpoint,
    Concluded,
    EntryWanted,
    ExitWanted,
    Happened,
    Incident,
    Reconciled,
    Record,
    Sent,
    Settled,
    Started,
)
from futures_agent.live.tidying import tidying_wants
from futures_agent.live.trade import Trade
from futures_agent.live.wants import Want, backoff_ms
from futures_agent.market.instrument import Instrument
from futures_agent.plain import plain_type
from futures_agent.settings.tree import LiveSettings

_MISSING_FILL_WAIT_MS = 2 * SECOND_MS  # the stream may be that late; then a query brings them
_RECONCILE_PACE_MS = SECOND_MS
_RECONCILE_PACE_LIMIT_MS = 30 * SECOND_MS
_FILLS_OVERLAP_MS = MINUTE_MS


class Holding(Struct, frozen=True, kw_only=True):
    """One position; `amount` < 0 is short."""

    symbol: str
    amount: Decimal
    entry_price: Decimal | None  # None: the venue has not told it yet


class Desk:
    """Positions, orders and trades of one account, as the records tell.

    Parameters
    ----------
    settings : LiveSettings
    instruments : Mapping of str to Instrument
        Grids and limits by symbol; read whenever an order is made, never by `apply`. Stops and targets
        wait for those of their symbol.
    mark_price : callable, optional
        A symbol's newest mark price or None; the stop of a position that was found is measured from it.

    Attributes
    ----------
    wallet : WalletSeen or None
        The newest balance.
    kept : dict of str to float
        What the last checkpoint carried for the trader.
    """

    def __init__(
        self,
        settings: LiveSettings,
        instruments: Mapping[str, Instrument],
        mark_price: Callable[[str], float | None] = lambda symbol: None,
    ) -> None:
        self._instruments = instruments
        self._terms = Terms(
            decide_within_ms=round(settings.decide_within_s * 1000),
            unprotected_limit_ms=round(settings.unprotected_limit_s * 1000),
            unknown_limit_ms=round(settings.unknown_limit_s * 1000),
            adopts=settings.unexplained == "adopt",
            adopt_stop_share=settings.adopt_stop_share,
            on_tick=self._on_tick,
            mark_price=mark_price,
            max_quantity=self._max_quantity,
        )
        self.lines: dict[str, Line] = {}
        self.wallet: WalletSeen | None = None
        self.kept: dict[str, float] = {}
        self._reconciled = False
        self._taken_ms = 0
        self._unsettled = 0  # reconciliations in a row that left something open

    # What happened ----------------------------------------------------------------------------------

    def apply(self, record: Record) -> None:
        """Take in one record; the only way in which a desk changes."""
        match record:
            case EntryWanted():
                self._want_entry(record)
            case ExitWanted():
                self._want_exit(record)
            case Sent():
                take_sent(self._line(record.request.symbol), record)
                self._settle(record.request.symbol, record.at_ms)
            case Answered():
                symbol = record.answer.request.symbol
                take_answer(self._line(symbol), record.answer, record.at_ms)
                self._settle(symbol, record.at_ms)
            case Happened():
                self._see(record.seen, record.at_ms)
            case Reconciled():
                self._reconcile(record)
            case Incident():
                self._forget_report(record)
            case Concluded():
                self._conclude(record)
            case Checkpoint():
                self._begin_from(record)
            case Started():
                self._start(record)

    def _want_entry(self, record: EntryWanted) -> None:
        line = self._line(record.symbol)
        if not self.may_open(record.symbol) or record.decided_ms <= line.decided_ms:
            line.report("ENTRY_IGNORED", f"{record.trade_id}: not in a state to open", record.at_ms)
            return
        line.decided_ms = record.decided_ms
        line.trade = Trade(
            trade_id=record.trade_id,
            symbol=record.symbol,
            side=record.side,
            wanted=record.quantity,
            wanted_ms=record.at_ms,
            decided_ms=record.decided_ms,
            stop_distance=record.stop_distance,
            target_distance=record.target_distance,
            reasons=record.reasons,
        )

    def _want_exit(self, record: ExitWanted) -> None:
        line = self._line(record.symbol)
        if line.trade is None or line.exit_why:
            return
        line.exit_why = record.why
        if record.why == "UNPROTECTED":
            line.report("UNPROTECTED", f"{line.exposure} without a stop: closed at market", record.at_ms)
        self._settle(record.symbol, record.at_ms)

    def _see(self, seen: Seen, at_ms: int) -> None:
        if isinstance(seen, WalletSeen):
            self._see_wallet(seen)
            return
        line = self._line(seen.symbol)
        match seen:
            case OrderSeen() | StopSeen():
                order = line.find(seen.client_id)
                line.moved_ms = at_ms
                if order is not None:
                    hear(order, seen, at_ms)
                else:
                    see_stranger(line, seen, at_ms)
            case FillSeen():
                if count_fill(line, seen, at_ms):
                    line.moved_ms = at_ms
            case PositionSeen():
                if line.told is None or seen.updated_ms >= line.told.updated_ms:
                    line.told, line.told_ms = seen, at_ms
            case FundingSeen():
                pay_funding(line, seen)
        self._settle(seen.symbol, at_ms)

    def _see_wallet(self, seen: WalletSeen) -> None:
        if self.wallet is None or seen.time_ms >= self.wallet.time_ms:
            self.wallet = seen

    def _reconcile(self, record: Reconciled) -> None:
        snapshot = record.snapshot
        told: list[PositionSeen | OrderSeen | StopSeen | FillSeen] = [*snapshot.positions, *snapshot.orders]
        told += [*snapshot.stops, *record.fills]
        for symbol in sorted({*self.lines, *(each.symbol for each in told)}):
            reconcile(self._line(symbol), record)
            self._settle(symbol, record.at_ms)
        self._see_wallet(snapshot.wallet)
        self._reconciled, self._taken_ms = True, max(self._taken_ms, snapshot.taken_ms)
        self._unsettled = 0 if self.is_settled else self._unsettled + 1

    def _forget_report(self, record: Incident) -> None:
        line = self._line(record.symbol)
        for report in line.reports:
            if (report.kind, report.text) == (record.kind, record.text):
                line.reports.remove(report)
                return

    def _conclude(self, record: Concluded) -> None:
        line = self._line(record.symbol)
        order = line.find(record.client_id)
        if order is not None:
            order.presume(record.status, record.at_ms)
        elif line.trade is not None:
            line.trade.outcome = record.status
        if record.status == "NOT_PLACED" or purpose_of(record.client_id) is Purpose.ENTRY:
            line.report(record.status, record.client_id, record.at_ms)
        self._settle(record.symbol, record.at_ms)

    def _begin_from(self, record: Checkpoint) -> None:
        self.lines = {
            each.symbol: Line(symbol=each.symbol, floor=each.last_fill, decided_ms=each.decided_ms)
            for each in record.settled
        }
        self.wallet, self.kept = record.wallet, dict(record.kept)
        self._reconciled, self._taken_ms, self._unsettled = False, 0, 0

    def _start(self, record: Started) -> None:
        """Whatever was under way when the last trader ended: nobody will answer it any more."""
        self._reconciled = False
        for line in self.lines.values():
            for order in line.orders.values():
                order.asking = order.cancelling = False
                if order.state is State.SENT:
                    order.doubt(record.at_ms)
            for stranger in line.strangers.values():
                stranger.cancelling = False
            if line.naked_ms is not None:
                line.naked_ms = record.at_ms
                line.report("UNPROTECTED", f"{line.exposure} had no stop at a start", record.at_ms)

    def _settle(self, symbol: str, at_ms: int) -> None:
        """Draw from one symbol's state what follows from it at once."""
        line = self._line(symbol)
        place_fills(line, at_ms)
        if line.exposure and line.trade is None:
            late = next((order for order in line.orders.values() if order.unseen), None)
            if late is not None:  # it was taken as not placed, and it was
                reopen_trade(line, late.trade_id)
        adopt_stop(line, at_ms)
        if not line.exposure:
            line.naked_ms = None
            _end_trade(line)
        elif line.stop is not None:
            line.naked_ms = None
        else:
            line.naked_ms = at_ms if line.naked_ms is None else line.naked_ms
            if any(order.has_triggered and order.is_done for order in line.of(Purpose.STOP)):
                line.exit_why = line.exit_why or "STOP"
        line.put_away(at_ms)

    # What is to be done -----------------------------------------------------------------------------

    def due(self, now_ms: int) -> list[Record]:
        """Return what is to be recorded now, and sent where it is `Sent`; ask again after applying it."""
        records: list[Record] = []
        for symbol, line in sorted(self.lines.items()):
            records += (
                Incident(at_ms=report.at_ms, symbol=symbol, kind=report.kind, text=report.text)
                for report in line.reports
            )
            # One thing at a time: the next may look different once this one is known.
            wants = (want for want in self._wants(line) if want.at_ms <= now_ms)
            first = next(wants, None)
            if first is not None:
                records.append(first.make(now_ms))
        return records

    def next_due_ms(self) -> int | None:
        """Return when `due` has something to say if nothing happens before; None: never."""
        times = [want.at_ms for line in self.lines.values() for want in self._wants(line)]
        times += [report.at_ms for line in self.lines.values() for report in line.reports]
        return min(times, default=None)

    def _wants(self, line: Line) -> Iterator[Want]:
        if not line.orders and line.trade is None and not line.strangers:
            return  # most symbols at most times, and each message asks for all of them
        yield from drop_wants(line)
        yield from naked_wants(line, self._terms)
        yield from exit_wants(line, self._terms)
        yield from stop_wants(line, self._terms)
        yield from entry_wants(line, self._terms, may_send=self._reconciled)
        yield from target_wants(line, self._terms)
        yield from tidying_wants(line)
        yield from asking_wants(line, self._terms.unknown_limit_ms)

    def reconcile_wanted_ms(self) -> int | None:
        """Return from when on a `Reconciled` record is needed; None: only the routine one."""
        times = [0] if not self._reconciled else []
        for line in self.lines.values():
            times += (
                order.heard_ms + _MISSING_FILL_WAIT_MS for order in line.orders.values() if order.unseen
            )
            times += [line.ask_ms] if line.ask_ms is not None else []
            times += [line.told_ms + _MISSING_FILL_WAIT_MS] if not line.told_agrees else []
            unknown = unknown_since(line, self._terms.unknown_limit_ms)
            times += [unknown] if unknown is not None else []
        if not times:
            return None
        pace = backoff_ms(_RECONCILE_PACE_MS, self._unsettled, _RECONCILE_PACE_LIMIT_MS)
        return max(min(times), self._taken_ms + pace if self._reconciled else 0)

    def fills_wanted(self) -> dict[str, int]:
        """Return the symbols whose fills a reconciliation needs, each with the time to begin at."""
        wanted = {}
        for symbol, line in sorted(self.lines.items()):
            begun = [order.sent_ms for order in line.orders.values()]
            begun += [line.trade.wanted_ms] if line.trade is not None else []
            begun += [line.equal_ms] if line.equal_ms else []  # what differs since happened since
            if begun and not line.is_idle:
                wanted[symbol] = min(begun) - _FILLS_OVERLAP_MS
        return wanted

    # What is known ----------------------------------------------------------------------------------

    @property
    def holdings(self) -> list[Holding]:
        """The positions, by symbol."""
        return [
            Holding(symbol=symbol, amount=line.exposure, entry_price=_entry_price(line))
            for symbol, line in sorted(self.lines.items())
            if line.exposure
        ]

    @property
    def trades(self) -> list[Trade]:
        """Every trade since the last checkpoint, open ones too, by symbol and time."""
        lines = (line for _, line in sorted(self.lines.items()))
        return [trade for line in lines for trade in (*line.trades, line.trade) if trade is not None]

    @property
    def orders(self) -> list[Order]:
        """Every order since the last checkpoint, by symbol."""
        lines = (line for _, line in sorted(self.lines.items()))
        return [order for line in lines for order in (*line.past.values(), *line.orders.values())]

    @property
    def is_settled(self) -> bool:
        """Whether nothing is unexplained, unknown or under way; open positions may rest."""
        return self._reconciled and all(self._is_clear(line) for line in self.lines.values())

    def may_open(self, symbol: str) -> bool:
        """Say whether an entry may be decided for `symbol`: it is flat and beyond doubt."""
        line = self.lines.get(symbol)
        return self._reconciled and (line is None or (line.is_idle and self._is_clear(line)))

    def checkpoint(self, at_ms: int, kept: Mapping[str, float]) -> Checkpoint | None:
        """Return a record that stands for all so far; None while anything is open or unclear."""
        if not all(
            line.is_idle and self._is_clear(line) and not line.reports for line in self.lines.values()
        ):
            return None
        settled = tuple(
            Settled(
                symbol=symbol,
                last_fill=max(line.fill_ids, default=line.floor),
                decided_ms=line.decided_ms,
            )
            for symbol, line in sorted(self.lines.items())
        )
        return Checkpoint(at_ms=at_ms, wallet=self.wallet, settled=settled, kept=dict(kept))

    def __eq__(self, other: object) -> bool:
        """Say whether two desks know the same."""
        return isinstance(other, Desk) and self._known() == other._known()

    __hash__ = None  # type: ignore[assignment]

    def _known(self) -> tuple[Any, ...]:
        return (self.lines, self.wallet, self.kept, self._reconciled, self._taken_ms, self._unsettled)

    def _is_clear(self, line: Line) -> bool:
        return not line.is_unclear and line.difference is None and line.ask_ms is None and line.told_agrees

    def _line(self, symbol: str) -> Line:
        if symbol not in self.lines:
            self.lines[symbol] = Line(symbol=symbol)
        return self.lines[symbol]

    def _on_tick(self, symbol: str, price: float) -> Decimal | None:
        """Return `price` on the grid, as the backtest rounds it; None: its grid is not known yet."""
        instrument = self._instruments.get(symbol)
        if instrument is None:
            return None  # a price beside the grid would be refused, and soon the position closed for it
        price = round_to_tick(price, plain_type(RULES)(rules_of([instrument])[0].item()))
        return Decimal(repr(float(max(price, 0.0))))

    def _max_quantity(self, symbol: str) -> Decimal | None:
        instrument = self._instruments.get(symbol)
        return Decimal(repr(instrument.max_quantity)) if instrument and instrument.max_quantity else None


def _end_trade(line: Line) -> None:
    """End the trade once nothing can be added to it: no position, no open order, no fill missing."""
    trade = line.trade
    if trade is None or not line.entry_is_over or line.is_unclear or trade.open_quantity:
        return
    if all(order.is_done for order in line.orders.values()):
        if not trade.entered and line.entry is not None:
            trade.outcome = line.entry.status
        close_trade(line)


def _entry_price(line: Line) -> Decimal | None:
    if line.trade is None:
        return None
    return line.entry.average if line.entry is not None else line.trade.entry_price
