from __future__ import annotations

import numpy as np
import pytest

from futures_agent.clock import HOUR_MS, parse_utc
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.generator import GeneratedCandles
from futures_agent.simulator.jump import JumpedCandles
from futures_agent.simulator.market import Market
from futures_agent.simulator.series import aggregate

START_MS = parse_utc("2026-03-10T14:20:00Z")
JUMP_MS = parse_utc("2026-03-10T15:00:00Z")


@pytest.fixture
def markets() -> tuple[Market, Market]:
    """Return a market, and the same one with a jump by -20 % of BTCUSDT."""
    source = GeneratedCandles(
        ("BTCUSDT", "ETHUSDT"),
        seed=3,
        start_ms=START_MS,
        history_days=5,
        onboard_ms={},
        with_untradable=False,
    )
    usual, jumped = Market(source), Market(source)
    grid = usual.listings["BTCUSDT"].grid
    jumped.change_source(lambda candles: JumpedCandles(candles, "BTCUSDT", JUMP_MS, 0.8, grid))
    return usual, jumped


@pytest.mark.parametrize("timeframe", list(Timeframe))
def test_only_what_comes_after_the_jump_changes(markets: tuple[Market, Market], timeframe: Timeframe) -> None:
    usual, jumped = markets
    until_ms = JUMP_MS + 60 * HOUR_MS
    before, after = (market.closed("BTCUSDT", timeframe, until_ms) for market in (usual, jumped))
    past = before["timestamp"] + timeframe.ms <= JUMP_MS
    assert np.array_equal(before[past], after[past])
    later = before["timestamp"] >= JUMP_MS
    assert later.any()
    for name in ("open", "high", "low", "close", "quote_volume"):
        assert np.allclose(after[name][later], before[name][later] * 0.8, atol=0.06, rtol=1e-9)
    assert np.array_equal(before["volume"], after["volume"])
    assert np.array_equal(
        usual.closed("ETHUSDT", timeframe, until_ms), jumped.closed("ETHUSDT", timeframe, until_ms)
    )


@pytest.mark.parametrize("timeframe", [Timeframe.H4, Timeframe.D1])
def test_the_candle_in_which_prices_jump_holds_both_levels(
    markets: tuple[Market, Market], timeframe: Timeframe
) -> None:
    usual, jumped = markets
    open_ms = timeframe.open_of(JUMP_MS)
    assert open_ms < JUMP_MS
    hours = jumped.closed("BTCUSDT", Timeframe.H1, open_ms + timeframe.ms)
    (expected,) = aggregate(hours[hours["timestamp"] >= open_ms], timeframe, usual.listings["BTCUSDT"].grid)
    candle = jumped.closed("BTCUSDT", timeframe, open_ms + timeframe.ms)[-1]
    before = usual.closed("BTCUSDT", timeframe, open_ms + timeframe.ms)[-1]
    assert candle == expected
    assert candle["open"] == before["open"]
    assert candle["close"] == pytest.approx(before["close"] * 0.8, abs=0.06)


def test_the_candle_that_forms_jumps_when_its_time_has_come(markets: tuple[Market, Market]) -> None:
    opens = [
        [market.forming("BTCUSDT", Timeframe.H1, at_ms)["open"][0] for market in markets]
        for at_ms in (JUMP_MS - 1, JUMP_MS)
    ]
    assert opens[0][0] == opens[0][1]
    assert opens[1][1] == pytest.approx(opens[1][0] * 0.8, abs=0.06)
