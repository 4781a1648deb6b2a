"""Whatever is asked of the exchange, however it misbehaves: its money is right, and comes out the same."""

from __future__ import annotations

from collections import Counter

import pytest

from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.simulator.trading import retention
from futures_agent.simulator.trading.ledger import MONEY_KINDS
from random_trader import played
from trading_worlds import START_MS, ledger_bytes

RUNS = 23  # on each path; with those of test_money_over_rest.py 10,000 orders in all


@pytest.mark.parametrize("path", ["bar", "ticks"])
@pytest.mark.parametrize("seed", range(RUNS))
def test_money_is_right_whatever_happens(path: str, seed: int) -> None:
    exchange, _, audit = played(path, seed)
    audit.finish()
    sizes = exchange.ledger.position_sizes()
    for account in exchange.accounts:
        sums = exchange.ledger.balances()[account.account_id, "USDT"]
        assert account.wallet("USDT") == sum(sums[kind] for kind in MONEY_KINDS)
        for (symbol, side), position in account.positions.items():
            assert position.amount == sizes.get((account.account_id, symbol, side), 0)
            assert side == "BOTH" or position.amount * (1 if side == "LONG" else -1) >= 0
        for order in account.orders.values():
            assert order.is_open == ((order.symbol, order.order_id) in account.open_orders)


@pytest.mark.parametrize("path", ["bar", "ticks"])
def test_the_runs_meet_every_kind_of_trouble(path: str) -> None:
    """Were the client or its troubles too tame, the property would hold for nothing."""
    kinds, struck, done = set(), set(), Counter[str]()
    for seed in range(6):
        exchange, trouble, audit = played(path, seed)
        done.update(opened=audit.opened, forced=audit.forced, paid=audit.payments, insured=audit.insured)
        struck |= trouble.struck
        for entry in exchange.ledger.entries():
            kinds.add(f"{entry['kind']} {entry.get('status', '')}".strip())
    assert min(done.values()) > 10, done
    assert struck == {"refused", "refused algo", "rejected", "partial"}
    assert kinds >= {
        *MONEY_KINDS,
        "LIQUIDATION",
        "STATUS TRADING_HALT",
        "ORDER PARTIALLY_FILLED",
        "ORDER CANCELED",
        "ORDER EXPIRED",
        "ALGO FINISHED",
        "ALGO REJECTED",
        "ALGO EXPIRED",
    }


@pytest.mark.parametrize("path", ["bar", "ticks"])
def test_the_same_seed_and_script_give_the_same_ledger(path: str) -> None:
    first, again, other = (played(path, seed)[0] for seed in (7, 7, 8))
    assert ledger_bytes(first) == ledger_bytes(again)
    assert first.ledger.digest() == again.ledger.digest() != other.ledger.digest()


@pytest.mark.parametrize("path", ["bar", "ticks"])
def test_forgetting_changes_neither_money_nor_ledger(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _, _ = played(path, 7, orders=600)
    monkeypatch.setattr(retention, "UNFILLED_KEPT_MS", 2 * HOUR_MS)
    monkeypatch.setattr(retention, "KEPT_MS", 6 * HOUR_MS)
    pruned, _, _ = played(path, 7, orders=600)
    assert pruned.now_ms - START_MS > 3 * DAY_MS
    midnight_ms = pruned.now_ms // DAY_MS * DAY_MS
    for short, long in zip(pruned.accounts, whole.accounts, strict=True):
        assert list(short.orders.items()) == [
            (key, order)
            for key, order in long.orders.items()
            if midnight_ms - order.updated_ms <= (6 if order.executed else 2) * HOUR_MS or order.is_open
        ]
        assert short.fills == [each for each in long.fills if midnight_ms - each.time_ms <= 6 * HOUR_MS]
        assert short.fills_in_all == len(long.fills)
        for asset, wallet in short.wallets.items():
            assert wallet == pruned.ledger.balances()[short.account_id, asset]["wallet"]
        for (symbol, side), position in short.positions.items():
            size = pruned.ledger.position_sizes().get((short.account_id, symbol, side), 0)
            assert position.amount == size
    kept, all_of_them = (sum(len(each.orders) for each in world.accounts) for world in (pruned, whole))
    assert 0 < kept < all_of_them / 2
    assert pruned.ledger.digest() == whole.ledger.digest()
