"""Names of trades and orders."""

from __future__ import annotations

import re

import pytest

from futures_agent.clock import MINUTE_MS
from futures_agent.live.ids import (
    Purpose,
    adopted_id_of,
    client_id_of,
    is_ours,
    purpose_of,
    system_exit,
    trade_id_of,
)

CLOSE_MS = 1_793_491_200_000
ALLOWED = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")  # Binance USDⓈ-M "New Order": newClientOrderId


@pytest.mark.parametrize("symbol", ["BTCUSDT", "1000SHIBUSDT", "币安人生USDT"])
@pytest.mark.parametrize("purpose", list(Purpose))
def test_client_ids_are_what_the_exchange_takes(symbol, purpose):
    for trade_id in (trade_id_of(symbol, CLOSE_MS), adopted_id_of(symbol, CLOSE_MS * 10)):
        client_id = client_id_of(trade_id, purpose, 999)
        assert ALLOWED.fullmatch(client_id)
        assert is_ours(client_id)
        assert purpose_of(client_id) is purpose


def test_a_decision_has_one_name_for_ever():
    assert trade_id_of("BTCUSDT", CLOSE_MS) == "48d388b6-hsog0"


def test_other_decisions_have_other_names():
    names = {
        trade_id_of(symbol, CLOSE_MS + minute * MINUTE_MS) for symbol in ("A", "B") for minute in range(9)
    }
    assert len(names) == 18
    assert adopted_id_of("A", CLOSE_MS) != trade_id_of("A", CLOSE_MS)


@pytest.mark.parametrize("client_id", ["web_1", "", "x-cfa-1-E1", "autoclose-1"])
def test_orders_of_others_are_not_ours(client_id):
    assert not is_ours(client_id)
    assert purpose_of(client_id) is None


@pytest.mark.parametrize(
    ("client_id", "reason"),
    [
        ("autoclose-1571060888", "LIQUIDATION"),
        ("adl_autoclose", "ADL"),
        ("settlement_autoclose-1", "SETTLEMENT"),
        ("cfa-1-2-E1", ""),
        ("", ""),
    ],
)
def test_the_exchanges_own_orders_say_why(client_id, reason):
    assert system_exit(client_id) == reason
