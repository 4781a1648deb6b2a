import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from futures_agent.errors import Retry
from futures_agent.exchange.payloads import decode_exchange_info, decode_klines, decode_server_time
from futures_agent.market.candle import FULL_CANDLE
from futures_agent.market.timeframe import Timeframe
from loopback_exchange import SYMBOL, kline_row

HOUR = Timeframe.H1.ms
FIRST = 1_790_002_800_000 - 1_790_002_800_000 % HOUR
URL = "http://exchange/fapi"


def page(count=3):
    return [kline_row(FIRST + index * HOUR, Timeframe.H1) for index in range(count)]


def decoded(rows):
    return decode_klines(json.dumps(rows).encode(), Timeframe.H1, URL)


def info(*symbols, limits=()):
    body = {"timezone": "UTC", "rateLimits": list(limits), "symbols": list(symbols), "assets": []}
    return decode_exchange_info(json.dumps(body).encode(), URL)


def symbol(**changes):
    return {**copy.deepcopy(SYMBOL), **changes}


def without_filter(name):
    return symbol(filters=[found for found in SYMBOL["filters"] if found["filterType"] != name])


def test_a_page_becomes_candles():
    candles = decoded(page())
    assert candles.dtype == FULL_CANDLE
    assert candles["timestamp"].tolist() == [FIRST, FIRST + HOUR, FIRST + 2 * HOUR]
    base = 100 + FIRST // HOUR % 50
    expected = (FIRST, base + 0.5, base + 2, base - 1, base + 1, 12.5, 1250.5, 42, 6.25, 625.25)
    assert candles[0].item() == expected


def test_an_empty_page_is_no_candles():
    assert decoded([]).shape == (0,)
    assert decoded([]).dtype == FULL_CANDLE


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        (0, str(FIRST + HOUR), "Expected `int`"),
        (0, FIRST + HOUR + 1, "grid"),
        (0, FIRST, "close time"),
        (1, 100.5, "Expected `str`"),
        (1, None, "Expected `str`"),
        (1, "abc", "no number"),
        (1, "", "no number"),
        (1, "NaN", "price is not a positive number"),
        (4, "Infinity", "price is not a positive number"),
        (3, "0", "price is not a positive number"),
        (3, "-1", "price is not a positive number"),
        (2, "0.01", "high and low"),
        (3, "99999", "high and low"),
        (5, "-0.1", "volume or count"),
        (5, "nan", "volume or count"),
        (6, FIRST + 2 * HOUR, "close time"),
        (7, "inf", "volume or count"),
        (8, -1, "volume or count"),
        (8, "42", "Expected `int`"),
        (8, 2**80, "not used"),
        (9, "x", "no number"),
        (10, "-5", "volume or count"),
    ],
)
def test_one_wrong_value_spoils_the_page(column, value, said):
    rows = page()
    rows[1][column] = value
    with pytest.raises(Retry, match=f"{URL}.*{said}"):
        decoded(rows)


def test_which_row_is_wrong_is_said():
    rows = page()
    rows[2][2] = "0.01"
    with pytest.raises(Retry, match=rf"row 2, open time {FIRST + 2 * HOUR}"):
        decoded(rows)


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 0, 1), (2, 1, 0)])
def test_rows_out_of_order_or_twice(order):
    rows = page()
    with pytest.raises(Retry, match="ascend"):
        decoded([rows[index] for index in order])


@pytest.mark.parametrize("body", [b"", b"[[1,", b"{}", b"null", b"[1]", b"[[]]", b"\xff", b"<html>"])
def test_a_body_that_is_no_page(body):
    with pytest.raises(Retry, match="not what was asked for"):
        decode_klines(body, Timeframe.H1, URL)


def test_rows_one_short_or_long():
    for row in (page()[0][:-1], [*page()[0], "0"]):
        with pytest.raises(Retry, match="not what was asked for"):
            decoded([row])


@given(st.integers(0, 2**31), st.data())
def test_a_truncated_page_is_never_used(seed, data):
    body = json.dumps(page(4)).encode()
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(Retry):
        decode_klines(body[:cut], Timeframe.H1, URL)


@given(st.lists(st.tuples(*[st.floats(0.001, 1e9)] * 4), min_size=1, max_size=30))
def test_decoded_numbers_are_the_ones_sent(prices):
    rows = []
    for index, (a, b, c, d) in enumerate(prices):
        row = kline_row(FIRST + index * HOUR, Timeframe.H1)
        row[1:5] = [repr(a), repr(max(a, b, c, d)), repr(min(a, b, c, d)), repr(b)]
        rows.append(row)
    candles = decoded(rows)
    assert candles["open"].tolist() == [price[0] for price in prices]
    assert np.array_equal(candles["high"], [max(price) for price in prices])


