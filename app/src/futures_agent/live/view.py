"""The account as deciding sees it: the desk's positions, and money as it was at a close."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from futures_agent.clock import HOUR_MS
from futures_agent.exchange.orders import FillSeen, FundingSeen, PlaceStop, PlaceTarget, WalletSeen
from futures_agent.live.desk import Desk
from futures_agent.live.order import State
from futures_agent.live.records import Checkpoint, Happened, Reconciled, Record
from futures_agent.live.rounds import Holding

_ZERO = Decimal(0)
_KEPT_MS = 48 * HOUR_MS  # no close that is decided on lies further back


class Cash:
    """The wallet balance at any recent time: the newest one told, less what changed it since then.

    At a close the exchange settles funding as well, and the wallet that it tells afterwards has it in it
    already; the backtest decides by the balance of before.
    """

    def __init__(self, asset: str) -> None:
        self._asset = asset
        self._wallet: WalletSeen | None = None
        self._changes: dict[tuple[str, str, int], tuple[int, Decimal]] = {}  # what and which: when, amount

    @property
    def balance(self) -> Decimal:
        """The newest balance told; 0 before the first."""
        return _ZERO if self._wallet is None else self._wallet.balance

    def hear(self, record: Record) -> None:
        """Take in what a record tells of money."""
        if isinstance(record, Reconciled):
            self._see(record.snapshot.wallet)
            for fill in record.fills:
                self._see(fill)
        elif isinstance(record, Checkpoint) and record.wallet is not None:
            self._see(record.wallet)
        elif isinstance(record, Happened):
            self._see(record.seen)

    def before(self, close_ms: int) -> Decimal:
        """Return the balance just before `close_ms`, as far as what happened since is known."""
        if self._wallet is None:
            return _ZERO
        told_ms, cash = self._wallet.time_ms, self._wallet.balance
        for at_ms, amount in self._changes.values():
            if close_ms <= at_ms <= told_ms:
                cash -= amount
            elif told_ms < at_ms < close_ms:
                cash += amount
        return cash

    def _see(self, seen: object) -> None:
        if isinstance(seen, WalletSeen):
            if seen.asset == self._asset and (self._wallet is None or seen.time_ms >= self._wallet.time_ms):
                self._wallet = seen
        elif isinstance(seen, FillSeen):
            paid = seen.fee if seen.fee_asset == self._asset else _ZERO
            change = seen.time_ms, seen.realized_pnl - paid
            self._keep(("fill", seen.symbol, seen.trade_id), change)
        elif isinstance(seen, FundingSeen) and seen.asset == self._asset:
            # Streams and lists stamp one payment some milliseconds apart.
            hour_ms = seen.time_ms - seen.time_ms % HOUR_MS
            self._keep(("funding", seen.symbol, hour_ms), (seen.time_ms, seen.amount))

    def _keep(self, key: tuple[str, str, int], change: tuple[int, Decimal]) -> None:
        if key in self._changes:
            return
        self._changes[key] = change
        if len(self._changes) > 1_000:
            oldest_ms = max(at_ms for at_ms, _ in self._changes.values()) - _KEPT_MS
            self._changes = {each: kept for each, kept in self._changes.items() if kept[0] >= oldest_ms}


class AccountView:
    """What a round asks of the account; `live.rounds.Holdings`."""

    def __init__(self, desk: Desk, cash: Cash, marks: Mapping[str, float]) -> None:
        self._desk = desk
        self._cash = cash
        self._marks = marks

    @property
    def held_symbols(self) -> list[str]:
        return [each.symbol for each in self._desk.holdings]

    def side_of(self, symbol: str) -> int:
        line = self._desk.lines.get(symbol)
        return 0 if line is None else (line.exposure > 0) - (line.exposure < 0)

    def holdings(self) -> list[Holding]:
        return [
            Holding(
                each.symbol,
                (each.amount > 0) - (each.amount < 0),
                float(abs(each.amount)),
                self._marks.get(each.symbol) or float(each.entry_price or 0),
            )
            for each in self._desk.holdings
        ]

    def is_leaving(self, symbol: str) -> bool:
        line = self._desk.lines.get(symbol)
        return line is not None and bool(line.exit_why) and bool(line.exposure)

    def is_entering(self, symbol: str) -> bool:
        line = self._desk.lines.get(symbol)
        if line is None or line.trade is None:
            return False
        entry = line.entry
        return not line.entry_is_over or bool(entry and (entry.unseen or entry.missing))

    def why_not_open(self, symbol: str) -> str:
        """Return a reason code where the desk is not sure of the symbol; empty where it is."""
        return "" if self._desk.may_open(symbol) else "UNSETTLED"

    def equity_at(self, close_ms: int, prices: Callable[[str], float]) -> float:
        """Return the balance before `close_ms` with every position marked to its close."""
        unrealised = 0.0
        for each in self._desk.holdings:
            if each.entry_price is not None:
                price = prices(each.symbol) or float(each.entry_price)
                unrealised += float(each.amount) * (price - float(each.entry_price))
        return float(self._cash.before(close_ms)) + unrealised

    def awaits(self, symbol: str, high: float, low: float) -> bool:
        """Say whether a bar with that range must have ended the position though nobody has told so yet."""
        line = self._desk.lines.get(symbol)
        if line is None or not line.exposure or line.exit_why:
            return False
        long = line.exposure > 0
        for order in line.orders.values():
            if order.protects and isinstance(order.request, PlaceStop):
                price = float(order.request.trigger_price)
                if low <= price if long else high >= price:
                    return True
            elif order.state is State.LIVE and isinstance(order.request, PlaceTarget):
                price = float(order.request.price)
                if high > price if long else low < price:
                    return True
        return False

    @property
    def unexplained(self) -> list[str]:
        """Symbols whose position or orders are not what we believe, or whose orders are not ours."""
        return [
            symbol
            for symbol, line in sorted(self._desk.lines.items())
            if line.difference is not None or line.strangers
        ]

    @property
    def funding_wanted_ms(self) -> int | None:
        """When the oldest open position began, since when funding may be unknown; None: nothing is open."""
        entries = (line.trade.entry_ms for line in self._desk.lines.values() if line.trade is not None)
        return min((each for each in entries if each is not None), default=None)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way or unknown, and whatever is held has its stop."""
        lines = self._desk.lines.values()
        return all(not line.is_unclear and (not line.exposure or line.stop is not None) for line in lines)
