"""Which queries read a store that lags, and what it hides."""

from __future__ import annotations

import json

import msgspec
import pytest

from futures_agent.simulator.fault_script import read_fault
from futures_agent.simulator.fault_store import StaleStatus, StoreLag
from futures_agent.simulator.faults import Asked
from futures_agent.simulator.refusal import VenueError

NOW = 1_700_000_000_000
ORDER, RISK = "/fapi/v1/order", "/fapi/v3/positionRisk"


def test_the_store_hides_what_is_young() -> None:
    lag = StoreLag(lag_ms=1_000)
    old, young = {"orderId": 1, "time": NOW - 1_000}, {"algoId": 2, "createTime": NOW - 999}
    both = json.dumps([old, young]).encode()
    assert lag.hides(both, NOW)
    assert json.loads(lag.without(both, NOW)) == [old]
    assert not lag.hides(json.dumps(old).encode(), NOW)
    with pytest.raises(VenueError, match="Order does not exist") as refused:
        lag.without(json.dumps(young).encode(), NOW)
    assert refused.value.code == -2013


def test_only_queries_of_orders_and_trades_read_the_store() -> None:
    assert StoreLag().hits(Asked("GET", "/fapi/v1/openAlgoOrders"))
    assert not StoreLag().hits(Asked("GET", "/fapi/v3/positionRisk"))
    assert not StoreLag().hits(Asked("DELETE", ORDER))
    assert not StoreLag(key="one").hits(Asked("GET", ORDER, api_key="two"))


def test_a_stale_store_is_asked_for_positions_only_if_told_so() -> None:
    assert StaleStatus().hits(ORDER, "one")
    assert not StaleStatus().hits("/fapi/v1/userTrades", "one")
    assert not StaleStatus().hits(RISK, "one")
    assert StaleStatus(positions=True).hits(RISK, "one")
    assert not StaleStatus(key="two").hits(ORDER, "one")
    assert not StaleStatus(path=RISK).hits(ORDER, "one")


def test_nothing_older_than_what_is_kept_can_be_asked_for() -> None:
    with pytest.raises(msgspec.ValidationError, match="<= 60000"):
        read_fault(b'{"how": "stale status", "lag_ms": 60001}', NOW)
