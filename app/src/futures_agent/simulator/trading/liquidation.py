"""Positions that are taken away: liquidation, auto-deleveraging, settlement of a closed contract."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from futures_agent.simulator.trading import events
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.clearing import Clearing
from futures_agent.simulator.trading.margin import CROSSED, ISOLATED, AccountMargin, liquidation_price
from futures_agent.simulator.trading.matching import DELISTED, LIQUIDATED, Matching
from futures_agent.simulator.trading.records import ZERO, Position
from futures_agent.simulator.trading.state import State
from futures_agent.simulator.trading.triggers import Triggers

CALL_RATIO = Decimal("0.8")  # of the maintenance margin in the margin balance: a MARGIN_CALL warns


def bankruptcy_price(position: Position) -> Decimal:
    """Return the price at which an isolated position has lost its margin, on no grid.

    Funding may have taken more than the margin: then it is the entry price.
    """
    return position.entry_price - max(position.isolated_wallet, ZERO) / position.amount


class Liquidation:
    """Watches margins, and closes positions by force."""

    def __init__(self, state: State, clearing: Clearing, matching: Matching, triggers: Triggers) -> None:
        self._state = state
        self._clearing = clearing
        self._matching = matching
        self._triggers = triggers
        # Whose margin is thin: account id and asset, or of an isolated position its symbol and side.
        self._called: set[tuple[int, str, str]] = set()

    def price_of(self, account: Account, position: Position) -> Decimal:
        """Return the mark price at which a position is liquidated; 0 for never.

        Of a hedged pair with crossed margin it is the one that loses on the way to their common price.
        """
        state, symbol = self._state, position.symbol
        if not self._loses_margin(account, position):
            return ZERO
        whole = state.margin(account, state.margin_assets[symbol])
        return liquidation_price(account, position, whole, state.brackets, state.mark(symbol))

    def liquidate(self, account: Account, position: Position, price: Decimal) -> None:
        """The mark price has come to a position's liquidation price: it is closed at `price`.

        Open orders that may tie up its margin go first. With crossed margin other positions follow for as
        long as the rest does not suffice for them.
        """
        crossed = account.margin_type(position.symbol) == CROSSED
        self._expire_orders(account, None if crossed else position.symbol)
        self._take_over(account, position, price)
        if crossed:
            self.check_crossed(account)

    def has_warned(self, account: Account) -> bool:
        """Say whether any margin of the account was thin when it was last looked at."""
        return any(key[0] == account.account_id for key in self._called)

    def check(self) -> None:
        """Liquidate every position whose margin no longer suffices at the current mark prices, or warn."""
        for account in self._state.accounts:
            held = account.held()
            if not held and not self.has_warned(account):
                continue
            self._forget_closed(account)
            for position in held:
                if account.margin_type(position.symbol) == ISOLATED:
                    self._check_isolated(account, position)
            self.check_crossed(account)

    def check_crossed(self, account: Account) -> None:
        """Close crossed positions, the largest loss first, until the margin suffices for the rest."""
        state = self._state
        for asset in sorted(account.wallets):
            while True:
                crossed = self._crossed(account, asset)
                whole = state.margin(account, asset)
                if not crossed or whole.cross_balance > whole.cross_maintenance:
                    self._warn(account, asset, crossed, whole)
                    break
                self._expire_orders(account, None)
                worst = min(crossed, key=lambda each: each.unrealized_pnl(state.mark(each.symbol)))
                self._take_over(account, worst, state.mark(worst.symbol))

    def deleverage(self, account: Account, position: Position) -> None:
        """Close a position against somebody else's bankruptcy (ADL), at the mark price, without clearance."""
        self._close(account, position, self._state.mark(position.symbol), "adl_autoclose", ZERO, "NEW_ADL")

    def settle_contract(self, symbol: str) -> None:
        """A contract has closed: its orders expire, its positions are settled at the mark price."""
        for account in self._state.accounts:
            for order in account.orders_of(symbol):
                self._matching.expire(account, order, DELISTED)
            for algo in account.algos_of(symbol):
                self._triggers.expire(account, algo, "Symbol is closed")
            for position in account.held():
                if position.symbol == symbol:
                    price = self._state.mark(symbol)
                    self._close(account, position, price, "settlement_autoclose-", ZERO, "FILLED")

    def _loses_margin(self, account: Account, position: Position) -> bool:
        """Say whether the margin shrinks when the price moves against `position`."""
        state, symbol = self._state, position.symbol
        pair = [each for each in account.held() if each.symbol == symbol]
        if len(pair) == 1 or account.margin_type(symbol) == ISOLATED:
            return True
        mark = state.mark(symbol)
        rates = (state.brackets.at(symbol, abs(each.amount) * mark).rate for each in pair)
        slope = sum(each.amount - abs(each.amount) * rate for each, rate in zip(pair, rates, strict=True))
        return slope * position.sign > 0

    def _forget_closed(self, account: Account) -> None:
        """Forget calls for isolated positions that are gone."""
        self._called -= {
            (account_id, symbol, side)
            for account_id, symbol, side in self._called
            if side and account_id == account.account_id and not account.position(symbol, side).amount
        }

    def _check_isolated(self, account: Account, position: Position) -> None:
        """Liquidate an isolated position whose margin no longer suffices, or warn of one that is thin."""
        state = self._state
        mark = state.mark(position.symbol)
        needed = state.brackets.maintenance(position.symbol, abs(position.amount) * mark)
        balance = position.isolated_wallet + position.unrealized_pnl(mark)
        if balance <= needed:
            self.liquidate(account, position, mark)
        key = (account.account_id, position.symbol, position.side)
        if self._turns_thin(key, bool(position.amount) and _is_thin(needed, balance)):
            row = events.margin_call_row(account, position, mark, needed)
            state.emit(account, events.margin_call(state.now_ms, [row]))

    def _take_over(self, account: Account, position: Position, price: Decimal) -> None:
        side = "SELL" if position.amount > 0 else "BUY"
        if account.margin_type(position.symbol) == ISOLATED:
            worst = bankruptcy_price(position)
            price = max(price, worst) if position.amount > 0 else min(price, worst)
        self._state.ledger.record(
            self._state.now_ms,
            account.account_id,
            "LIQUIDATION",
            symbol=position.symbol,
            position_side=position.side,
            amount=position.amount,
            price=price,
        )
        quantity = abs(position.amount)
        fee = self._state.market.listings[position.symbol].liquidation_fee
        self._close(account, position, price, "autoclose-", fee, "FILLED")
        order = events.force_order(self._state.now_ms, position.symbol, side, quantity, price)
        self._state.tell_market(order)

    def _close(
        self, account: Account, position: Position, price: Decimal, prefix: str, fee: Decimal, status: str
    ) -> None:
        state, asset = self._state, self._state.margin_assets[position.symbol]
        before = state.margin(account, asset).cross_wallet
        if state.config.path == "ticks":
            tick = Decimal(1).scaleb(-state.market.listings[position.symbol].grid.price)
            price = price.quantize(tick, ROUND_FLOOR if position.amount > 0 else ROUND_CEILING)
        client_id = prefix if not prefix.endswith("-") else f"{prefix}{state.numbers.tran_id()}"
        self._matching.close_by_force(account, position, price, client_id, fee, status)
        after = state.margin(account, asset).cross_wallet
        if account.margin_type(position.symbol) == ISOLATED:
            self._cover(account, asset, before - after, position.symbol)
        elif not self._crossed(account, asset):
            self._cover(account, asset, -after, "")

    def _cover(self, account: Account, asset: str, owed: Decimal, symbol: str) -> None:
        """The insurance fund pays what an isolated margin, or an account's crossed margin, could not."""
        if owed > 0:
            self._state.book(account, "INSURANCE_CLEAR", owed, asset, symbol=symbol, info="INSURANCE_FUND")
            self._clearing.tell_account(account, "INSURANCE_CLEAR", asset, [], change=owed)

    def _crossed(self, account: Account, asset: str) -> list[Position]:
        return [
            each
            for each in account.held()
            if account.margin_type(each.symbol) == CROSSED and self._state.margin_assets[each.symbol] == asset
        ]

    def _expire_orders(self, account: Account, symbol: str | None) -> None:
        for order in list(account.open_orders.values()):
            if symbol in (None, order.symbol):
                self._matching.expire(account, order, LIQUIDATED)

    def _warn(self, account: Account, asset: str, crossed: list[Position], whole: AccountMargin) -> None:
        """Send a MARGIN_CALL when the crossed margin has become thin; once until it has recovered."""
        state = self._state
        thin = bool(crossed) and _is_thin(whole.cross_maintenance, whole.cross_balance)
        if self._turns_thin((account.account_id, asset, ""), thin):
            rows = []
            for position in crossed:
                mark = state.mark(position.symbol)
                needed = state.brackets.maintenance(position.symbol, abs(position.amount) * mark)
                rows.append(events.margin_call_row(account, position, mark, needed))
            state.emit(account, events.margin_call(state.now_ms, rows, whole.cross_wallet))

    def _turns_thin(self, key: tuple[int, str, str], thin: bool) -> bool:
        """Remember whether a margin is thin now; say whether that is news."""
        turns = thin and key not in self._called
        (self._called.add if thin else self._called.discard)(key)
        return turns


def _is_thin(maintenance: Decimal, balance: Decimal) -> bool:
    return maintenance >= CALL_RATIO * balance
