"""The work loop: what is taken together, and what follows from it."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest

from futures_agent.live.inbox import CandleClosed, Inbox, StreamAlive
from futures_agent.live.trader import Parts, Trader
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings import Settings

SYMBOLS = tuple(f"COIN{number}USDT" for number in range(60))


@pytest.fixture
def parts() -> Any:
    """Parts around a real inbox; nothing is due."""
    mocked = {name: MagicMock() for name in Parts._fields}
    mocked["clock"].now_ms.return_value = 1_000
    desk = mocked["clerk"].desk
    desk.next_due_ms.return_value = desk.reconcile_wanted_ms.return_value = None
    mocked["rounds"].next_due_ms = None
    mocked["rounds"].turn.return_value = iter(())
    mocked["account"].funding_wanted_ms = None
    mocked["host_seconds_until"] = lambda at_ms: 0.0
    return Parts(**{**mocked, "inbox": Inbox()})


def test_candles_that_wait_are_looked_at_once(parts: Any) -> None:
    for symbol in SYMBOLS:
        parts.inbox.put(CandleClosed(symbol, Timeframe.H1, None))
    parts.inbox.put(StreamAlive("user"))
    parts.inbox.put(CandleClosed("LATERUSDT", Timeframe.H1, None))
    trader = Trader(Settings(), parts)
    trader.phase = "trading"
    trader.turn()
    assert [call.args[0] for call in parts.rounds.on_candle.call_args_list] == list(SYMBOLS)
    assert parts.rounds.turn.call_count == parts.clerk.settle.call_count == 1
    assert not parts.inbox.is_done  # what came after another message is a turn of its own
    trader.turn()
    assert parts.inbox.is_done
    assert parts.rounds.on_candle.call_args.args[0] == "LATERUSDT"
    trader.turn()
    assert parts.inbox.is_done  # a turn without a message ends nothing
