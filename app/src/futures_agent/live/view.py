"""The account as deciding sees it: the desk's positions, and money as it was at a close."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from decimal import Decimal

from futures_agent.exchange.orders import FillSeen, PlaceMarket, PlaceStop, PlaceTarget, WalletSeen
from futures_agent.live.account import Account, Holding
from futures_agent.live.desk import Desk
from futures_agent.live.line import Line
from futures_agent.live.order import State
from futures_agent.live.records import Checkpoint, Happened, Reconciled, Record

_ZERO = Decimal(0)
_WALLETS_KEPT = 500
_FILLS_KEPT = 500


class Cash:
    """The wallet balance, now and just before any recent time; and how many fills there were.

    At a close the exchange settles funding as well, and the wallet that it tells afterwards has it in it
    already; the backtest decides by the balance of before. And a fill is told before the wallet that it
    changed, which may be told for several of one millisecond one after the other: what a wallet has in it
    is told by its amount.
    """

    def __init__(self, asset: str) -> None:
        self._asset = asset
        self._wallets: deque[WalletSeen] = deque(maxlen=_WALLETS_KEPT)  # by time
        self._pending: list[tuple[int, Decimal]] = []  # fills that no wallet has in it: when, and by how much
        self._known: dict[tuple[str, int], None] = {}  # fills, oldest first
        self.fills = 0

    @property
    def balance(self) -> Decimal:
        """The newest balance told; 0 before the first."""
        return self._wallets[-1].balance if self._wallets else _ZERO

    def hear(self, record: Record) -> None:
        """Take in what a record tells of money."""
        if isinstance(record, Reconciled):
            for fill in record.fills:
                self._see(fill)
            wallet = record.snapshot.wallet
            # Of one millisecond the stream tells the last word; what was asked for may lack it.
            if not self._wallets or wallet.time_ms > self._wallets[-1].time_ms:
                self._see(wallet)
        elif isinstance(record, Checkpoint) and record.wallet is not None:
            self._see(record.wallet)
        elif isinstance(record, Happened):
            self._see(record.seen)

    def before(self, time_ms: int) -> Decimal:
        """Return the balance just before `time_ms`; the oldest known where that is later."""
        if not self._wallets:
            return _ZERO
        told = next((each for each in reversed(self._wallets) if each.time_ms < time_ms), self._wallets[0])
        return told.balance + sum((amount for at_ms, amount in self._pending if at_ms < time_ms), _ZERO)

    def _see(self, seen: object) -> None:
        if isinstance(seen, WalletSeen) and seen.asset == self._asset:
            if not self._wallets or seen.time_ms >= self._wallets[-1].time_ms:
                self._settle(seen)
                self._wallets.append(seen)
        elif isinstance(seen, FillSeen) and (seen.symbol, seen.trade_id) not in self._known:
            self._known[seen.symbol, seen.trade_id] = None
            if len(self._known) > _FILLS_KEPT:
                del self._known[next(iter(self._known))]
            self.fills += 1
            paid = seen.fee if seen.fee_asset == self._asset else _ZERO
            if not self._wallets or seen.time_ms >= self._wallets[-1].time_ms:
                self._pending.append((seen.time_ms, seen.realized_pnl - paid))

    def _settle(self, wallet: WalletSeen) -> None:
        """Forget the fills that `wallet` has in it."""
        change = wallet.balance - self.balance
        covered = _ZERO
        for count, (_, amount) in enumerate(self._pending, start=1):
            covered += amount
            if covered == change:
                del self._pending[:count]
                return
        # Something else moved it as well: then it has in it what happened before it was told.
        self._pending = [each for each in self._pending if each[0] > wallet.time_ms]


class AccountView:
    """What a round asks of the account; `live.rounds.Holdings`."""

    def __init__(self, desk: Desk, cash: Cash, marks: Mapping[str, float]) -> None:
        self._desk = desk
        self._cash = cash
        self._marks = marks

    @property
    def held_symbols(self) -> list[str]:
        return [each.symbol for each in self._desk.holdings]

    @property
    def equity(self) -> float:
        """The newest balance with every position at its newest mark price."""
        unrealised = 0.0
        for each in self._desk.holdings:
            entry = float(each.entry_price or 0)
            unrealised += float(each.amount) * (self._marks.get(each.symbol, entry) - entry)
        return float(self._cash.balance) + unrealised

    def account_at(self, close_ms: int) -> Account:
        """Return the balance before `close_ms`, and what is held."""
        holdings = {}
        for each in self._desk.holdings:
            trade = self._desk.lines[each.symbol].trade
            entry = float(each.entry_price or self._marks.get(each.symbol, 0.0))
            holdings[each.symbol] = Holding(
                side=1 if each.amount > 0 else -1,
                quantity=float(abs(each.amount)),
                entry_price=entry,
                decided_ms=0 if trade is None else trade.decided_ms or trade.wanted_ms,
                mark_price=self._marks.get(each.symbol, entry),
            )
        return Account(wallet=float(self._cash.before(close_ms)), holdings=holdings)

    def is_leaving(self, symbol: str) -> bool:
        line = self._desk.lines.get(symbol)
        return line is not None and bool(line.exit_why) and bool(line.exposure)

    def may_open(self, symbol: str) -> bool:
        return self._desk.may_open(symbol)

    def awaits(self, symbol: str, high: float, low: float) -> bool:
        """Say whether a bar with that range must have ended the position though nobody has told so yet."""
        line = self._desk.lines.get(symbol)
        if line is None:
            return False
        if any(order.unseen for order in line.orders.values()):
            return True  # the venue says that it traded, and not yet at what price
        if not line.exposure or line.exit_why:
            return False
        long = line.exposure > 0
        for order in line.orders.values():
            if isinstance(order.request, PlaceStop) and not order.is_done:
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
        return all(_rests(line) for line in self._desk.lines.values())


def _rests(line: Line) -> bool:
    if line.is_unclear or (line.exposure and line.stop is None):
        return False
    # An order at market that is taken and not told of yet will move the position any moment.
    return not any(
        order.state is State.LIVE and isinstance(order.request, PlaceMarket) for order in line.orders.values()
    )
