"""Who may ask, when, and how often."""

from __future__ import annotations

from base64 import b64encode
from decimal import Decimal
from typing import Any
from urllib.parse import quote_plus

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from futures_agent.errors import Refuse
from futures_agent.simulator.faults import EngineDelay
from futures_agent.simulator.rest_account import ACCOUNT_ENDPOINTS
from futures_agent.simulator.rest_algo import ALGO_ENDPOINTS
from futures_agent.simulator.rest_orders import ORDER_ENDPOINTS
from futures_agent.simulator.rest_signed import Access, AccountEndpoint
from futures_agent.simulator.rest_terms import TERMS_ENDPOINTS
from futures_agent.simulator.trading.config import AccountConfig
from signed_client import SignedClient, trading_floor

ENDPOINTS = (*ACCOUNT_ENDPOINTS, *ALGO_ENDPOINTS, *ORDER_ENDPOINTS, *TERMS_ENDPOINTS)
BUY: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}


def stop(client: SignedClient) -> dict[str, Any]:
    last = client.simulator.venue.exchange.last_price("BTCUSDT")
    trigger = (last * Decimal("1.1")).quantize(Decimal("0.1"))
    return BUY | {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": trigger}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: f"{each.method} {each.path}")
def test_every_endpoint_asks_who_is_there(client: SignedClient, endpoint: AccountEndpoint) -> None:
    stranger = SignedClient(client.simulator, "stranger")
    forger = SignedClient(client.simulator, client.key, "wrong")
    assert stranger.refused(endpoint.method, endpoint.path)[0] == -2015
    if endpoint.access is not Access.KEY:
        assert forger.refused(endpoint.method, endpoint.path)[0] == -1022
        unsigned = client.raw(endpoint.method, endpoint.path, f"timestamp={client.simulator.clock.now_ms()}")
        assert unsigned.json()["msg"].startswith("Mandatory parameter 'signature'")
    assert client.refused(endpoint.method, endpoint.path, novelty=1)[0] == -1103
    assert client.refused(endpoint.method, endpoint.path, interval="1h")[0] == -1104


def test_a_parameter_twice(client: SignedClient) -> None:
    query = f"symbol=BTCUSDT&symbol=ETHUSDT&timestamp={client.simulator.clock.now_ms()}"
    answer = client.raw("GET", "openOrders", f"{query}&signature={client.sign(query)}")
    assert (answer.status_code, answer.json()["code"]) == (400, -1101)


def test_what_is_no_utf_8(client: SignedClient) -> None:
    query = f"symbol=%FF%FE&timestamp={client.simulator.clock.now_ms()}"
    answer = client.raw("GET", "openOrders", f"{query}&signature={client.sign(query)}")
    assert (answer.status_code, answer.json()) == (400, {"code": -1013, "msg": "INVALID_MESSAGE."})


def test_too_many_orders() -> None:
    with trading_floor(orders_per_10s=5, orders_per_min=7) as floor:
        client, other = floor.client(), floor.client()
        for count in range(1, 6):
            answer = client.send("POST", "order", **BUY)
            assert answer.headers["X-MBX-ORDER-COUNT-10S"] == str(count)
        answer = client.send("POST", "order", **BUY)
        assert (answer.status_code, answer.json()) == (
            429,
            {"code": -1015, "msg": "Too many new orders; current limit is 5 orders per TEN_SECONDS."},
        )
        other.market("BUY", "0.01")
        floor.simulator.clock.step(10_000)
        client.ask("POST", "algoOrder", **stop(client))
        answer = client.send("POST", "order", **BUY)
        assert (answer.headers["X-MBX-ORDER-COUNT-10S"], answer.headers["X-MBX-ORDER-COUNT-1M"]) == ("2", "7")
        assert client.refused("POST", "order", **BUY)[1].endswith("7 orders per MINUTE.")
        floor.simulator.clock.step(50_000)
        client.market("BUY", "0.01")


def test_limits_on_orders_can_be_changed_and_counts_forgotten() -> None:
    with trading_floor(orders_per_10s=1) as floor:
        client, control = floor.client(), f"{floor.simulator.url}/sim"
        client.market("BUY", "0.01")
        assert client.refused("POST", "order", **BUY)[0] == -1015
        requests.delete(f"{control}/stats", timeout=10)
        client.market("BUY", "0.01")
        changed = requests.post(
            f"{control}/limits", json={"orders_per_10s": 2, "orders_per_min": 9}, timeout=10
        )
        assert (changed.json()["orders_per_10s"], changed.json()["orders_per_min"]) == (2, 9)
        client.market("BUY", "0.01")
        limits = client.ask("GET", "rateLimit/order")
        assert [limit["limit"] for limit in limits] == [2, 9]


class TestKeys:
    def test_no_key(self, client: SignedClient) -> None:
        answer = requests.get(f"{client.simulator.url}/fapi/v3/account", timeout=10)
        assert (answer.status_code, answer.json()) == (
            401,
            {"code": -2014, "msg": "API-key format invalid."},
        )

    def test_an_unknown_key(self, client: SignedClient) -> None:
        stranger = SignedClient(client.simulator, "stranger", "secret")
        answer = stranger.send("GET", "/fapi/v3/account")
        assert (answer.status_code, answer.json()) == (
            401,
            {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."},
        )
        assert stranger.raw("POST", "listenKey").json()["code"] == -2015

    def test_a_key_that_only_reads(self) -> None:
        reader = AccountConfig(key="reader", secret="s", can_trade=False)
        with trading_floor({"accounts": (reader,)}) as floor:
            client = floor.client()
            assert client.ask("GET", "accountConfig")["canTrade"] is False
            for request in (
                "POST order",
                "DELETE order",
                "POST algoOrder",
                "POST leverage",
                "POST positionSide/dual",
            ):
                answer = client.send(*request.split(), **BUY)
                assert (answer.status_code, answer.json()["code"]) == (401, -2015)
            assert "listenKey" in client.raw("POST", "listenKey").json()

    def test_a_wrong_secret(self, client: SignedClient) -> None:
        stranger = SignedClient(client.simulator, client.key, "wrong")
        told = (-1022, "Signature for this request is not valid.")
        assert stranger.refused("GET", "/fapi/v3/account") == told

    def test_a_key_without_a_secret(self) -> None:
        floor = trading_floor({"accounts": (AccountConfig(key="bare"),)})
        with pytest.raises(Refuse, match="bare has neither secret nor public_key"), floor:
            pass

    def test_an_ed25519_key(self) -> None:
        private = Ed25519PrivateKey.generate()
        pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        keys = (AccountConfig(key="ed", public_key=pem.decode()),)
        with trading_floor({"accounts": keys}) as floor:
            client = floor.client()
            query = f"timestamp={floor.simulator.clock.now_ms()}"
            signature = quote_plus(b64encode(private.sign(query.encode())))
            answer = client.raw("GET", "/fapi/v3/balance", f"{query}&signature={signature}")
            assert answer.status_code == 200, answer.text
            assert client.refused("GET", "/fapi/v3/balance")[0] == -1022


class TestTime:
    def test_late_and_early(self, client: SignedClient) -> None:
        now_ms = client.simulator.clock.now_ms()
        late = (-1021, "Timestamp for this request is outside of the recvWindow.")
        early = (-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        assert client.refused("GET", "openOrders", timestamp=now_ms - 5001) == late
        assert client.refused("GET", "openOrders", timestamp=now_ms - 11, recvWindow=10) == late
        assert client.refused("GET", "openOrders", timestamp=now_ms + 1000) == early
        assert client.ask("GET", "openOrders", timestamp=now_ms + 999) == []
        assert client.ask("GET", "openOrders", timestamp=now_ms - 60_000, recvWindow=60_000) == []

    def test_the_engine_judges_the_age_again(self, client: SignedClient) -> None:
        client.simulator.venue.faults.add(EngineDelay(delay_ms=5_001))
        assert client.refused("POST", "order", **BUY)[0] == -5028
        assert not client.account.orders
        client.market("BUY", "0.01")
