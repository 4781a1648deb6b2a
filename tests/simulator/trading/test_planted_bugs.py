"""The audit of the exchange's money sees small errors: each of these, planted, makes a run fail."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from futures_agent.simulator.trading import admission, clearing, funding, matching
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.trading.clearing import Clearing
from futures_agent.simulator.trading.funding import Funding
from futures_agent.simulator.trading.liquidation import Liquidation
from futures_agent.simulator.trading.margin import Brackets
from futures_agent.simulator.trading.matching import Matching
from futures_agent.simulator.trading.records import Position
from futures_agent.simulator.trading.state import State
from random_trader import played

D = Decimal
UNIT = D("1e-8")  # of money
SEEDS = range(8)
Plant = Callable[[pytest.MonkeyPatch], None]


def around(owner: Any, name: str, change: Callable[..., Any]) -> Plant:
    """Return what replaces `owner.name` by `change`, which gets the original as its first argument."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = getattr(owner, name)
        patch.setattr(owner, name, lambda *args, **options: change(original, *args, **options))

    return plant


def rounded_down(amount: Decimal) -> Decimal:
    return amount.quantize(UNIT, ROUND_DOWN)


def margin_kept(original: Any, self: Clearing, account: Account, position: Position, *rest: Any) -> Any:
    """What was set aside stays whole when a part of the position is closed."""
    before, held = position.isolated_wallet, position.amount
    realized = original(self, account, position, *rest)
    if realized and position.amount * held > 0:
        position.isolated_wallet = before
    return realized


def entry_moved(original: Any, self: Clearing, account: Account, position: Position, *rest: Any) -> Any:
    """A reduction moves the entry price by a billionth."""
    realized = original(self, account, position, *rest)
    if realized and position.amount:
        position.entry_price *= 1 + D("1e-9")
    return realized


def clearance_raised(
    original: Any,
    self: Matching,
    account: Account,
    position: Position,
    price: Decimal,
    client_order_id: str,
    extra_fee: Decimal,
    status: str,
) -> Any:
    raised = extra_fee + D("0.0001") if extra_fee else extra_fee
    return original(self, account, position, price, client_order_id, raised, status)


def income_lost(original: Any, self: State, account: Account, kind: str, *rest: Any, **options: Any) -> None:
    original(self, account, kind, *rest, **options)
    if kind == "FUNDING_FEE":
        account.incomes[-1] = replace(account.incomes[-1], amount=account.incomes[-1].amount + UNIT)


def judging_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(admission, "require_margin", liberal)
    patch.setattr(admission, "require_carried", liberal)


def liberal(state: State, account: Account, *rest: Any, **options: Any) -> None:
    """Nothing is asked of an order."""


BUGS: dict[str, Plant] = {
    "a fee is rounded down": lambda patch: patch.setattr(clearing, "money", rounded_down),
    "who takes pays as maker": around(
        Clearing,
        "fill",
        lambda original, *args, **options: original(*args, **{**options, "maker": True}),
    ),
    "a PnL is one unit of money too large": around(
        Clearing, "_move", lambda original, *args: (original(*args) or -UNIT) + UNIT
    ),
    "closing a part moves the entry": around(Clearing, "_move", entry_moved),
    "closing a part frees no isolated margin": around(Clearing, "_move", margin_kept),
    "shorts pay no funding": around(
        Funding,
        "_pay",
        lambda original, self, account, position, rate: (
            original(self, account, position, rate) if position.amount > 0 else None
        ),
    ),
    "funding is a millionth too much": around(
        Funding,
        "_pay",
        lambda original, self, account, position, rate: original(
            self, account, position, rate * (1 + D("1e-6"))
        ),
    ),
    "funding is paid at the last price": around(
        Funding,
        "_pay",
        lambda original, self, account, position, rate: original(
            self, account, position, rate / (1 + self._state.prices.mark_offset.get(position.symbol, 0))
        ),
    ),
    "funding is rounded down": lambda patch: patch.setattr(funding, "money", rounded_down),
    "an income is not what was booked": around(State, "book", income_lost),
    "the clearance is a basis point too much": around(Matching, "close_by_force", clearance_raised),
    "nothing is insured": lambda patch: patch.setattr(Liquidation, "_cover", lambda *args: None),
    "positions may be twice as large": around(
        Brackets, "max_notional", lambda original, *args: original(*args) * 2
    ),
    "fills are not judged": lambda patch: patch.setattr(matching, "require_carried", liberal),
    "orders are not judged": judging_nothing,
}


def play_seeds() -> None:
    for seed in SEEDS:
        played("ticks", seed)[-1].finish()


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_seen(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[bug](monkeypatch)
    with pytest.raises(AssertionError) as seen:
        play_seeds()
    print(f"{bug}: {seen.value}")
