"""The instruments table."""

from __future__ import annotations

import apsw
import msgspec

from futures_agent.market.instrument import Instrument
from futures_agent.store.instruments import read_instruments, upsert_instruments

BTC = Instrument(
    symbol="BTCUSDT",
    status="TRADING",
    tick_size=0.1,
    step_size=0.001,
    min_quantity=0.001,
    max_quantity=1000.0,
    min_notional=100.0,
    price_precision=2,
    quantity_precision=3,
    liquidation_fee=0.0125,
    onboard_ms=1_567_965_300_000,
    tradable=True,
)
OLD = msgspec.structs.replace(BTC, symbol="OLDUSDT", status="SETTLING", tradable=False)


def test_instruments_come_back_as_they_were(db: apsw.Connection) -> None:
    assert read_instruments(db) == {}
    assert upsert_instruments(db, [OLD, BTC], 1000) == 2
    read = read_instruments(db)
    assert list(read) == ["BTCUSDT", "OLDUSDT"]
    assert read == {"BTCUSDT": BTC, "OLDUSDT": OLD}
    assert read["OLDUSDT"].tradable is False


def test_only_what_differs_is_written(db: apsw.Connection) -> None:
    upsert_instruments(db, [BTC, OLD], 1000)
    assert upsert_instruments(db, [BTC, OLD], 2000) == 0
    changed = msgspec.structs.replace(BTC, tick_size=0.01)
    assert upsert_instruments(db, [changed, OLD], 3000) == 1
    assert dict(db.execute("SELECT symbol, updated_at FROM instruments")) == {
        "BTCUSDT": 3000,
        "OLDUSDT": 1000,
    }
    assert read_instruments(db)["BTCUSDT"].tick_size == 0.01


def test_instruments_not_named_stay(db: apsw.Connection) -> None:
    upsert_instruments(db, [BTC, OLD], 1000)
    assert upsert_instruments(db, [BTC], 2000) == 0
    assert set(read_instruments(db)) == {"BTCUSDT", "OLDUSDT"}
