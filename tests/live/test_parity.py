"""The live trader's trades at the venue are the backtest's: none more, none fewer, to the tick and cent.

`make parity` does the same over months of recorded candles.
"""

from __future__ import annotations

import pytest

from futures_agent.clock import parse_utc
from parity.campaign import run

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "params", "days", "least"),
    [("ema_cross", {"fast": 5, "slow": 13}, 16, 40), ("smc", {}, 32, 3)],
    ids=["ema_cross", "smc"],
)
def test_the_same_trades_as_the_backtest(
    strategy: str, params: dict[str, float], days: int, least: int
) -> None:
    compared, found, _ = run(
        symbols=SYMBOLS,
        days=days,
        strategy=strategy,
        params=params,
        start_ms=parse_utc("2026-02-01"),
        data=None,
        max_positions=2,
    )
    assert found == []
    assert compared >= least
