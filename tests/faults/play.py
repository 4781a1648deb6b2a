"""Playing one row of the fault matrix, and judging what came of it by the venue's own books."""

from __future__ import annotations

import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from faults.scripted import SCRIPT
from faults.table import Case
from faults.world import OPEN_MS, SYMBOL, World, world
from futures_agent.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from futures_agent.live.desk import Desk
from futures_agent.live.ids import is_ours
from futures_agent.live.journal_files import read_journal
from futures_agent.live.records import Incident
from futures_agent.live.trade import Trade

_WIDE, _NEAR_STOP, _NEAR_TARGET = 0.05, 0.0028, 0.004  # shares of the price; see world.OPEN_MS
_SETTLING_MS = 10 * MINUTE_MS


class Outcome(NamedTuple):
    """What came of a row; `wrong` is empty where it is as the table says."""

    wrong: list[str]
    trades: list[str]
    incidents: list[str]
    naked_ms: int


def play(case: Case, seed: int) -> Outcome:
    """Play a row."""
    SCRIPT.clear()
    SCRIPT.update(_script(case))
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), seed, case.live) as one:
        _strike(case, one, "start")
        one.start()
        one.go_to(OPEN_MS - SECOND_MS)
        _strike(case, one, "entry")
        one.go_to(OPEN_MS + 2 * MINUTE_MS)
        _strike(case, one, "held")
        one.go_to(OPEN_MS + _SETTLING_MS)
        if any(moment == "restart" for moment, _ in case.strikes):
            one.stop()
            _strike(case, one, "restart")
            one.start()
        one.go_to(OPEN_MS + HOUR_MS - SECOND_MS)
        _strike(case, one, "exit")
        hours = 1 if case.scene == "hold" else 2
        one.go_to(OPEN_MS + hours * HOUR_MS + _SETTLING_MS)
        return _judge(case, one)


def _script(case: Case) -> dict[int, dict[str, float]]:
    entry = {"entry": 1.0, "stop_distance": _WIDE, "target_distance": _WIDE}
    first = dict(entry)
    if case.scene == "stop":
        first["stop_distance"] = _NEAR_STOP
    elif case.scene == "target":
        first["target_distance"] = _NEAR_TARGET
    script = {OPEN_MS - HOUR_MS: first}
    if case.scene == "exit":
        script[OPEN_MS] = {"exit_long": 1.0}
    if case.scene != "hold":
        script[OPEN_MS + HOUR_MS] = entry
    return script


def _strike(case: Case, one: World, moment: str) -> None:
    for when, fault in case.strikes:
        if when == moment:
            one.order_fault(dict(fault))


def _judge(case: Case, one: World) -> Outcome:
    assert one.trader is not None
    desk: Desk = one.trader.assembly.desk
    journal = read_journal(one.settings.paths.journal / one.settings.live.mode, whole=True)
    told = sorted({record.kind for record in journal.records if isinstance(record, Incident)})
    trades = [_what_became(trade) for trade in desk.trades]
    wrong = one.unengaged()
    if len(trades) != len(case.trades) or any(
        found not in allowed.split("|") for found, allowed in zip(trades, case.trades, strict=True)
    ):
        wrong.append(f"trades {trades}, expected {list(case.trades)}")
    wanted = {kind for kind in case.incidents if not kind.endswith("?")}
    allowed = wanted | {kind.rstrip("?") for kind in case.incidents}
    if not wanted <= set(told) <= allowed:
        wrong.append(f"incidents {told}, expected {list(case.incidents)}")
    if one.naked_ms > case.naked_s * SECOND_MS:
        wrong.append(f"without a stop for {one.naked_ms / 1000:g} s, at most {case.naked_s:g} s")
    if not one.trader.assembly.trader.is_idle:
        wrong.append(f"not at rest: {one.trader.explain()}")
    provoked = sum(fault.get("status") == 418 for _, fault in case.strikes)
    if (bans := one.simulator.stats["banned_418"]) != provoked:
        wrong.append(f"went on while it was limited: {bans} answers of 418, {provoked} ordered")
    with one.simulator.venue.lock:
        wrong += _books_differ(desk, one.account)
        wrong += _leftovers(case, one.account)
    wrong += _journal_differs(desk, one, list(journal.records))
    return Outcome(wrong, trades, told, one.naked_ms)


