"""What a symbol is, by the exchange's list."""

import pytest

from futures_agent.market.instrument import Instrument
from futures_agent.market.universe import Member, Standing, standing_of


def instrument(symbol, status="TRADING", *, tradable=True):
    return Instrument(
        symbol=symbol,
        status=status,
        tick_size=0.1,
        step_size=0.1,
        min_quantity=0.1,
        max_quantity=1.0,
        min_notional=5.0,
        price_precision=1,
        quantity_precision=1,
        liquidation_fee=0.01,
        onboard_ms=0,
        tradable=tradable,
    )


LISTED = {
    one.symbol: one
    for one in (
        instrument("BTCUSDT"),
        instrument("NEWUSDT"),
        instrument("BTCUSDC", tradable=False),
        instrument("OLDUSDT", "SETTLING", tradable=False),
        instrument("SOONUSDT", "PENDING_TRADING", tradable=False),
        instrument("STOPUSDT", "TRADING_HALT", tradable=False),
    )
}
UNTRADABLE = {"BTCUSDC": "quote", "OLDUSDT": "over", "SOONUSDT": "wait", "STOPUSDT": "halt", "ODDUSDT": "odd"}


@pytest.mark.parametrize(
    ("symbol", "standing", "reason"),
    [
        ("BTCUSDT", Standing.TRADING, ""),
        ("BTCUSDC", Standing.UNSUITABLE, "quote"),
        ("ODDUSDT", Standing.UNSUITABLE, "odd"),
        ("OLDUSDT", Standing.DELISTED, "over"),
        ("SOONUSDT", Standing.PENDING, "wait"),
        ("STOPUSDT", Standing.HALTED, "halt"),
        ("GONEUSDT", Standing.DELISTED, "no longer listed; if it was renamed, set data.renames"),
        ("TYPOUSDT", Standing.UNKNOWN, "unknown to the exchange"),
    ],
)
def test_standing(symbol, standing, reason):
    found = standing_of(symbol, LISTED, UNTRADABLE, known=["GONEUSDT"], renames={})
    assert (found.standing, found.reason) == (standing, reason)
    assert found.excluded is (standing is not Standing.TRADING)


@pytest.mark.parametrize(
    ("old", "new", "standing"),
    [
        ("GONEUSDT", "NEWUSDT", Standing.RENAMED),
        ("OLDUSDT", "NEWUSDT", Standing.RENAMED),
        ("GONEUSDT", "LATERUSDT", Standing.DELISTED),  # the new name is not listed yet
        ("BTCUSDT", "NEWUSDT", Standing.TRADING),  # the old one still trades
    ],
)
def test_a_rename_counts_once_it_has_happened(old, new, standing):
    found = standing_of(old, LISTED, UNTRADABLE, known=["GONEUSDT"], renames={old: new})
    assert found.standing is standing


def test_why_is_for_a_person():
    member = Member(symbol="X", standing=Standing.HALTED, reason="status is HALT", since_ms=86_400_000)
    assert member.why == "halted since 1970-01-02T00:00:00Z: status is HALT"
