from __future__ import annotations

from decimal import Decimal

import pytest

from futures_agent.clock import parse_utc, utc_text
from futures_agent.simulator.generator import generated_listing
from futures_agent.simulator.listing import quarter_end, untradable

NOW = parse_utc("2026-11-20")

# Keys of the exchange's own document, in its order.
LIVE_KEYS = (
    "symbol pair contractType deliveryDate onboardDate status maintMarginPercent requiredMarginPercent "
    "baseAsset quoteAsset marginAsset pricePrecision quantityPrecision baseAssetPrecision "
    "quotePrecision underlyingType underlyingSubType triggerProtect liquidationFee marketTakeBound "
    "maxMoveOrderLimit filters orderTypes timeInForce permissionSets "
).split()


def test_entry_has_the_live_layout() -> None:
    entry = generated_listing("BTCUSDT", 1, 1_567_965_300_000).entry(NOW)
    assert list(entry) == LIVE_KEYS
    assert (entry["baseAsset"], entry["quoteAsset"], entry["pricePrecision"]) == ("BTC", "USDT", 2)
    filters = {one["filterType"]: one for one in entry["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.10"
    assert filters["LOT_SIZE"]["stepSize"] == "0.001"
    assert filters["MIN_NOTIONAL"]["notional"] == "50"


@pytest.mark.parametrize(
    "symbol", ["BTCUSDT", "ETHUSDT", "1000PEPEUSDT", "DOGEUSDT", "OBSCUREUSDT", "ODDUSDT"]
)
def test_filters_are_plausible(symbol: str) -> None:
    listing = generated_listing(symbol, 1, 0)
    filters = {one["filterType"]: one for one in listing.entry(NOW)["filters"]}
    price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
    tick, step = Decimal(price["tickSize"]), Decimal(lot["stepSize"])
    assert tick == Decimal(1).scaleb(-listing.grid.price)
    assert step == Decimal(1).scaleb(-listing.grid.volume)
    assert Decimal(price["minPrice"]) < Decimal(listing.price) < Decimal(price["maxPrice"])
    assert Decimal(price["minPrice"]) % tick == 0
    assert Decimal(lot["minQty"]) < Decimal(filters["MARKET_LOT_SIZE"]["maxQty"]) < Decimal(lot["maxQty"])
    assert 1e-5 < float(tick) / listing.price * 10 < 1e-1


def test_extra_contracts_each_miss_one_condition_of_a_tradable_one() -> None:
    entries = [extra.entry(NOW) for extra in untradable(generated_listing("EXTRAUSDT", 1, 0), NOW)]
    reasons = []
    for entry in entries:
        checks = {
            "contract": entry["contractType"] == "PERPETUAL",
            "status": entry["status"] == "TRADING",
            "quote": entry["quoteAsset"] == "USDT",
        }
        reasons.append([name for name, holds in checks.items() if not holds])
    assert reasons == [["status"], ["status"], ["contract"], ["quote"], ["contract"]]
    assert entries[2]["symbol"] == "BTCUSDT_261225"
    assert entries[2]["pair"] == "BTCUSDT"
    assert entries[4]["underlyingType"] == "EQUITY"


@pytest.mark.parametrize(
    ("now", "delivery"),
    [
        ("2026-11-20", "2026-12-25T08:00:00Z"),
        ("2026-12-25T08:00Z", "2027-03-26T08:00:00Z"),
        ("2026-12-25T07:59Z", "2026-12-25T08:00:00Z"),
        ("2025-07-01", "2025-09-26T08:00:00Z"),
        ("2024-06-28T09:00Z", "2024-09-27T08:00:00Z"),
        ("2024-01-01", "2024-03-29T08:00:00Z"),
    ],
)
def test_quarters_end_on_their_last_friday(now: str, delivery: str) -> None:
    assert utc_text(quarter_end(parse_utc(now))) == delivery


def test_a_contract_waits_until_its_first_day() -> None:
    listing = generated_listing("ETHUSDT", 1, NOW)
    assert listing.status_at(NOW - 1) == "PENDING_TRADING"
    assert listing.entry(NOW)["status"] == "TRADING"