def test_server_time():
    assert decode_server_time(b'{"serverTime": 1789478299014, "more": 1}', URL) == 1789478299014
    for nonsense in (
        b"{}",
        b'{"serverTime": "1789478299014"}',
        b'{"serverTime": 0}',
        b'{"serverTime": 1e30}',
    ):
        with pytest.raises(Retry, match=URL):
            decode_server_time(nonsense, URL)


def test_contract_with_all_its_filters():
    found = info(SYMBOL)
    assert found.untradable == {}
    contract = found.instruments["BTCUSDT"]
    assert contract.tradable
    assert (contract.tick_size, contract.step_size, contract.min_notional) == (0.1, 0.001, 50.0)
    assert (contract.min_quantity, contract.max_quantity) == (0.001, 120.0)
    assert (contract.price_precision, contract.quantity_precision) == (2, 3)
    assert (contract.liquidation_fee, contract.onboard_ms) == (0.0125, 1_567_965_300_000)


def test_without_a_market_filter_the_limit_filter_bounds_the_size():
    assert info(without_filter("MARKET_LOT_SIZE")).instruments["BTCUSDT"].max_quantity == 1000.0


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (symbol(status="SETTLING"), "status is SETTLING, not TRADING"),
        (symbol(status="TRADING_HALT"), "status is TRADING_HALT"),
        (symbol(status="SOMETHING_NEW"), "status is SOMETHING_NEW"),
        (symbol(contractType="TRADIFI_PERPETUAL"), "contractType is TRADIFI_PERPETUAL"),
        (symbol(contractType=""), "contractType is absent"),
        (symbol(quoteAsset="USDC"), "quoteAsset is USDC"),
        (symbol(underlyingType="EQUITY"), "underlyingType is EQUITY"),
        (without_filter("PRICE_FILTER"), r"no usable PRICE_FILTER\.tickSize"),
        (without_filter("LOT_SIZE"), r"no usable LOT_SIZE\.stepSize, LOT_SIZE\.minQty, LOT_SIZE\.maxQty"),
        (without_filter("MIN_NOTIONAL"), r"no usable MIN_NOTIONAL\.notional"),
        (symbol(filters=[]), "no usable"),
    ],
)
def test_a_contract_that_cannot_be_traded_says_why(entry, reason):
    found = info(entry)
    assert not found.instruments["BTCUSDT"].tradable
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found.untradable["BTCUSDT"])


@pytest.mark.parametrize("tick", ["abc", "0", "-1", "NaN", "inf", "", None, [0.1], -5])
def test_a_filter_without_a_usable_number(tick):
    entry = symbol()
    entry["filters"][0]["tickSize"] = tick
    found = info(entry)
    assert not found.instruments["BTCUSDT"].tradable
    assert "PRICE_FILTER.tickSize" in found.untradable["BTCUSDT"]


def test_new_filters_fields_and_limits_of_any_shape_are_ignored():
    entry = symbol(novelty={"deep": [1]}, contractSize=None)
    entry["filters"] += [{"filterType": "NEW", "notional": [5]}, {"filterType": [9]}, {}]
    found = info(entry, limits=[{"rateLimitType": None, "limit": "many"}, {}])
    assert found.instruments["BTCUSDT"].tradable
    assert found.weight_limit_per_min is None


def test_one_unreadable_contract_does_not_hide_the_others():
    odd = symbol(symbol="ODDUSDT", pricePrecision="two")
    nameless = {"contractType": "PERPETUAL"}
    found = info(odd, nameless, 7, symbol(symbol="币安人生USDT"), SYMBOL)
    assert set(found.instruments) == {"币安人生USDT", "BTCUSDT"}
    assert "ODDUSDT" in found.untradable
    assert "pricePrecision" in found.untradable["ODDUSDT"]


def test_no_contract_at_all_is_no_answer():
    with pytest.raises(Retry, match="no contract"):
        info()


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"symbols": 1}', b'{"symbols": [{]}'])
def test_a_body_that_is_no_exchange_info(body):
    with pytest.raises(Retry, match="not what was asked for"):
        decode_exchange_info(body, URL)


def test_the_weight_limit_is_the_one_per_minute():
    def limit(kind="REQUEST_WEIGHT", interval="MINUTE", number=1, value=2400):
        return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": value}

    stated = info(
        SYMBOL, limits=[limit("ORDERS", value=1200), limit(), limit(interval="HOUR"), limit(number=5)]
    )
    assert stated.weight_limit_per_min == 2400
    assert info(SYMBOL, limits=[{"rateLimitType": "NEW"}]).weight_limit_per_min is None
    for nonsense in (0, -1, "2400", None):
        assert info(SYMBOL, limits=[limit(value=nonsense)]).weight_limit_per_min is None
