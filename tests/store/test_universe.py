"""What each followed symbol is, and since when."""

from __future__ import annotations

import apsw

from futures_agent.market.universe import Member, Standing
from futures_agent.store.universe import read_universe, update_universe


def _member(standing: Standing, *, since_ms: int = 0, reason: str = "") -> Member:
    return Member(symbol="BTCUSDT", standing=standing, since_ms=since_ms, reason=reason)


def test_a_standing_keeps_the_time_it_was_first_seen(db: apsw.Connection) -> None:
    assert read_universe(db) == {}
    assert update_universe(db, [_member(Standing.HALTED, reason="a")], 5) == [
        _member(Standing.HALTED, since_ms=5, reason="a")
    ]
    assert update_universe(db, [_member(Standing.HALTED, reason="b")], 9) == []
    assert read_universe(db) == {"BTCUSDT": _member(Standing.HALTED, since_ms=5, reason="b")}
    assert update_universe(db, [_member(Standing.TRADING)], 12) == [_member(Standing.TRADING, since_ms=12)]


def test_a_time_that_is_known_wins(db: apsw.Connection) -> None:
    update_universe(db, [_member(Standing.DORMANT, since_ms=3)], 9)
    assert read_universe(db)["BTCUSDT"].since_ms == 3


def test_symbols_not_named_stay(db: apsw.Connection) -> None:
    update_universe(db, [_member(Standing.TRADING)], 1)
    update_universe(db, [Member(symbol="ETHUSDT", standing=Standing.UNKNOWN)], 2)
    assert list(read_universe(db)) == ["BTCUSDT", "ETHUSDT"]
