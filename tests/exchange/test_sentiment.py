"""Funding and statistics: what of an answer is used, and what is not believed."""

import json
from pathlib import Path

import numpy as np
import pytest

from futures_agent.clock import HOUR_MS
from futures_agent.errors import Interrupted, Refuse, Retry, SkipSymbol
from futures_agent.exchange.sentiment import SentimentClient
from futures_agent.market.sentiment import Statistic
from futures_agent.settings.tree import ExchangeSettings
from loopback_exchange import START_MS, Answer

EIGHT = START_MS // (8 * HOUR_MS) * 8 * HOUR_MS
HOUR = START_MS // HOUR_MS * HOUR_MS
REAL = Path("../shared/data/open_interest_4h.parquet")


@pytest.fixture
def client(exchange, tmp_path):
    made = SentimentClient(ExchangeSettings(rest_url=exchange.url), tmp_path / "exchange")
    made.sync_clock()
    yield made
    made.close()


def funding_row(time, rate="0.00010000", **changes):
    regular = {"symbol": "BTCUSDT", "fundingTime": time, "fundingRate": rate, "markPrice": "76907.97183333"}
    return {**regular, "rateType": "Regular", **changes}


def ask_funding(client, exchange, rows, status=200):
    exchange.answers.append(Answer(status, rows))
    return client.funding("BTCUSDT", start_ms=EIGHT, end_ms=EIGHT + 100 * HOUR_MS)


def ask(client, exchange, rows, statistic=Statistic.OPEN_INTEREST, status=200):
    exchange.answers.append(Answer(status, rows))
    return client.statistic(statistic, "BTCUSDT", "1h", start_ms=HOUR - 9 * HOUR_MS, end_ms=HOUR)


def open_interest_row(time, **changes):
    row = {"symbol": "BTCUSDT", "sumOpenInterest": "20403.637", "sumOpenInterestValue": "150570784.07"}
    return {**row, "CMCCirculatingSupply": "165880.538", "timestamp": time, **changes}


def test_funding_is_asked_for_with_both_bounds_and_without_weight(client, exchange):
    page = ask_funding(
        client, exchange, [funding_row(EIGHT + 5), funding_row(EIGHT + 8 * HOUR_MS, "-0.0002")]
    )
    path, query = exchange.requests[-1]
    assert path == "/fapi/v1/fundingRate"
    assert query == {
        "symbol": "BTCUSDT",
        "startTime": str(EIGHT),
        "endTime": str(EIGHT + 100 * HOUR_MS),
        "limit": "1000",
    }
    assert page.payments["timestamp"].tolist() == [EIGHT + 5, EIGHT + 8 * HOUR_MS]
    assert page.payments["rate"].tolist() == [0.0001, -0.0002]
    assert page.payments["mark_price"][0] == 76907.97183333
    assert page.last_ms == EIGHT + 8 * HOUR_MS
    assert not page.full
    assert client.weight_used == 1  # the time


def test_a_full_page_says_that_there_may_be_more(client, exchange):
    rows = [funding_row(EIGHT + minute * 60_000) for minute in range(1000)]
    assert ask_funding(client, exchange, rows).full
    empty = ask_funding(client, exchange, [])
    assert (len(empty.payments), empty.last_ms, empty.full) == (0, None, False)


def test_old_rows_have_no_mark_price_and_dividends_are_no_funding(client, exchange):
    rows = [
        {"symbol": "BTCUSDT", "fundingTime": EIGHT, "fundingRate": "0.0001"},
        funding_row(EIGHT + HOUR_MS, markPrice=""),
        funding_row(EIGHT + 2 * HOUR_MS, "0.5", rateType="Special"),
    ]
    page = ask_funding(client, exchange, rows)
    assert page.payments["timestamp"].tolist() == [EIGHT, EIGHT + HOUR_MS]
    assert np.isnan(page.payments["mark_price"]).all()
    assert page.last_ms == EIGHT + 2 * HOUR_MS  # the next page begins after it all the same


@pytest.mark.parametrize(
    "rows",
    [
        [funding_row(EIGHT - 1)],
        [funding_row(EIGHT + 101 * HOUR_MS)],
        [funding_row(EIGHT + HOUR_MS), funding_row(EIGHT)],
        [funding_row(EIGHT), funding_row(EIGHT)],
        [funding_row(EIGHT, "many")],
        [funding_row(EIGHT, "nan")],
        [funding_row(EIGHT, symbol="ETHUSDT")],
        [funding_row(EIGHT, markPrice="?")],
        [funding_row("later")],
        [{"symbol": "BTCUSDT"}],
        {"rows": []},
        "[{",
    ],
)
def test_a_funding_page_with_one_wrong_row_is_not_used(client, exchange, rows):
    with pytest.raises(Retry, match="not used"):
        ask_funding(client, exchange, rows)


@pytest.mark.parametrize("as_sent", [int, str])
def test_a_statistic_is_read_whatever_type_its_timestamp_has(client, exchange, as_sent):
    times = [HOUR - 3 * HOUR_MS, HOUR - HOUR_MS]  # the one between is omitted
    rows = ask(client, exchange, [open_interest_row(as_sent(time)) for time in times])
    assert rows.tolist() == [(time, 20403.637, 150570784.07) for time in times]
    path, query = exchange.requests[-1]
    assert path == "/futures/data/openInterestHist"
    assert query["period"] == "1h"
    assert (int(query["startTime"]), int(query["endTime"])) == (HOUR - 9 * HOUR_MS - 1, HOUR + 1)


