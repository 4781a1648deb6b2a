"""The digest of an order list: the same for the same orders, another for any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from futures_agent.backtest.order_hash import order_list, order_list_hash
from sample_runs import START_MS, closed_trades, run_of


def test_a_line_tells_both_orders_of_a_trade() -> None:
    trades = closed_trades([0.1], quantity=1 / 3, stop_price=99.5, target_price=101.25)
    assert list(order_list(run_of([100.0, 100.1], trades))) == [
        (
            f"BTCUSDT LONG quantity=0.3333333333333333 entry={START_MS}@100.0 stop=99.5 target=101.25 "
            f"exit={START_MS + 7_200_000}@100.1 SIGNAL"
        )
    ]


def test_the_digest_of_nothing_is_that_of_an_empty_text() -> None:
    assert order_list_hash(run_of()) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "changes",
    [
        {"side": -1},
        {"quantity": np.nextafter(1.0, 2.0)},
        {"entry_time": START_MS + 1},
        {"entry_price": 100.00000000000001},
        {"stop_price": 1.0},
        {"target_price": 1.0},
        {"exit_time": START_MS + 1},
        {"exit_price": 99.0},
        {"exit_reason": 2},
    ],
)
def test_any_other_order_has_another_digest(changes: dict[str, Any]) -> None:
    run = run_of([100.0, 100.1], closed_trades([0.1]))
    changed = run_of([100.0, 100.1], closed_trades([0.1], **changes))
    assert order_list_hash(changed) != order_list_hash(run)
    assert order_list_hash(replace(run, symbols=("ETHUSDT",))) != order_list_hash(run)


def test_the_digest_is_of_orders_and_of_nothing_else() -> None:
    run = run_of([100.0, 100.1], closed_trades([0.1]))
    assert order_list_hash(run_of([100.0, 7.0], closed_trades([0.1], fees=3.0))) == order_list_hash(run)
