"""The desk's trades and orders as rows of the database."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from futures_agent.exchange.orders import Answer, PlaceMarket, PlaceStop, PlaceTarget
from futures_agent.live.desk import Desk
from futures_agent.live.order import Order
from futures_agent.live.records import Checkpoint, Record
from futures_agent.live.trade import Trade
from futures_agent.store.trades import OrderRow, TradeRow

_NEWEST = 3  # trades of a symbol whose rows are made again when something changes

Rows = tuple[list[TradeRow], list[OrderRow]]


class RowMaker:
    """Makes the rows of one mode's trades.

    Parameters
    ----------
    mode, strategy : str
        What the rows name.
    asset : str
        In which fees and profits are counted.
    """

    def __init__(self, mode: str, strategy: str, asset: str) -> None:
        self._mode = mode
        self._strategy = strategy
        self._asset = asset

    def newest(self, desk: Desk, symbols: Iterable[str]) -> Rows:
        """Return the rows of the newest trades of `symbols`, with their orders."""
        trades: list[TradeRow] = []
        orders: list[OrderRow] = []
        for symbol in symbols:
            line = desk.lines.get(symbol)
            if line is None:
                continue
            newest = [*line.trades[-_NEWEST:], *([line.trade] if line.trade else [])]
            rows = self._trade_rows(newest)
            known, ids = {row.trade_id for row in rows}, {trade.trade_id for trade in newest}
            kept = (*deque(line.past.values(), 4 * _NEWEST), *line.orders.values())
            trades += rows
            orders += [order_row(order, known) for order in kept if order.trade_id in ids]
        return trades, orders

    def every(self, desk: Desk, records: Iterable[Record]) -> Rows:
        """Return the rows of all that `records` tell; `desk` is a new one, and is used up."""
        trades: dict[str, TradeRow] = {}
        orders: dict[str, OrderRow] = {}

        def collect() -> None:
            trades.update((row.trade_id, row) for row in self._trade_rows(desk.trades))
            orders.update((order.client_id, order_row(order, set(trades))) for order in desk.orders)

        for record in records:
            if isinstance(record, Checkpoint):  # from here on the desk knows nothing of what was
                collect()
            desk.apply(record)
        collect()
        return list(trades.values()), list(orders.values())

    def _trade_rows(self, trades: Iterable[Trade]) -> list[TradeRow]:
        rows = (trade_row(trade, self._mode, self._strategy, self._asset) for trade in trades)
        return [row for row in rows if row is not None]


def trade_row(trade: Trade, mode: str, strategy: str, asset: str) -> TradeRow | None:
    """Return the row of a trade; None for one of which nothing was ever bought or sold."""
    if trade.entry_ms is None or trade.entry_price is None:
        return None
    over = trade.closed
    return TradeRow(
        trade_id=trade.trade_id,
        symbol=trade.symbol,
        timestamp=trade.entry_ms,
        mode=mode,
        strategy="" if trade.adopted else strategy,
        side="LONG" if trade.side > 0 else "SHORT",
        quantity=float(trade.entered),
        entry_price=float(trade.entry_price),
        stop_price=_number(trade.stop_price),
        target_price=_number(trade.target_price),
        exit_time=trade.exit_ms if over else None,
        exit_price=_number(trade.exit_price) if over else None,
        exit_reason=trade.exit_reason if over else None,
        gross_pnl=_number(trade.gross_pnl) if over else None,
        fees=float(trade.fees.get(asset, 0)),
        funding=float(trade.funding),
        net_pnl=_number(trade.net_pnl(asset)) if over else None,
    )


def order_row(order: Order, known_trades: set[str]) -> OrderRow:
    """Return the row of an order; it names its trade where that has a row."""
    request = order.request
    price = stop_price = None
    quantity = Decimal(0)
    if isinstance(request, PlaceStop):
        kind, stop_price, quantity = "STOP_MARKET", float(request.trigger_price), order.filled
    elif isinstance(request, PlaceTarget):
        kind, price, quantity = "LIMIT", float(request.price), request.quantity
    else:
        kind, quantity = "MARKET", request.quantity
    return OrderRow(
        client_order_id=order.client_id,
        exchange_order_id=order.order_id or order.algo_id or None,
        trade_id=order.trade_id if order.trade_id in known_trades else None,
        symbol=request.symbol,
        timestamp=order.sent_ms,
        side="BUY" if request.side > 0 else "SELL",
        type=kind,
        status=order.leg or order.status or order.state.value,
        reduce_only=not isinstance(request, PlaceMarket) or request.reduce_only,
        quantity=float(quantity),
        price=price,
        stop_price=stop_price,
        filled_quantity=float(order.filled),
        average_price=_number(order.average),
        fees=float(order.fees),
        updated_at=order.heard_ms or order.sent_ms,
    )


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def symbol_of(record: Record) -> str | None:
    """Return the symbol that a record is about; None for those about all, empty for none."""
    for name in ("symbol", "request", "answer", "seen"):
        found = getattr(record, name, None)
        if isinstance(found, str):
            return found
        if isinstance(found, Answer):
            return found.request.symbol
        if found is not None:
            return getattr(found, "symbol", "")
    return None