def test_taker_volume_comes_without_a_symbol(client, exchange):
    row = {"buySellRatio": "1.5586", "buyVol": "387.3300", "sellVol": "248.5030", "timestamp": str(HOUR)}
    rows = ask(client, exchange, [row], Statistic.TAKER_VOLUME)
    assert rows.tolist() == [(HOUR, 1.5586, 387.33, 248.503)]


@pytest.mark.parametrize(
    "statistic",
    [Statistic.LONG_SHORT, Statistic.TOP_LONG_SHORT_ACCOUNTS, Statistic.TOP_LONG_SHORT_POSITIONS],
)
def test_ratios(client, exchange, statistic):
    row = {"symbol": "BTCUSDT", "longShortRatio": "1.9559", "longAccount": "0.6617", "shortAccount": "0.3382"}
    assert ask(client, exchange, [{**row, "timestamp": HOUR}], statistic).tolist() == [(HOUR, 1.9559)]
    assert exchange.requests[-1][0] == f"/futures/data/{statistic.value}"


@pytest.mark.parametrize(
    "rows",
    [
        [open_interest_row(HOUR + HOUR_MS)],
        [open_interest_row(HOUR - 10 * HOUR_MS)],
        [open_interest_row(HOUR), open_interest_row(HOUR)],
        [open_interest_row(HOUR - 1800_000)],
        [open_interest_row(HOUR, sumOpenInterest="-1")],
        [open_interest_row(HOUR, sumOpenInterest="inf")],
        [open_interest_row(HOUR, sumOpenInterest=None)],
        [open_interest_row(HOUR, symbol="ETHUSDT")],
        [open_interest_row("soon")],
        [{"timestamp": HOUR}],
        ["row"],
        {"code": 1},
        "<html>"[1:],
    ],
)
def test_a_statistic_with_one_wrong_row_is_not_used(client, exchange, rows):
    with pytest.raises(Retry, match="not used"):
        ask(client, exchange, rows)


def test_more_periods_than_an_answer_holds_are_not_asked_for(client, exchange):
    sent = len(exchange.requests)
    for start, end in ((HOUR - 500 * HOUR_MS, HOUR), (HOUR, HOUR - 1)):
        with pytest.raises(ValueError, match="not 1 to 500"):
            client.statistic(Statistic.LONG_SHORT, "BTCUSDT", "1h", start_ms=start, end_ms=end)
    assert len(exchange.requests) == sent


def test_a_refused_symbol_is_skipped_and_a_refused_host_is_not(client, exchange):
    for code, message in ((-1121, "Invalid symbol."), (-1130, "parameter 'startTime' is invalid.")):
        with pytest.raises(SkipSymbol, match=f"BTCUSDT: the exchange refuses it: {message}"):
            ask(client, exchange, {"code": code, "msg": message}, status=400)
    with pytest.raises(Refuse, match="country"):
        ask(client, exchange, {"code": 0, "msg": "restricted location"}, status=451)


def test_a_used_up_pool_concerns_only_itself(exchange, tmp_path):
    def refuse_to_wait(until_ms):
        raise Interrupted(f"would wait until {until_ms}")

    client = SentimentClient(
        ExchangeSettings(rest_url=exchange.url), tmp_path / "exchange", on_wait=refuse_to_wait
    )
    client.sync_clock()
    with pytest.raises(Retry, match="HTTP 429"):
        ask_funding(client, exchange, {"code": -1003, "msg": "Too many requests"}, status=429)
    sent = len(exchange.requests)
    with pytest.raises(Interrupted, match="would wait"):
        client.funding("BTCUSDT", start_ms=EIGHT, end_ms=EIGHT)
    assert len(exchange.requests) == sent
    assert len(ask(client, exchange, [open_interest_row(HOUR)])) == 1
    client.sync_clock()
    client.close()


def test_real_open_interest_survives_the_exchanges_spelling(client, exchange):
    if not REAL.exists():
        pytest.skip("no real open interest here; generated rows are tested above")
    import pandas as pd

    frame = pd.read_parquet(REAL)
    real = frame[frame["symbol"] == "RVNUSDT"].sort_values("open_time")  # one period is missing
    rows = [
        {
            "symbol": "RVNUSDT",
            "sumOpenInterest": repr(amount),
            "sumOpenInterestValue": repr(value),
            "timestamp": str(time),
        }
        for time, amount, value in zip(
            real["open_time"], real["sum_open_interest"], real["sum_open_interest_value"], strict=True
        )
    ]
    exchange.answers.append(Answer(200, json.dumps(rows)))
    first, last = int(real["open_time"].iloc[0]), int(real["open_time"].iloc[-1])
    found = client.statistic(Statistic.OPEN_INTEREST, "RVNUSDT", "4h", start_ms=first, end_ms=last)
    np.testing.assert_array_equal(found["open_interest"], real["sum_open_interest"].to_numpy())
    assert len(found) == (last - first) // (4 * HOUR_MS)  # not + 1
