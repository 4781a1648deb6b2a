"""Orders over real REST, through faults of every kind: whatever the client was told, the money is right."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest
import requests
from msgspec.structs import replace

from futures_agent.clock import parse_utc
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.fault_orders import OrderFault
from futures_agent.simulator.fault_plan import Planned
from futures_agent.simulator.fault_store import StoreLag
from futures_agent.simulator.faults import EngineDelay, Fault
from futures_agent.simulator.server import RunningSimulator, running_simulator
from futures_agent.simulator.trading.config import TradingConfig
from money_audit import Audit
from random_trader import ACCOUNTS
from signed_client import SignedClient

ORDERS = 400  # on each path; see test_conservation.py for the others
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
_OFTEN: dict[str, Any] = {"probability": 0.04, "count": None}
FAULTS: tuple[Planned, ...] = (
    Fault(how="unknown error", path=ORDER, executed=True, **_OFTEN),
    Fault(how="unknown error", path=ORDER, executed=False, **_OFTEN),
    Fault(how="service unavailable", **_OFTEN),
    Fault(how="throttled", **_OFTEN),
    Fault(how="timed out", path=ORDER, executed=True, **_OFTEN),
    Fault(how="gateway", path=ALGO, executed=True, **_OFTEN),
    Fault(how="reset", path=ORDER, executed=True, **_OFTEN),
    Fault(how="reset", executed=False, **_OFTEN),
    Fault(how="silence", path=ORDER, executed=True, delay_ms=1, **_OFTEN),
    Fault(how="broken off", **_OFTEN),
    Fault(how="late", delay_ms=1, **_OFTEN),
    EngineDelay(delay_ms=700, **_OFTEN),
    StoreLag(lag_ms=2_000, probability=0.2, count=None),
    OrderFault(how="partial fill", probability=0.2, count=None),
    OrderFault(how="stop rejected", probability=0.2, count=None),
)


class Client:
    """Sends orders of every account; one whose answer was lost it looks up, and sends again all the same."""

    def __init__(self, simulator: RunningSimulator, seed: int, audit: Audit) -> None:
        self.random = random.Random(seed)
        self.audit = audit
        self.clients = [SignedClient(simulator, each.key, "secret") for each in ACCOUNTS]
        self.simulator = simulator
        self.orders = self.lost = self.repeated = 0

    def run(self, orders: int) -> None:
        rng = self.random
        while self.orders < orders:
            client, symbol = rng.choice(self.clients), rng.choice(SYMBOLS)
            kind = rng.random()
            if kind < 0.5:
                self._send(client, "order", self._order(client, symbol))
            elif kind < 0.8:
                self._send(client, "algoOrder", self._algo(client, symbol))
            elif kind < 0.85:
                self._once(client, "DELETE", "allOpenOrders", {"symbol": symbol})
            elif kind < 0.9:
                self._once(
                    client, "POST", "leverage", {"symbol": symbol, "leverage": rng.choice((5, 20, 50))}
                )
            else:
                self.simulator.clock.step(rng.choice((1_000, 60_000, 900_000, 3_600_000)))
            self._audit()
        self.simulator.clock.step(3_600_000)
        self._audit()

    def _send(self, client: SignedClient, path: str, params: dict[str, Any]) -> None:
        """Send an order; where nobody can know what became of it, or out of carelessness, once more."""
        self.orders += 1
        told = self._once(client, "POST", path, params)
        if not told:
            self.lost += 1
            ids = {name: params[name] for name in ("symbol", "clientAlgoId") if name in params}
            if path == "order":
                ids["origClientOrderId"] = params["newClientOrderId"]
            self._once(client, "GET", path, ids)
        if not told or self.random.random() < 0.05:
            self.repeated += 1
            self._once(client, "POST", path, params)

    @staticmethod
    def _once(client: SignedClient, method: str, path: str, params: dict[str, Any]) -> bool:
        """Say whether the answer tells what happened."""
        with suppress(requests.RequestException):
            return client.send(method, path, **params).status_code in (200, 400)
        return False

    def _audit(self) -> None:
        venue = self.simulator.venue
        with venue.lock:
            venue.advance(venue.clock.now_ms())
            self.audit.read()

    def _terms(self, client: SignedClient, symbol: str, share: float) -> dict[str, Any]:
        """Return what any order needs; one in three takes most of the margin there is."""
        rng, account = self.random, client.account
        exchange = self.simulator.venue.exchange
        last = float(exchange.last_price(symbol))
        free = float(exchange.margin(account).available) * account.leverage(symbol)
        notional = rng.choice((100, 2_000, 0.9 * free))
        grid = self.simulator.venue.market.listings[symbol].grid
        params: dict[str, Any] = {
            "symbol": symbol,
            "side": rng.choice(("BUY", "SELL")),
            "quantity": f"{notional / last:.{grid.volume}f}",
            "price": f"{last * share:.{grid.price}f}",
        }
        if account.dual_side:
            params["positionSide"] = rng.choice(("LONG", "SHORT"))
        elif rng.random() < 0.2:
            params["reduceOnly"] = "true"
        return params

    def _order(self, client: SignedClient, symbol: str) -> dict[str, Any]:
        rng = self.random
        params = self._terms(client, symbol, rng.uniform(0.99, 1.01))
        params["newClientOrderId"] = f"mine-{self.orders}"
        if rng.random() < 0.4:
            del params["price"]
            return {**params, "type": "MARKET"}
        return {**params, "type": "LIMIT", "timeInForce": rng.choice(("GTC", "GTC", "IOC", "GTX"))}

    def _algo(self, client: SignedClient, symbol: str) -> dict[str, Any]:
        rng = self.random
        params = self._terms(client, symbol, rng.uniform(0.99, 1.01))
        trigger = {"triggerPrice": params.pop("price"), "clientAlgoId": f"stop-{self.orders}"}
        kind = rng.choice(("STOP_MARKET", "TAKE_PROFIT_MARKET"))
        return {**params, **trigger, "algoType": "CONDITIONAL", "type": kind}


@pytest.mark.parametrize("path", ["bar", "ticks"])
@pytest.mark.parametrize("seed", [11])
def test_money_is_right_whatever_the_client_was_told(path: Any, seed: int) -> None:
    config = SimulatorConfig(
        symbols=SYMBOLS,
        history_days=20,
        start_ms=parse_utc("2026-03-10T14:20:00Z"),
        scale=0.0,
        seed=seed,
        weight_limit=1_000_000,
        orders_per_10s=100_000,
        orders_per_min=100_000,
        trading=TradingConfig(path=path, accounts=tuple(replace(each, secret="secret") for each in ACCOUNTS)),
    )
    with running_simulator(config) as simulator:
        audit = Audit(simulator.venue.exchange, simulator.venue.sentiment)
        for fault in FAULTS:
            simulator.add_fault(fault)
        client = Client(simulator, seed, audit)
        client.run(ORDERS)
        with simulator.venue.lock:
            audit.finish()
        rows = simulator.venue.faults.rows(simulator.clock.now_ms())
    struck = {f"{row['number']} {row['how']}": row["engaged"] for row in rows}
    print(f"seed {seed}: {client.orders} orders, {client.lost} answers lost, {client.repeated} sent twice")
    assert all(struck.values()), f"inconclusive: {struck}"
    assert min(client.lost, client.repeated, audit.opened, audit.payments) > 10
