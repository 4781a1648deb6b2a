"""The same seed and the same script of faults give the same ledger, byte for byte."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from futures_agent.clock import HOUR_MS, parse_utc
from futures_agent.errors import Refuse
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.server import running_simulator
from futures_agent.simulator.trading.exchange import Exchange
from signed_client import SignedClient

SCRIPT = """
# An afternoon on which little goes well.
{"how": "unknown error", "path": "/fapi/v1/order", "executed": true, "probability": 0.2, "count": null}
{"how": "service unavailable", "path": "/fapi/v1/order", "probability": 0.2, "count": null}
{"how": "partial fill", "share": "0.5", "probability": 0.3, "count": null}
{"how": "stop rejected", "probability": 0.5, "count": null}
{"how": "store lag", "lag_ms": 4000, "at": "+3600", "for_s": 7200}
{"how": "mark offset", "symbol": "ETHUSDT", "share": "-0.03", "at": "+7000"}
{"how": "mark offset", "symbol": "ETHUSDT", "share": "0", "at": "+7200"}
{"how": "contract status", "symbol": "BTCUSDT", "status": "TRADING_HALT", "at": "+9000"}
{"how": "contract status", "symbol": "BTCUSDT", "status": "TRADING", "at": "+12000"}
{"how": "foreign order", "symbol": "BTCUSDT", "side": "BUY", "quantity": "0.010", "at": "+14400"}
{"how": "deleveraging", "symbol": "BTCUSDT", "at": "+18000"}
{"how": "funding interval", "symbol": "ETHUSDT", "hours": 1, "at": "+3600"}
{"how": "liquidation", "symbol": "ETHUSDT", "at": "+25000"}
"""


def adds_up(exchange: Exchange) -> None:
    """Assert that the ledger tells the account's money and positions to the last digit."""
    (account,) = exchange.accounts
    assert exchange.ledger.balances()[account.account_id, "USDT"]["wallet"] == account.wallet("USDT")
    sizes = exchange.ledger.position_sizes()
    held = {(account.account_id, each.symbol, each.side): each.amount for each in account.held()}
    assert {key: size for key, size in sizes.items() if size} == held


def an_afternoon(script: Path, seed: int) -> tuple[list[bytes], dict[str, int], list[int]]:
    """Return the ledger, strikes by kind of fault, and the status of every answer."""
    config = SimulatorConfig(
        symbols=("BTCUSDT", "ETHUSDT"),
        history_days=20,
        start_ms=parse_utc("2026-03-10T14:20:00Z"),
        scale=0.0,
        seed=seed,
        script=script,
    )
    with running_simulator(config) as simulator:
        client, statuses = SignedClient(simulator), []

        def send(method: str, path: str, **params: Any) -> None:
            statuses.append(client.send(method, path, **params).status_code)

        for number in range(48):
            symbol, side = ("BTCUSDT", "ETHUSDT")[number % 2], ("BUY", "BUY", "SELL")[number % 3]
            order = {"symbol": symbol, "side": side, "newClientOrderId": f"mine-{number}"}
            send("POST", "order", **order, type="MARKET", quantity="0.100")
            send("GET", "order", symbol=symbol, origClientOrderId=f"mine-{number}")
            last = simulator.venue.exchange.last_price(symbol)
            price = (last * Decimal("0.998")).quantize(Decimal("0.01" if symbol == "ETHUSDT" else "0.1"))
            stop = {"symbol": symbol, "side": "SELL", "triggerPrice": price, "clientAlgoId": f"stop-{number}"}
            send("POST", "algoOrder", **stop, algoType="CONDITIONAL", type="STOP_MARKET", quantity="0.100")
            simulator.clock.step(HOUR_MS // 6)
        venue = simulator.venue
        venue.advance(venue.clock.now_ms())
        adds_up(venue.exchange)
        rows = venue.faults.rows(venue.clock.now_ms())
        return (
            venue.exchange.ledger.lines(),
            {f"{row['number']} {row['how']}": row["engaged"] for row in rows},
            statuses,
        )


def test_a_script_gives_the_same_ledger_byte_for_byte(tmp_path: Path) -> None:
    script = tmp_path / "faults.jsonl"
    script.write_text(SCRIPT)
    ledger, engaged, statuses = an_afternoon(script, seed=5)
    assert all(engaged.values()), f"inconclusive: {engaged}"
    assert {200, 503} <= set(statuses)
    assert an_afternoon(script, seed=5) == (ledger, engaged, statuses)
    assert an_afternoon(script, seed=6)[0] != ledger


def test_a_bad_script_keeps_the_simulator_from_starting(tmp_path: Path) -> None:
    script = tmp_path / "faults.jsonl"
    script.write_text('{"how": "late", "count": "often"}\n')
    config = SimulatorConfig(symbols=("BTCUSDT",), history_days=1, scale=0.0, script=script)
    with pytest.raises(Refuse, match=r"faults\.jsonl:1: Expected"), running_simulator(config):
        pass
