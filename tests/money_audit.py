"""An auditor who believes nothing but fills, prices, rates and what was asked for.

It reads a venue's ledger line by line, computes every amount of money once more, by the rules that the
exchange publishes and in code of its own, and asserts that the venue has booked exactly that, in that order.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.resources import files
from typing import Any

import numpy as np

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.sentiment import Sentiment
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.exchange import Exchange

ZERO = Decimal(0)
MAKER_FEE, TAKER_FEE, CLEARANCE = Decimal("0.0002"), Decimal("0.0005"), Decimal("0.0125")
FORCED = ("autoclose-", "adl_autoclose", "settlement_autoclose-")
_HAIR = Decimal("0.000001")  # of quote units: what roundings may add up to
_BRACKETS = json.loads(
    files("futures_agent.simulator.trading").joinpath("leverage_brackets.json").read_text()
)


def cents(amount: Decimal) -> Decimal:
    """Return money as the exchange books it: eight decimals, halves to even."""
    return amount.quantize(Decimal("1e-8"), ROUND_HALF_EVEN)


def largest_notional(symbol: str, leverage: int) -> Decimal:
    """Return the cap of the largest bracket that offers `leverage`."""
    rows = _BRACKETS.get(symbol, _BRACKETS["usual"])
    return max(Decimal(cap) for cap, most, _ in rows if int(most) >= leverage)


@dataclass
class Holding:
    """One position: amount (< 0 short), average entry, isolated margin."""

    amount: Decimal = ZERO
    entry: Decimal = ZERO
    isolated: Decimal = ZERO

    def trade(self, signed: Decimal, price: Decimal, leverage: int, *, isolated: bool) -> Decimal:
        """Trade `signed` base units at `price`; return the PnL that this realises."""
        realized = ZERO
        if self.amount * signed < 0:
            closed = min(-signed, self.amount, key=abs)  # signed as the position
            realized = cents(closed * price - closed * self.entry)
            self.isolated = cents(self.isolated * (1 - closed / self.amount))
            self.amount -= closed
            signed += closed
        if signed:
            cost = self.amount * self.entry + signed * price
            self.entry = (cost / (self.amount + signed)).quantize(Decimal("1e-12")) if self.amount else price
            self.amount += signed
            self.isolated += cents(abs(signed) * price / leverage) if isolated else ZERO
        if not self.amount:
            self.entry = ZERO
        return realized


@dataclass
class Books:
    """What the auditor knows of one account."""

    account: Account
    wallet: Decimal = ZERO
    asked: deque[Decimal] = field(default_factory=deque)  # transfers and moves of margin
    due: deque[tuple[str, Decimal, str]] = field(default_factory=deque)  # bookings: kind, amount, symbol
    covered: tuple[Decimal, str] | None = None  # what the insurance fund has to pay, for which symbol
    booked: list[tuple[str, Decimal, str]] = field(default_factory=list)
    fees: list[tuple[Decimal, Decimal]] = field(default_factory=list)  # fee and PnL of each fill
    holdings: dict[tuple[str, str], Holding] = field(default_factory=dict)
    leverage: dict[str, int] = field(default_factory=dict)
    margin_type: dict[str, str] = field(default_factory=dict)

    def holding(self, symbol: str, side: str) -> Holding:
        return self.holdings.setdefault((symbol, side), Holding())

    def leverage_of(self, symbol: str) -> int:
        return self.leverage.get(symbol, self.account.config.leverage)

    def isolates(self, symbol: str) -> bool:
        return self.margin_type.get(symbol, self.account.config.margin_type) == "ISOLATED"

    @property
    def cross_wallet(self) -> Decimal:
        return self.wallet - sum((each.isolated for each in self.holdings.values()), ZERO)


class Audit:
    """Audits one exchange from its first line on; call `read` often, and `finish`.

    Parameters
    ----------
    exchange : Exchange
        With the fees above and the packaged brackets; USDT alone.
    sentiment : Sentiment
        Whose rates positions pay.
    """

    def __init__(self, exchange: Exchange, sentiment: Sentiment) -> None:
        self._exchange = exchange
        self._sentiment = sentiment
        self._seen = 0
        self._hour_ms = exchange.now_ms - exchange.now_ms % HOUR_MS
        self._orders: dict[tuple[int, str, int], dict[str, Any]] = {}
        self._payments: list[tuple[int, str, str, Decimal]] = []  # account, symbol, side, amount
        self._paid: tuple[int, str] | None = None  # funding whose position follows
        self._liquidated: tuple[int, str, str] | None = None
        self._fill: dict[str, Any] | None = None  # whose position follows
        self.opened = self.forced = self.payments = self.insured = 0
        self._books = {account.account_id: Books(account) for account in exchange.accounts}
        for books in self._books.values():
            books.asked.extend(books.account.config.balances.values())

    def ask(self, account: Account, amount: Decimal) -> None:
        """A transfer or a move of isolated margin is asked for; it may be refused."""
        self._books[account.account_id].asked.append(amount)

    def read(self) -> None:
        """Check what has happened since the last time."""
        ledger = self._exchange.ledger
        assert len(ledger) - self._seen <= ledger.kept, "lines were lost: read more often"
        for line in ledger.lines(self._seen):
            self._check(json.loads(line))
        self._seen = len(ledger)
        for books in self._books.values():
            assert not books.due, f"not booked: {books.due}"
            assert books.covered is None, f"the insurance fund did not pay {books.covered}"
            books.asked.clear()

    def finish(self) -> None:
        """Check what the accounts have in the end, and every income and fill of theirs."""
        self.read()
        self._fund_until(self._exchange.now_ms)
        assert not self._payments, f"funding was not paid: {self._payments}"
        for books in self._books.values():
            account = books.account
            assert account.wallets == {"USDT": books.wallet}
            incomes = [(each.type, each.amount, each.symbol) for each in account.incomes]
            assert incomes == books.booked
            assert [(fill.fee, fill.realized_pnl) for fill in account.fills] == books.fees
            for key, position in account.positions.items():
                mine = books.holdings.get(key, Holding())
                assert (position.amount, position.isolated_wallet) == (mine.amount, mine.isolated)
                assert position.entry_price == mine.entry

    def _check(self, entry: dict[str, Any]) -> None:
        self._fund_until(entry["t"])
        kind, books = entry["kind"], self._books.get(entry["a"])
        if kind not in ("FUNDING_FEE", "POSITION"):
            assert not self._payments, f"funding was not paid: {self._payments}"
        if books is None:
            return
        if kind not in ("ORDER", "ALGO", "POSITION", "INSURANCE_CLEAR"):
            assert books.covered is None or books.due, f"the insurance fund did not pay {books.covered}"
        if kind == "ORDER":
            self._orders[entry["a"], entry["symbol"], entry["order_id"]] = entry
        elif kind == "FILL":
            self._trade(books, entry)
        elif kind == "POSITION":
            self._position(books, entry)
        elif kind == "FUNDING_FEE":
            self._paid = (entry["a"], entry["symbol"])
            due = self._due_payment(entry)
            books.due.append(("FUNDING_FEE", due, entry["symbol"]))
            self._book(books, entry)
        elif kind == "TRANSFER":
            books.due.append(("TRANSFER", books.asked.popleft(), ""))
            self._book(books, entry)
        elif kind in ("REALIZED_PNL", "COMMISSION", "INSURANCE_CLEAR"):
            self._book(books, entry)
        elif kind == "LIQUIDATION":
            self._liquidation(books, entry)
        elif kind == "LEVERAGE":
            books.leverage[entry["symbol"]] = entry["leverage"]
        elif kind == "MARGIN_TYPE":
            books.margin_type[entry["symbol"]] = entry["margin_type"]

    def _book(self, books: Books, entry: dict[str, Any]) -> None:
        booked = (entry["kind"], Decimal(entry["amount"]), entry["symbol"])
        if entry["info"] == "INSURANCE_FUND":
            assert books.covered is not None, f"the insurance fund owed nothing: {entry}"
            assert not books.due, f"not booked: {books.due}"
            books.due.append(("INSURANCE_CLEAR", *books.covered))
            books.covered = None
            self.insured += 1
        due = books.due.popleft() if books.due else None
        assert booked == due, f"booked {booked}, due {due}"
        books.booked.append(booked)
        books.wallet += booked[1]
        assert (entry["asset"], Decimal(entry["wallet"])) == ("USDT", books.wallet)

    # Trades.

    def _trade(self, books: Books, entry: dict[str, Any]) -> None:
        assert not books.due
        symbol, side, price = entry["symbol"], entry["position_side"], Decimal(entry["price"])
        quantity = Decimal(entry["quantity"])
        signed = quantity if entry["side"] == "BUY" else -quantity
        order = self._orders[entry["a"], symbol, entry["order_id"]]
        self._require_price(order, entry, price, quantity)
        forced = order["client_order_id"].startswith(FORCED)
        held = books.holding(symbol, side)
        before, cross = held.amount, books.cross_wallet
        isolated = books.isolates(symbol)
        realized = held.trade(signed, price, books.leverage_of(symbol), isolated=isolated)
        fee = cents(price * quantity * (MAKER_FEE if entry["maker"] else TAKER_FEE))
        clearance = ZERO
        if self._liquidated == (entry["a"], symbol, side):
            assert order["client_order_id"].startswith("autoclose-")
            self._liquidated, clearance = None, cents(price * quantity * CLEARANCE)
        amounts = (("REALIZED_PNL", realized), ("COMMISSION", -fee), ("INSURANCE_CLEAR", -clearance))
        books.due.extend((kind, amount, symbol) for kind, amount in amounts if amount)
        books.fees.append((fee, realized))
        if forced:
            assert not held.amount
            self.forced += 1
            after = books.cross_wallet + realized - fee - clearance
            if isolated and after < cross:  # it may cost its isolated margin, and nothing beside it
                books.covered = (cross - after, symbol)
            elif not isolated and after < 0 and not self._crossed(books):
                books.covered = (-after, "")
        kept = min(abs(before), abs(held.amount)) if before * held.amount > 0 else ZERO
        self._fill = {**entry, "opened": abs(held.amount) - kept}

    @staticmethod
    def _require_price(
        order: dict[str, Any], entry: dict[str, Any], price: Decimal, quantity: Decimal
    ) -> None:
        """Whoever makes the market gets the order's own price; nobody gets a worse one, or more."""
        limit = Decimal(order["price"])
        if entry["maker"]:
            assert order["type"] == "LIMIT"
            assert price == limit
        elif order["type"] == "LIMIT":
            assert price <= limit if entry["side"] == "BUY" else price >= limit
        order["traded"] = order.get("traded", Decimal(order["executed"])) + quantity
        assert (order["side"], order["position_side"]) == (entry["side"], entry["position_side"])
        assert order["traded"] <= Decimal(order["quantity"])

    def _liquidation(self, books: Books, entry: dict[str, Any]) -> None:
        symbol, side, price = entry["symbol"], entry["position_side"], Decimal(entry["price"])
        held = books.holding(symbol, side)
        assert Decimal(entry["amount"]) == held.amount
        if books.isolates(symbol):
            assert (held.entry - price) * held.amount <= max(held.isolated, ZERO) + _HAIR
        self._liquidated = (entry["a"], symbol, side)

    def _position(self, books: Books, entry: dict[str, Any]) -> None:
        assert not books.due, f"not booked: {books.due}"
        held = books.holding(entry["symbol"], entry["position_side"])
        fill, paid, self._fill, self._paid = self._fill, self._paid, None, None
        if fill is None and paid is None:  # margin was moved
            held.isolated += cents(books.asked.popleft())
        assert Decimal(entry["amount"]) == held.amount
        assert Decimal(entry["entry_price"]) == held.entry
        assert Decimal(entry["isolated_wallet"]) == held.isolated
        if fill is not None and fill["opened"] > 0:
            self.opened += 1
            self._require_carried(books, held, fill)

    def _require_carried(self, books: Books, held: Holding, fill: dict[str, Any]) -> None:
        """Whoever has just opened something has the margin for it, and no more than the leverage allows.

        What the fill itself has cost is forgiven: its fee, and how far its price lies from the mark price.
        """
        symbol, price = fill["symbol"], Decimal(fill["price"])
        quantity, leverage = Decimal(fill["quantity"]), books.leverage_of(symbol)
        mark = self._mark(symbol, fill["t"])
        assert abs(held.amount) * mark <= largest_notional(symbol, leverage), f"{symbol} at {leverage}"
        free = books.cross_wallet
        for name, each in self._crossed(books):
            at = self._mark(name, fill["t"])
            free += each.amount * (at - each.entry) - abs(each.amount) * at / books.leverage_of(name)
        forgiven = books.fees[-1][0] + 2 * quantity * abs(price - mark)
        assert free + forgiven + _HAIR >= 0, f"{symbol}: {free} is missing at {leverage}"

    @staticmethod
    def _crossed(books: Books) -> list[tuple[str, Holding]]:
        return [
            (symbol, each)
            for (symbol, _), each in books.holdings.items()
            if each.amount and not books.isolates(symbol)
        ]

    def _mark(self, symbol: str, at_ms: int) -> Decimal:
        return self._exchange.state.prices.mark(symbol, at_ms)

    # Funding.

    def _fund_until(self, now_ms: int) -> None:
        """Work out what is due at every hour up to now, of what was held when it began."""
        while self._hour_ms + HOUR_MS <= now_ms:
            assert not self._payments, f"funding was not paid: {self._payments}"
            self._hour_ms += HOUR_MS
            for number, books in self._books.items():
                for (symbol, side), held in books.holdings.items():
                    for rate in self._rates(symbol) if held.amount else ():
                        amount = cents(-held.amount * self._mark_at_open(symbol) * rate)
                        if amount:
                            self._payments.append((number, symbol, side, amount))
        if now_ms > self._hour_ms:
            assert not self._payments, f"funding was not paid: {self._payments}"

    def _due_payment(self, entry: dict[str, Any]) -> Decimal:
        mine = [each for each in self._payments if each[:2] == (entry["a"], entry["symbol"])]
        assert mine, f"funding that nobody owes: {entry}"
        found = next((each for each in mine if each[3] == Decimal(entry["amount"])), mine[0])
        self._payments.remove(found)
        self.payments += 1
        books = self._books[entry["a"]]
        if books.isolates(entry["symbol"]):
            books.holding(entry["symbol"], found[2]).isolated += found[3]
        return found[3]

    def _rates(self, symbol: str) -> list[Decimal]:
        """Return the rates of the instants since the last hour; those of its first minute were its own."""
        first, last = self._hour_ms - HOUR_MS + MINUTE_MS, self._hour_ms + MINUTE_MS - 1
        return [Decimal(repr(float(rate))) for rate in self._sentiment.funding(symbol, first, last)["rate"]]

    def _mark_at_open(self, symbol: str) -> Decimal:
        """Return the mark price at which the candle of this hour opens."""
        market = self._exchange.state.market
        rows = market.final(symbol, Timeframe.H1, self._hour_ms)
        row = rows[int(np.searchsorted(rows["timestamp"], self._hour_ms))]
        assert row["timestamp"] == self._hour_ms
        last = Decimal(f"{row['open']:.{market.listings[symbol].grid.price}f}")
        return last * (1 + self._exchange.state.prices.mark_offset.get(symbol, ZERO))
