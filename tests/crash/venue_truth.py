"""What the venue's own record says of a trader that was killed; its beliefs are only compared with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from futures_agent.live.desk import Desk
from futures_agent.live.ids import Purpose, is_ours, purpose_of
from futures_agent.live.journal_files import read_journal
from futures_agent.live.records import EntryWanted, ExitWanted, Incident, Record, Sent
from futures_agent.settings.tree import Settings
from futures_agent.simulator.trading.account import Account

UNPROTECTED_LIMIT_MS = 5_000
# A trader that could get no stop by then gives up and closes at market; the order needs its time.
CLOSING_MS = 1_000
_PROTECTING = ("NEW", "TRIGGERING", "TRIGGERED")
ZERO = Decimal(0)


class Running(NamedTuple):
    """One life of the trader, venue time, ms UTC."""

    from_ms: int
    until_ms: int


class Naked(NamedTuple):
    """A position without exactly one stop, for as long as a trader ran."""

    symbol: str
    since_ms: int
    lasted_ms: int
    count: int  # stops that it had


def journal_of(settings: Settings) -> tuple[tuple[Record, ...], tuple[str, ...]]:
    """Return all records, and what is damaged."""
    replay = read_journal(settings.paths.journal / settings.live.mode, whole=True)
    return replay.records, replay.faults


def fill_differences(records: Sequence[Record], settings: Settings, account: Account) -> list[str]:
    """Return how the journal's trades differ from the venue's fills; each must be in them exactly once."""
    desk = Desk(settings.live, {})
    for record in records:
        desk.apply(record)
    booked: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    prices, found = {}, []
    for trade in desk.trades:
        for part in trade.parts:
            key = part.fill.symbol, part.fill.trade_id
            booked[key] += part.quantity
            prices[key] = part.fill.price
        if trade.adopted or trade.unexplained or trade.found_quantity:
            found.append(f"{trade.symbol} {trade.trade_id}: a position nobody explains, though all are ours")
    for fill in account.fills:
        key = fill.symbol, fill.trade_id
        quantity, price = booked.pop(key, ZERO), prices.get(key)
        if (quantity, price) != (fill.quantity, fill.price):
            what = f"{fill.quantity} at {fill.price}, the journal {quantity} at {price}"
            found.append(f"{fill.symbol} fill {fill.trade_id}: {what}")
    found += [f"{symbol} fill {number}: never happened" for symbol, number in booked]
    for symbol, line in desk.lines.items():
        amount = account.position(symbol).amount
        if line.exposure != amount:
            found.append(f"{symbol}: the journal holds {line.exposure}, the venue {amount}")
    return found


def order_faults(records: Sequence[Record], account: Account) -> list[str]:
    """Return orders that came twice, were not wanted, or were on the wire before they were in the journal."""
    found = []
    sent: dict[str, int] = {}
    wanted: dict[str, set[tuple[int, Decimal]]] = defaultdict(
        set
    )  # a close may be decided again after a crash
    for record in records:
        if isinstance(record, EntryWanted):
            wanted[record.trade_id].add((record.side, record.quantity))
        elif isinstance(record, Sent):
            sent.setdefault(record.request.client_id, record.at_ms)
    orders = [order for order in account.orders.values() if not order.algo_id]
    named = [(order.symbol, order.client_order_id, order.created_ms) for order in orders]
    named += [(algo.symbol, algo.client_algo_id, algo.created_ms) for algo in account.algos.values()]
    for client_id, count in Counter(name for _, name, _ in named).items():
        if count > 1:
            found.append(f"{client_id}: {count} orders of that name")
    for symbol, client_id, created_ms in named:
        if not is_ours(client_id):
            found.append(f"{symbol} {client_id}: not ours")
        elif client_id not in sent:
            found.append(f"{symbol} {client_id}: at the venue, not in the journal")
        elif sent[client_id] > created_ms:
            found.append(f"{symbol} {client_id}: in the journal after it was at the venue")
    entries: dict[str, list[Any]] = defaultdict(list)
    for order in orders:
        if order.executed and purpose_of(order.client_order_id) is Purpose.ENTRY:
            entries[order.client_order_id.removeprefix("cfa-").rpartition("-")[0]].append(order)
    for trade_id, executed in entries.items():
        if len(executed) > 1:
            found.append(f"trade {trade_id}: entered {len(executed)} times")
        elif (executed[0].sign, executed[0].executed) not in wanted[trade_id]:
            found.append(f"trade {trade_id}: {executed[0].executed} executed, wanted {wanted[trade_id]}")
    return found


def turned_positions(account: Account) -> list[str]:
    """Return where an exit closed more than there was, or an entry came upon a position."""
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    entered: dict[str, int] = {}  # the order that opened what is held
    found = []
    for fill in account.fills:
        order = account.orders[fill.symbol, fill.order_id]
        before = amounts[fill.symbol]
        after = before + (fill.quantity if fill.side == "BUY" else -fill.quantity)
        amounts[fill.symbol] = after
        if purpose_of(order.client_order_id) is Purpose.ENTRY:
            wrong = bool(before) and entered[fill.symbol] != order.order_id
            entered[fill.symbol] = order.order_id
        else:
            wrong = before * after < 0 or abs(after) > abs(before)
        if wrong:
            found.append(f"{fill.symbol} {order.client_order_id}: {before} became {after}")
    return found


def orphans(account: Account) -> list[str]:
    """Return open orders of contracts in which nothing is held; none may be there once all is at rest."""
    flat = [symbol for (symbol, _), position in account.positions.items() if not position.amount]
    orders = [f"{each.symbol} {each.client_order_id}" for each in account.open_orders.values()]
    algos = [f"{each.symbol} {each.client_algo_id}" for each in account.open_algos.values()]
    return [f"{each}: left behind" for each in (*orders, *algos) if each.partition(" ")[0] in flat]


def unprotected(ledger: Sequence[dict[str, Any]], lives: Sequence[Running], end_ms: int) -> list[Naked]:
    """Return when positions did not have exactly one stop while a trader ran.

    Parameters
    ----------
    ledger : sequence
        Entries of the venue's ledger, oldest first.
    end_ms : int
        Until when the ledger tells.
    """
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    stops: dict[str, dict[int, str]] = defaultdict(dict)
    since: dict[str, tuple[int, int]] = {}
    spans: list[tuple[str, int, int, int]] = []
    for entry in ledger:
        if entry["kind"] == "FILL":
            quantity = Decimal(entry["quantity"])
            amounts[entry["symbol"]] += quantity if entry["side"] == "BUY" else -quantity
        elif entry["kind"] == "ALGO" and entry["type"] == "STOP_MARKET":
            if entry["status"] in _PROTECTING:
                stops[entry["symbol"]][entry["algo_id"]] = entry["side"]
            else:
                stops[entry["symbol"]].pop(entry["algo_id"], None)
        else:
            continue
        symbol, now_ms = entry["symbol"], entry["t"]
        side = "SELL" if amounts[symbol] > 0 else "BUY"
        count = sum(each == side for each in stops[symbol].values())
        naked = amounts[symbol] != 0 and count != 1
        if symbol in since and not naked:
            began_ms, had = since.pop(symbol)
            spans.append((symbol, began_ms, now_ms, had))
        elif naked and symbol not in since:
            since[symbol] = now_ms, count
    spans += [(symbol, began_ms, end_ms, had) for symbol, (began_ms, had) in since.items()]
    found = []
    for symbol, began_ms, ended_ms, had in spans:
        for life in lives:
            lasted_ms = min(ended_ms, life.until_ms) - max(began_ms, life.from_ms)
            if lasted_ms > 0:
                found.append(Naked(symbol, max(began_ms, life.from_ms), lasted_ms, had))
    return found


def refusals(records: Sequence[Record]) -> list[str]:
    """Return orders that the venue refused for what they were; no fault here makes it do that."""
    refused = (each for each in records if isinstance(each, Incident) and each.kind.endswith("_REFUSED"))
    return [f"{each.symbol} {each.text}" for each in refused]


def given_up(records: Sequence[Record]) -> list[str]:
    """Return positions that were closed because no stop could be got."""
    exits = (each for each in records if isinstance(each, ExitWanted) and each.why == "UNPROTECTED")
    return [f"{each.symbol}: closed at {each.at_ms} for want of a stop" for each in exits]


def incidents(records: Sequence[Record]) -> Counter[str]:
    return Counter(record.kind for record in records if isinstance(record, Incident))