def _what_became(trade: Trade) -> str:
    if not trade.closed:
        return "OPEN"
    return trade.exit_reason or trade.outcome


def _books_differ(desk: Desk, account: Any) -> list[str]:
    """Hold positions, fills, fees and orders against the venue's."""
    wrong = []
    held = {each.symbol: each.amount for each in account.held()}
    believed = {each.symbol: each.amount for each in desk.holdings}
    if held != believed:
        wrong.append(f"the venue holds {held}, the desk {believed}")
    line = desk.lines.get(SYMBOL)
    fills = {fill.trade_id: fill for fill in account.fills if fill.symbol == SYMBOL}
    counted = set(line.fill_ids) if line is not None else set()
    if lost := set(fills) - counted:
        wrong.append(f"{len(lost)} of {len(fills)} fills were lost")
    if more := counted - set(fills):
        wrong.append(f"{len(more)} fills were made up")
    booked: Counter[int] = Counter()
    for trade in desk.trades:
        for part in trade.parts:
            booked[part.fill.trade_id] += part.quantity  # type: ignore[assignment]
    for trade_id, fill in fills.items():
        if booked[trade_id] != fill.quantity:
            wrong.append(f"fill {trade_id} of {fill.quantity} is {booked[trade_id]} in the trades")
    paid = sum((fill.fee for fill in fills.values()), Decimal(0))
    fees = sum((trade.fees.get("USDT", Decimal(0)) for trade in desk.trades), Decimal(0))
    if abs(paid - fees) > Decimal("1e-9"):
        wrong.append(f"fees of {fees} in the trades, {paid} at the venue")
    ids = Counter(order.client_order_id for order in account.orders.values() if not order.algo_id)
    ids += Counter(algo.client_algo_id for algo in account.algos.values())
    wrong += [f"{client_id} was placed {count} times" for client_id, count in ids.items() if count > 1]
    opened = Counter(
        order.client_order_id.rpartition("-")[0]
        for order in account.orders.values()
        if is_ours(order.client_order_id) and order.executed and not order.reduce_only and not order.algo_id
    )
    wrong += [f"{trade_id} was entered {count} times" for trade_id, count in opened.items() if count > 1]
    return wrong


def _leftovers(case: Case, account: Any) -> list[str]:
    """Look for orders that protect nothing, and for positions without exactly one stop."""
    amount = account.position(SYMBOL).amount
    algos, orders = list(account.open_algos.values()), list(account.open_orders.values())
    wrong = []
    side = "SELL" if amount > 0 else "BUY"
    right = [each for each in algos if each.close_position and each.side == side and each.status == "NEW"]
    if amount and (len(right), len(algos)) != (1, 1):
        wrong.append(f"a position of {amount} and {len(right)} stops among {len(algos)} conditional orders")
    if not amount and algos:
        wrong.append(f"no position, and {len(algos)} conditional orders")
    mine = [each for each in orders if is_ours(each.client_order_id)]
    if len(orders) - len(mine) != case.stray_orders:
        wrong.append(f"{len(orders) - len(mine)} orders of others, expected {case.stray_orders}")
    if len(mine) > bool(amount) or any(each.remaining > abs(amount) for each in mine):
        wrong.append(f"a position of {amount}, and open: {[each.client_order_id for each in mine]}")
    return wrong


def _journal_differs(desk: Desk, one: World, records: list[Any]) -> list[str]:
    again = Desk(one.settings.live, {})
    for record in records:
        again.apply(record)
    return [] if again == desk else ["the journal tells another desk"]
