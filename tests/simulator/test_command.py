from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from futures_agent.clock import parse_utc
from futures_agent.errors import Refuse
from futures_agent.simulator import server
from futures_agent.simulator.command import run_simulator
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.trading.config import TradingConfig

OPTIONS: dict[str, Any] = {
    "data": None,
    "symbols": ["BTCUSDT"],
    "start": "2026-01-01T12:00Z",
    "scale": 60.0,
    "seed": 7,
    "latency_ms": 2.0,
    "accounts": None,
    "fills": "bar",
    "script": None,
    "ledger": None,
    "port": 0,
    "url_file": None,
}


def test_options_become_the_config_and_the_url_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[SimulatorConfig] = []

    def serve(config: SimulatorConfig, *, on_ready: Callable[[str], None]) -> None:
        served.append(config)
        on_ready("http://127.0.0.1:1")

    monkeypatch.setattr(server, "serve", serve)
    chosen = {"data": tmp_path, "ledger": tmp_path / "ledger.jsonl", "url_file": tmp_path / "url"}
    run_simulator(**{**OPTIONS, **chosen})
    expected = SimulatorConfig(
        dataset=tmp_path,
        symbols=("BTCUSDT",),
        start_ms=parse_utc("2026-01-01T12:00Z"),
        scale=60.0,
        seed=7,
        latency_ms=2.0,
        ledger=tmp_path / "ledger.jsonl",
        port=0,
        trading=TradingConfig(path="bar"),
    )
    assert served == [expected]
    assert "http://127.0.0.1:1/sim/" in capsys.readouterr().out
    assert (tmp_path / "url").read_text() == "http://127.0.0.1:1"


@pytest.mark.parametrize(("name", "value"), [("scale", -1.0), ("port", 70_000), ("latency_ms", -1.0)])
def test_options_out_of_bounds_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(Refuse, match=name):
        run_simulator(**{**OPTIONS, name: value})


def test_accounts_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[SimulatorConfig] = []
    monkeypatch.setattr(server, "serve", lambda config, *, on_ready: served.append(config))
    file = tmp_path / "accounts.json"
    file.write_text(
        '[{"key": "mine", "secret": "s", "balances": {"USDT": "250.5"}}, {"key": "idle", "secret": "i"}]'
    )
    run_simulator(**{**OPTIONS, "accounts": file})
    mine, idle = served[0].trading.accounts
    assert (mine.key, mine.secret, mine.balances) == ("mine", "s", {"USDT": Decimal("250.5")})
    assert idle.balances == {"USDT": Decimal(5000)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the accounts in .*accounts.json: No such file"),
        ("[{", "accounts.json is no list of accounts in JSON"),
        ('[{"secret": "s"}]', "missing required field `key`"),
        ('[{"key": "k", "leverage": 500}]', "leverage"),
        ("[]", "holds no account"),
    ],
)
def test_accounts_that_cannot_be_used_are_told(content: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "accounts.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Refuse, match=message):
        run_simulator(**{**OPTIONS, "accounts": file})


def test_an_unknown_way_of_filling_is_refused() -> None:
    with pytest.raises(Refuse, match="magic"):
        run_simulator(**{**OPTIONS, "fills": "magic"})


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "futures_agent.simulator.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(Refuse, match="uvicorn is not installed"):
        run_simulator(**OPTIONS)
