"""Clearing: what a fill, a funding instant or a forced close does to positions and wallets."""

from __future__ import annotations

from decimal import Decimal

from futures_agent.simulator.trading import events
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.margin import ISOLATED
from futures_agent.simulator.trading.records import PRICE_UNIT, ZERO, Fill, Order, Position
from futures_agent.simulator.trading.state import State, money


class Clearing:
    """Books fills; every booking is a ledger entry."""

    def __init__(self, state: State) -> None:
        self._state = state

    def fill(
        self,
        account: Account,
        order: Order,
        price: Decimal,
        quantity: Decimal,
        *,
        maker: bool,
        extra_fee: Decimal = ZERO,
    ) -> Fill:
        """Trade `quantity` of `order` at `price`: order, position and wallet change together.

        `extra_fee`, a share of the notional, is the liquidation clearance fee.
        """
        state, symbol = self._state, order.symbol
        asset = state.margin_assets[symbol]
        position = account.position(symbol, order.position_side)
        realized = self._move(account, position, order.sign * quantity, price)
        quote = price * quantity
        fee = money(quote * (state.config.maker_fee if maker else state.config.taker_fee))
        order.executed += quantity
        order.quote = order.quote + quote if order.quote else quote
        order.updated_ms = state.now_ms
        order.status = "FILLED" if order.executed == order.quantity else "PARTIALLY_FILLED"
        if order.status == "FILLED":  # orders are kept for long: one number of these two will do
            order.executed = order.quantity
        if quantity == order.quantity:
            quantity = order.quantity
        trade = Fill(
            trade_id=state.numbers.trade_id(symbol),
            order_id=order.order_id,
            symbol=symbol,
            side=order.side,
            position_side=order.position_side,
            price=price,
            quantity=quantity,
            quote=quote,
            fee=fee,
            fee_asset=asset,
            realized_pnl=realized,
            maker=maker,
            time_ms=state.now_ms,
        )
        account.fills.append(trade)
        account.fills_in_all += 1
        state.ledger.record(
            state.now_ms,
            account.account_id,
            "FILL",
            symbol=symbol,
            order_id=order.order_id,
            trade_id=trade.trade_id,
            side=order.side,
            position_side=order.position_side,
            price=price,
            quantity=quantity,
            maker=maker,
        )
        if realized:
            state.book(account, "REALIZED_PNL", realized, asset, symbol=symbol, trade_id=trade.trade_id)
        if fee:
            state.book(account, "COMMISSION", -fee, asset, symbol=symbol, trade_id=trade.trade_id)
        clearance = money(quote * extra_fee)
        if clearance:
            state.book(account, "INSURANCE_CLEAR", -clearance, asset, symbol=symbol, trade_id=trade.trade_id)
        position.costs = position.costs + fee + clearance - realized if position.amount else ZERO
        self.record_position(account, position)
        return trade

    def record_position(self, account: Account, position: Position) -> None:
        """Put the position as it is now into the ledger."""
        self._state.ledger.record(
            self._state.now_ms,
            account.account_id,
            "POSITION",
            symbol=position.symbol,
            position_side=position.side,
            amount=position.amount,
            entry_price=position.entry_price,
            isolated_wallet=position.isolated_wallet,
        )

    def tell_account(
        self,
        account: Account,
        reason: str,
        asset: str,
        positions: list[Position],
        *,
        change: Decimal = ZERO,
        symbol: str = "",
    ) -> None:
        """Emit ACCOUNT_UPDATE about one asset and some positions."""
        state = self._state
        whole = state.margin(account, asset)
        state.emit(
            account,
            events.account_update(
                state.now_ms,
                account,
                reason,
                asset,
                whole,
                positions,
                state.mark,
                change=change,
                symbol=symbol,
            ),
        )

    def _move(self, account: Account, position: Position, signed: Decimal, price: Decimal) -> Decimal:
        """Change the position by `signed` base units at `price`; return the realised PnL.

        Against the position: the entry stays and PnL is realised; beyond flat, the rest opens at `price`.
        Along it: the entry is the average.
        """
        realized = ZERO
        isolated = account.margin_type(position.symbol) == ISOLATED
        held = abs(position.amount)
        if position.amount * signed < 0:
            closed = min(held, abs(signed))
            realized = money(position.sign * (price - position.entry_price) * closed)
            position.realized_pnl += realized
            kept = (held - closed) / held
            position.isolated_wallet = money(position.isolated_wallet * kept) if kept else ZERO
            signed -= closed * (1 if signed > 0 else -1)
            position.amount -= closed * position.sign
            held -= closed
        if signed:
            opened = abs(signed)
            total = held + opened
            average = (held * position.entry_price + opened * price) / total
            position.entry_price = average.quantize(PRICE_UNIT) if held else price
            position.amount += signed
            if isolated:
                position.isolated_wallet += money(opened * price / account.leverage(position.symbol))
        elif not position.amount:
            position.entry_price = ZERO
        position.updated_ms = self._state.now_ms
        return realized
