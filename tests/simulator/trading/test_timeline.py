"""What happens by itself, and in which order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from futures_agent.clock import HOUR_MS, MINUTE_MS
from futures_agent.simulator.refusal import VenueError
from futures_agent.simulator.trading.config import AccountConfig
from futures_agent.simulator.trading.exchange import Exchange
from futures_agent.simulator.trading.interference import Interference
from trading_orders import algo, limit, market
from trading_worlds import (
    BTC,
    ETH,
    START_MS,
    Bar,
    flat,
    generated_exchange,
    kinds,
    ledger_bytes,
    scripted_exchange,
)

D = Decimal
RICH = AccountConfig(key="k", balances={"USDT": D(100_000)})
FALL: list[Bar] = [(100, 100, 80, 80), *flat(80, 3)]


def test_the_countdown_cancels_regular_orders_only() -> None:
    exchange, events = scripted_exchange({BTC: flat(100, 3), ETH: flat(10, 3)})
    account = exchange.accounts[0]
    order, other = limit(exchange, "BUY", "1", "90"), limit(exchange, "BUY", "1", "9", symbol=ETH)
    stop = algo(exchange, "STOP_MARKET", "SELL", "90", "1")
    exchange.countdown_cancel_all(account, BTC, 60_000, START_MS)
    exchange.countdown_cancel_all(account, BTC, 60_000, START_MS + 50_000)
    exchange.advance(START_MS + 109_999)
    assert order.status == "NEW"
    exchange.advance(START_MS + 110_000)
    assert (order.status, order.updated_ms) == ("CANCELED", START_MS + 110_000)
    assert (other.status, stop.status) == ("NEW", "NEW")
    exchange.countdown_cancel_all(account, ETH, 60_000, START_MS + 120_000)
    exchange.countdown_cancel_all(account, ETH, 0, START_MS + 130_000)
    exchange.advance(START_MS + HOUR_MS)
    assert other.status == "NEW"
    assert kinds(events).count("CANCELED") == 1


def test_a_listen_key_lives_for_an_hour_after_its_last_use() -> None:
    exchange, events = scripted_exchange({BTC: flat(100, 5)})
    account = exchange.accounts[0]
    with pytest.raises(VenueError) as refused:
        exchange.keep_listen_key(account, START_MS)
    assert refused.value.code == -1125
    key = exchange.start_listen_key(account, START_MS)
    assert len(key) == 64
    assert exchange.start_listen_key(account, START_MS + 30 * MINUTE_MS) == key
    assert exchange.keep_listen_key(account, START_MS + HOUR_MS) == key
    exchange.advance(START_MS + 2 * HOUR_MS - 1)
    assert not events
    exchange.advance(START_MS + 2 * HOUR_MS)
    assert events == [{"e": "listenKeyExpired", "E": START_MS + 2 * HOUR_MS, "listenKey": key}]
    assert exchange.start_listen_key(account, exchange.now_ms) != key
    exchange.close_listen_key(account, exchange.now_ms)
    assert account.listen_key == ""
    exchange.start_listen_key(account, exchange.now_ms)
    exchange.expire_listen_key(account, exchange.now_ms)
    assert kinds(events) == ["listenKeyExpired"] * 2
    exchange.expire_listen_key(account, exchange.now_ms)
    assert len(events) == 2


def test_time_never_goes_back() -> None:
    exchange, _ = scripted_exchange({BTC: flat(100, 3)})
    exchange.advance(START_MS + HOUR_MS)
    exchange.advance(START_MS)
    assert exchange.now_ms == START_MS + HOUR_MS
    request_ms = START_MS + 1  # a clock that was set back
    order = exchange.cancel_all(exchange.accounts[0], BTC, request_ms)
    assert (order, exchange.now_ms) == ([], START_MS + HOUR_MS)


def test_arrivals_of_several_symbols_come_in_the_order_of_time() -> None:
    exchange, _ = scripted_exchange({BTC: FALL, ETH: [(10, 10, 8, 8), *flat(8, 3)]}, accounts=(RICH,))
    for price in ("95", "90", "85"):
        limit(exchange, "BUY", "1", price)
    for price in ("9.75", "9.25", "8.75"):
        limit(exchange, "BUY", "1", price, symbol=ETH)
    exchange.advance(START_MS + HOUR_MS)
    prices = [fill.price for fill in exchange.accounts[0].fills]
    assert prices == [D("9.75"), 95, D("9.25"), 90, D("8.75"), 85]
    times = [entry["t"] for entry in exchange.ledger.entries()]
    assert times == sorted(times)


@pytest.mark.parametrize("seed", range(3))
def test_it_does_not_matter_how_often_one_looks(seed: int) -> None:
    ledgers = []
    for step_ms in (11 * HOUR_MS, 7 * MINUTE_MS + 1):
        exchange = generated_exchange((BTC, ETH), seed=seed, accounts=(RICH,), tick_ms=3_600_000)
        for symbol in (BTC, ETH):
            price = exchange.last_price(symbol)
            for share in ("0.99", "0.995", "0.998"):
                below = (price * D(share)).quantize(price)
                limit(exchange, "BUY", "0.01", str(below), symbol=symbol)
                algo(exchange, "STOP_MARKET", "SELL", str(below), "0.01", symbol=symbol)
                algo(
                    exchange,
                    "TRAILING_STOP_MARKET",
                    "SELL",
                    "0",
                    "0.01",
                    callback_rate=D("0.7"),
                    symbol=symbol,
                )
        for now_ms in range(START_MS, START_MS + 11 * HOUR_MS, step_ms):
            exchange.advance(now_ms)
        exchange.advance(START_MS + 11 * HOUR_MS)
        assert len(exchange.accounts[0].fills) > 2
        ledgers.append(ledger_bytes(exchange))
    assert ledgers[0] == ledgers[1]


# With path="bar".


def by_bar(bars: list[Bar], **more: Any) -> Exchange:
    return scripted_exchange({BTC: bars}, path="bar", accounts=(RICH,), **more)[0]


def bracketed(exchange: Exchange, stop: str, target: str) -> None:
    market(exchange, "BUY", "1")
    algo(exchange, "STOP_MARKET", "SELL", stop, "1", reduce_only=True)
    limit(exchange, "SELL", "1", target, reduce_only=True)


def exit_price(exchange: Exchange) -> tuple[Decimal, bool, int]:
    fill = exchange.accounts[0].fills[-1]
    return fill.price, fill.maker, fill.time_ms


def test_a_stop_within_the_candle_fills_at_its_price_when_the_candle_closes() -> None:
    exchange = by_bar([(100, 101, 90, 95), *flat(95, 2)])
    bracketed(exchange, "92", "110")
    exchange.advance(START_MS + HOUR_MS - 1)
    assert len(exchange.accounts[0].fills) == 1
    exchange.advance(START_MS + HOUR_MS)
    assert exit_price(exchange) == (92, False, START_MS + HOUR_MS - 1)
    assert [each.status for each in exchange.accounts[0].orders.values()] == ["FILLED", "EXPIRED", "FILLED"]


def test_a_candle_that_opens_beyond_the_stop_fills_at_its_open() -> None:
    exchange = by_bar([*flat(100, 1), (90, 91, 85, 88), *flat(88, 1)])
    bracketed(exchange, "92", "110")
    exchange.advance(START_MS + 2 * HOUR_MS)
    assert exit_price(exchange)[:2] == (90, False)


def test_a_candle_that_opens_beyond_the_target_fills_at_the_targets_price() -> None:
    exchange = by_bar([*flat(100, 1), (115, 116, 112, 113), *flat(113, 1)])
    bracketed(exchange, "92", "110")
    exchange.advance(START_MS + 2 * HOUR_MS)
    assert exit_price(exchange)[:2] == (110, True)


def test_a_candle_that_touches_both_counts_as_the_worse() -> None:
    exchange = by_bar([(100, 112, 90, 111), *flat(111, 2)])
    bracketed(exchange, "92", "110")
    exchange.advance(START_MS + HOUR_MS)
    assert exit_price(exchange)[:2] == (92, False)


def test_finer_candles_decide_between_stop_and_target() -> None:
    quarters = [
        (100.0, 112.0, 99.0, 105.0),
        (105.0, 106.0, 90.0, 95.0),
        *flat(95, 1),
        (95.0, 111.0, 95.0, 111.0),
    ]
    exchange = by_bar([(100, 112, 90, 111), *flat(111, 2)], quarters={(BTC, 0): quarters})
    bracketed(exchange, "92", "110")
    exchange.advance(START_MS + HOUR_MS)
    assert exit_price(exchange)[:2] == (110, True)


def test_a_take_profit_at_market_pays_as_taker() -> None:
    exchange = by_bar([(100, 112, 99, 111), *flat(111, 2)])
    market(exchange, "BUY", "1")
    target = algo(exchange, "TAKE_PROFIT_MARKET", "SELL", "110", "1", reduce_only=True)
    exchange.advance(START_MS + HOUR_MS)
    assert exit_price(exchange)[:2] == (110, False)
    assert target.status == "FINISHED"


def test_the_nearest_of_several_stops_comes_first_and_the_rest_follow() -> None:
    exchange = by_bar([(100, 101, 90, 95), *flat(95, 2)])
    market(exchange, "BUY", "3")
    for trigger in ("91", "93", "89"):
        algo(exchange, "STOP_MARKET", "SELL", trigger, "1", reduce_only=True)
    exchange.advance(START_MS + HOUR_MS)
    assert [fill.price for fill in exchange.accounts[0].fills[1:]] == [93, 91]
    assert exchange.accounts[0].position(BTC).amount == 1


def test_an_isolated_position_is_liquidated_before_a_stop_that_lies_beyond() -> None:
    account = AccountConfig(key="k", balances={"USDT": D(1000)}, leverage=10, margin_type="ISOLATED")
    bars = [(100.0, 101.0, 85.0, 95.0), *flat(95, 2)]
    exchange, _ = scripted_exchange({BTC: bars}, path="bar", accounts=(account,))
    bracketed(exchange, "88", "110")
    exchange.advance(START_MS + HOUR_MS)
    fill = exchange.accounts[0].fills[-1]
    assert float(fill.price) == pytest.approx((10 - 100) / (0.01 - 1), rel=1e-12)
    assert exchange.order(exchange.accounts[0], BTC, fill.order_id).client_order_id.startswith("autoclose-")


def test_entries_that_wait_are_met_along_the_candles_path() -> None:
    exchange = by_bar([(100, 112, 90, 111), *flat(111, 2)])
    resting = limit(exchange, "BUY", "1", "95")
    breakout = algo(exchange, "STOP_MARKET", "BUY", "105", "1")
    exchange.advance(START_MS + HOUR_MS)
    assert (resting.status, breakout.status) == ("FILLED", "FINISHED")
    assert [fill.price for fill in exchange.accounts[0].fills] == [95, 105]


def test_what_is_placed_within_a_candle_meets_only_the_rest_of_it() -> None:
    """From 100 to 90 at minute 18, to 112 at 42, to 111: at minute 30 the price is 101."""
    exchange = by_bar([(100, 112, 90, 111), *flat(111, 2)])
    exchange.advance(START_MS + 30 * MINUTE_MS)
    market(exchange, "BUY", "1")
    stop = algo(exchange, "STOP_MARKET", "SELL", "95", "1", reduce_only=True)
    target = limit(exchange, "SELL", "1", "110", reduce_only=True)
    exchange.advance(START_MS + HOUR_MS)
    assert exchange.accounts[0].fills[0].price == 101
    assert (stop.status, target.status) == ("NEW", "FILLED")


def test_what_happened_before_a_cancel_within_the_candle_stays_happened() -> None:
    exchange = by_bar([(100, 112, 90, 111), *flat(111, 2)])
    order = limit(exchange, "BUY", "1", "95")
    exchange.advance(START_MS + 30 * MINUTE_MS)
    with pytest.raises(VenueError) as refused:
        exchange.cancel(exchange.accounts[0], BTC, exchange.now_ms, order_id=order.order_id)
    assert (refused.value.code, order.status) == (-2011, "FILLED")


def test_the_rest_of_a_target_that_fills_in_part_waits_for_the_next_candle() -> None:
    class Half(Interference):
        def fill_share(self, account: Any, order: Any, now_ms: int) -> Decimal:
            return D("0.5") if order.type == "LIMIT" and order.remaining == 1 else D(1)

    exchange = by_bar([(100, 112, 99, 111), (111, 112, 111, 111), *flat(111, 1)])
    market(exchange, "BUY", "1")
    target = limit(exchange, "SELL", "1", "110", reduce_only=True)
    exchange.interfere(Half())
    exchange.advance(START_MS + HOUR_MS)
    assert target.executed == D("0.5")
    exchange.advance(START_MS + 2 * HOUR_MS)
    assert target.status == "FILLED"


def test_a_halted_candle_is_not_judged() -> None:
    exchange = by_bar([(100, 101, 90, 95), (95, 96, 91, 95), *flat(95, 1)])
    bracketed(exchange, "92", "110")
    exchange.set_status(BTC, "TRADING_HALT", START_MS)
    exchange.advance(START_MS + HOUR_MS)
    assert len(exchange.accounts[0].fills) == 1
    exchange.set_status(BTC, "TRADING", START_MS + HOUR_MS)
    exchange.advance(START_MS + 2 * HOUR_MS)
    assert exit_price(exchange)[0] == 92
