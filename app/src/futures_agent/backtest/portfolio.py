"""The portfolio loop: one shared account over all symbols, bar time by bar time.

At each bar time, in this order and each in the order of the symbols: funding and exits decided on the
previous close, at the open; entries decided on the previous close, at the open; stops, targets and
liquidations within the bar, which is also checked for positions it opened; marking to the close, which the
risk gate's memory is fed with.

The gate judges and sizes entries by what was known when they were decided: the closes up to then and the
account's equity at the last of them. Funding at an instant within (previous open, this open] is paid at
this open's price by whoever holds a position before anything fills here; a position that ended within the
bar does not pay. A symbol whose candles end gives up its position at its last close; the account goes on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from futures_agent.backtest.records import ExitReason
from futures_agent.compiled import kernel
from futures_agent.execution.fills import (
    AMBIGUOUS,
    BRACKET,
    LIQUIDATION,
    NONE,
    TARGET,
    bar_exit,
    finer_exit,
    market_fill,
)
from futures_agent.execution.funding import funding_cashflow
from futures_agent.execution.margin import bankruptcy_price, liquidation_price
from futures_agent.execution.rounding import floor_to_step, round_to_tick
from futures_agent.execution.slippage import slippage_share
from futures_agent.risk.correlation import Closes
from futures_agent.risk.gate import exposure, judge_entry
from futures_agent.risk.rejection import Rejection
from futures_agent.risk.sizing import wanted_quantity
from futures_agent.risk.state import risk_step

_SIGNAL = int(ExitReason.SIGNAL)
_END = int(ExitReason.END)
_DATA_ENDED = int(ExitReason.DATA_ENDED)
_ACCEPTED = int(Rejection.ACCEPTED)
_ENTRY_LAPSED = int(Rejection.ENTRY_LAPSED)
_POLICY_DECLINED = int(Rejection.POLICY_DECLINED)

# One symbol's position; `side` 0 = flat.
POSITION = np.dtype(
    [
        *BRACKET.descr,
        ("quantity", np.float64),
        ("entry_time", np.int64),
        ("entry_price", np.float64),
        ("mark_price", np.float64),  # the last close
        ("fees", np.float64),
        ("funding", np.float64),
        ("slippage", np.float64),  # of the entry, quote units
        ("reasons", np.int64),
        ("next_settlement", np.int64),  # row of the first funding instant not yet paid
    ]
)

ACCOUNT = np.dtype([("cash", np.float64), ("trades", np.int64)])

# Costs as shares, and the lengths of bars.
TERMS = np.dtype(
    [
        ("maker_fee", np.float64),
        ("taker_fee", np.float64),
        ("half_spread", np.float64),
        ("impact", np.float64),  # of an order as large as an hour's volume
        ("leverage", np.float64),
        ("timeframe_ms", np.int64),
        ("finer_ms", np.int64),  # of the bars in Market.finer
    ]
)


class Market(NamedTuple):
    """What happened, read only. Rows of symbol s lie at [offsets[s], offsets[s + 1]) of each flat array."""

    timeline: NDArray[np.int64]  # open times at which any symbol has a bar
    candles: NDArray[np.void]  # CANDLE
    offsets: NDArray[np.int64]
    signals: NDArray[np.void]  # SIGNAL, one per candle
    rules: NDArray[np.void]  # RULES, one per symbol
    settlements: NDArray[np.void]  # SETTLEMENT
    settlement_offsets: NDArray[np.int64]
    finer: NDArray[np.void]  # FINER, may be empty
    finer_offsets: NDArray[np.int64]


class Book(NamedTuple):
    """What the account does about it, written by the loop."""

    account: NDArray[np.void]  # one ACCOUNT
    risk: NDArray[np.void]  # one RISK_STATE
    entry: NDArray[np.void]  # one ENTRY: the candidate that is being judged
    positions: NDArray[np.void]  # POSITION, one per symbol
    rows: NDArray[np.int64]  # each symbol's candle at the current time, -1 = none
    next_rows: NDArray[np.int64]  # each symbol's first candle that has not closed at the current time
    trades: NDArray[np.void]  # TRADE, as many as there can be
    equity: NDArray[np.void]  # EQUITY, one per time
    rejections: NDArray[np.int64]  # one count per Rejection
    cuts: NDArray[np.int64]  # entries made smaller: by the account's caps, by the exchange's largest order


@kernel
def run_portfolio(market: Market, book: Book, terms: Any, limits: Any) -> None:
    """Run the account through the whole timeline; `terms` and `limits` are arrays of one record.

    What happens at most bars is called with records, the rare with `market` and `book`: compiled, handing
    over that many arrays costs more than the work.
    """
    symbols = range(len(book.rows))
    for step in range(len(market.timeline)):
        time = market.timeline[step]
        for symbol in symbols:
            row, end = book.next_rows[symbol], market.offsets[symbol + 1]
            present = row < end and market.candles[row].timestamp == time
            book.rows[symbol] = row if present else -1
            position = book.positions[symbol]
            if present and position.side != 0:
                last = market.settlement_offsets[symbol + 1]
                pay_funding(position, book.account[0], market.candles[row], market.settlements, last)
                if asks_to_leave(market.signals[row - 1], position.side):
                    exit_on_signal(market, book, terms[0], symbol)
        for symbol in symbols:
            row = book.rows[symbol]
            if row > market.offsets[symbol] and market.signals[row - 1].entry != 0:
                enter_on_signal(market, book, terms[0], limits[0], symbol)
        for symbol in symbols:
            row, position = book.rows[symbol], book.positions[symbol]
            if row >= 0:
                book.next_rows[symbol] += 1
                if position.side != 0:
                    reason, level = bar_exit(position, market.candles[row])
                    if reason != NONE or row + 1 == market.offsets[symbol + 1]:
                        exit_within_bar(market, book, terms[0], symbol, reason, level)
                    else:
                        position.mark_price = market.candles[row].close
        close_bar(book, limits[0], step, time + terms[0].timeframe_ms)


@kernel
def pay_funding(position: Any, account: Any, candle: Any, settlements: Any, last: int) -> None:
    """Settle every funding instant since the position's last bar, up to and including this open.

    `last` is the row behind the symbol's settlements.
    """
    while position.next_settlement < last:
        settlement = settlements[position.next_settlement]
        if settlement.timestamp > candle.timestamp:
            break
        cash = funding_cashflow(position.side, position.quantity, candle.open, settlement)
        position.funding += cash
        account.cash += cash
        position.next_settlement += 1


@kernel
def asks_to_leave(signal: Any, side: int) -> bool:
    """Say whether a decision closes a position of `side`; an opposite entry does, even a refused one."""
    asked = signal.exit_long if side > 0 else signal.exit_short
    return asked or signal.entry == -side  # type: ignore[no-any-return]


@kernel
def exit_on_signal(market: Market, book: Book, terms: Any, symbol: int) -> None:
    """Close at the open what the previous close decided to close."""
    row, position = book.rows[symbol], book.positions[symbol]
    candle = market.candles[row]
    slippage = slippage_share(terms, position.quantity, market.candles[row - 1].volume)
    price = market_fill(-position.side, candle.open, slippage)
    close_position(book, symbol, candle.timestamp, price, candle.open, _SIGNAL, terms.taker_fee, 0.0)


@kernel
def enter_on_signal(market: Market, book: Book, terms: Any, limits: Any, symbol: int) -> None:
    """Open at the open what the previous close decided to open, or count why not."""
    row = book.rows[symbol]
    signal, candle, decided = market.signals[row - 1], market.candles[row], market.candles[row - 1]
    if book.positions[symbol].side != 0:
        return
    quantity, reason = 0.0, _ACCEPTED
    if candle.timestamp - decided.timestamp != terms.timeframe_ms:
        reason = _ENTRY_LAPSED
    elif signal.declined:
        reason = _POLICY_DECLINED
    else:
        entry = book.entry[0]
        entry.symbol = symbol
        entry.side = signal.entry
        entry.price = decided.close
        entry.stop_distance = signal.stop_distance
        entry.target_distance = signal.target_distance
        closes = Closes(market.candles, market.offsets, book.next_rows, terms.timeframe_ms)
        quantity, reason = judge_entry(
            entry, book.risk[0], book.positions, closes, limits, market.rules[symbol]
        )
    if reason == _ACCEPTED:
        count_cut(book, limits, market.rules[symbol], quantity)
        open_position(market, book, terms, symbol, quantity)
    else:
        book.rejections[reason] += 1


@kernel
def count_cut(book: Book, limits: Any, rules: Any, quantity: float) -> None:
    """Count the entry just judged where it got less than it asked for."""
    wanted = wanted_quantity(book.entry[0], book.risk[0].equity, limits)
    enough = 2.0 * quantity  # what is asked for may be too large for whole numbers of steps
    if quantity < floor_to_step(min(wanted, enough), rules):
        largest = floor_to_step(min(rules.max_quantity, enough), rules)
        book.cuts[1 if quantity == largest else 0] += 1


@kernel
def open_position(market: Market, book: Book, terms: Any, symbol: int, quantity: float) -> None:
    """Fill an entry at the open and place its stop and target, measured from the fill, on the tick."""
    row, position = book.rows[symbol], book.positions[symbol]
    candle, signal, rules = market.candles[row], market.signals[row - 1], market.rules[symbol]
    side = signal.entry
    slippage = slippage_share(terms, quantity, market.candles[row - 1].volume)
    price = market_fill(side, candle.open, slippage)
    stop, target = 0.0, 0.0
    if signal.stop_distance > 0:
        stop = max(round_to_tick(price - side * signal.stop_distance, rules), 0.0)
    if signal.target_distance > 0:
        target = max(round_to_tick(price + side * signal.target_distance, rules), 0.0)
    position.side = side
    position.quantity = quantity
    position.entry_time = candle.timestamp
    position.entry_price = price
    position.mark_price = market.candles[row - 1].close  # what the gate knows until this bar has closed
    position.stop_price = stop
    position.target_price = target
    position.liquidation_price = liquidation_price(side, price, terms.leverage)
    position.bankruptcy_price = bankruptcy_price(side, price, terms.leverage)
    position.fees = quantity * price * terms.taker_fee
    position.funding = 0.0
    position.slippage = quantity * abs(price - candle.open)
    position.reasons = signal.reasons
    position.next_settlement = first_row_from(
        market.settlements,
        market.settlement_offsets[symbol],
        market.settlement_offsets[symbol + 1],
        candle.timestamp + 1,
    )
    book.account[0].cash -= position.fees


@kernel
def exit_within_bar(market: Market, book: Book, terms: Any, symbol: int, reason: int, level: float) -> None:
    """Close what `bar_exit` found to end within the bar, or, where it found NONE, at the last close."""
    row, position = book.rows[symbol], book.positions[symbol]
    candle, volume = market.candles[row], market.candles[row - 1].volume
    if reason == AMBIGUOUS:
        last = market.finer_offsets[symbol + 1]
        first = first_row_from(market.finer, market.finer_offsets[symbol], last, candle.timestamp)
        last = first_row_from(market.finer, first, last, candle.timestamp + terms.timeframe_ms)
        reason, level = finer_exit(position, market.finer, first, last, candle.timestamp, terms.finer_ms)
    if reason == NONE:
        last_bar = candle.timestamp == market.timeline[len(market.timeline) - 1]
        reason = _END if last_bar else _DATA_ENDED
        level, volume = candle.close, candle.volume
    price, fee, liquidation_fee = level, terms.taker_fee, 0.0
    if reason == TARGET:
        fee = terms.maker_fee
    elif reason == LIQUIDATION:
        liquidation_fee = market.rules[symbol].liquidation_fee
    else:
        price = market_fill(-position.side, level, slippage_share(terms, position.quantity, volume))
    close_position(book, symbol, candle.timestamp, price, level, reason, fee, liquidation_fee)


@kernel
def close_position(
    book: Book,
    symbol: int,
    time: int,
    price: float,
    level: float,
    reason: int,
    fee: float,
    liquidation_fee: float,
) -> None:
    """Fill an exit, write the trade and make the symbol flat.

    `level` is the price before slippage; the two fees are shares of the notional.
    """
    position, account = book.positions[symbol], book.account[0]
    trade = book.trades[account.trades]
    notional = position.quantity * price
    exit_fee = notional * (fee + liquidation_fee)
    trade.symbol = symbol
    trade.side = position.side
    trade.quantity = position.quantity
    trade.entry_time = position.entry_time
    trade.entry_price = position.entry_price
    trade.exit_time = time
    trade.exit_price = price
    trade.exit_reason = reason
    trade.stop_price = position.stop_price
    trade.target_price = position.target_price
    trade.gross_pnl = position.side * position.quantity * (price - position.entry_price)
    trade.fees = position.fees + exit_fee
    trade.liquidation_fee = notional * liquidation_fee
    trade.funding = position.funding
    trade.net_pnl = trade.gross_pnl - trade.fees + trade.funding
    trade.slippage = position.slippage + position.quantity * abs(price - level)
    trade.reasons = position.reasons
    account.cash += trade.gross_pnl - exit_fee
    account.trades += 1
    position.side = 0


@kernel
def close_bar(book: Book, limits: Any, step: int, close_ms: int) -> None:
    """Mark the account to the last closes, and tell the risk gate."""
    unrealised = 0.0
    for position in book.positions:
        if position.side != 0:
            unrealised += position.side * position.quantity * (position.mark_price - position.entry_price)
    equity = book.account[0].cash + unrealised
    risk_step(book.risk[0], limits, close_ms, equity)
    long, short, positions = exposure(book.positions)
    row = book.equity[step]
    row.timestamp = close_ms
    row.equity = equity
    row.notional = long + short
    row.positions = positions


@kernel
def first_row_from(records: Any, first: int, last: int, time: int) -> int:
    """Return the first row of [first, last) stamped `time` or later, by bisection."""
    while first < last:
        middle = (first + last) // 2
        if records[middle].timestamp < time:
            first = middle + 1
        else:
            last = middle
    return first
