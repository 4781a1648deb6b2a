"""The live trader's trades at the venue are the backtest's: none more, none fewer, to the tick and cent.

`make parity` does the same over months of recorded candles.
"""

from __future__ import annotations

import pytest

from futures_agent.clock import DAY_MS
from parity.campaign import run
from trading_worlds import START_MS

SYMBOLS = ("BTCUSDT", "SOLUSDT", "DOGEUSDT", "XRPUSDT")
DAYS = 25


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "params"), [("ema_cross", {"fast": 5, "slow": 13}), ("smc", {})], ids=["ema_cross", "smc"]
)
def test_the_same_trades_as_the_backtest(strategy: str, params: dict[str, float]) -> None:
    start_ms = START_MS - START_MS % DAY_MS - DAYS * DAY_MS
    compared, found, _ = run(
        symbols=SYMBOLS, days=DAYS, strategy=strategy, params=params, start_ms=start_ms, data=None
    )
    assert found == []
    assert compared > 5
