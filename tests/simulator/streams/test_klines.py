from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS, parse_utc
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.config import SimulatorConfig
from futures_agent.simulator.server import RunningSimulator
from futures_agent.simulator.streams.config import StreamsConfig
from futures_agent.simulator.streams.feed import Feed
from futures_agent.simulator.streams.names import Kind, Stream
from futures_agent.simulator.venue import Venue
from simulator.streams.stream_client import StreamClient, step

Factory = Callable[..., RunningSimulator]

QUARTER_MS = 15 * MINUTE_MS
START_MS = parse_utc("2026-03-10T14:20:00Z")


def finals(messages: list[Any]) -> list[tuple[str, str, int]]:
    """Return (symbol, interval, open time) of the closing messages."""
    bars = [message["k"] for message in messages if message["k"]["x"]]
    return [(bar["s"], bar["i"], bar["t"]) for bar in bars]


def rest_row(simulator: RunningSimulator, symbol: str, interval: str, open_ms: int) -> list[Any]:
    """Return the candle opened then as REST tells it."""
    url = f"{simulator.url}/fapi/v1/klines?symbol={symbol}&interval={interval}&startTime={open_ms}&limit=1"
    (row,) = requests.get(url, timeout=10).json()
    return list(row)


def as_row(bar: dict[str, Any]) -> list[Any]:
    """Return the candle of a message as a row of REST."""
    return [*(bar[name] for name in "tohlcvTqnVQ"), "0"]


def test_a_message_has_the_exchanges_fields_in_its_order(simulator_factory: Factory) -> None:
    with StreamClient(simulator_factory(), "/market/ws/btcusdt@kline_15m") as client:
        (message,) = client.stepped(MINUTE_MS)
    assert list(message) == ["e", "E", "s", "k"]
    assert "".join(message["k"]) == "tTsifLochlvnxqVQB"
    assert (message["e"], message["s"], message["k"]["i"]) == ("kline", "BTCUSDT", "15m")
    assert message["k"]["L"] - message["k"]["f"] + 1 == message["k"]["n"] > 0


def test_forming_and_final_candles_are_those_of_rest(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, "/market/ws/ethusdt@kline_1h") as client:
        (forming,) = client.stepped(MINUTE_MS)
        assert as_row(forming["k"]) == rest_row(simulator, "ETHUSDT", "1h", forming["k"]["t"])
        final, following = client.stepped(HOUR_MS)
    assert (final["k"]["x"], following["k"]["x"]) == (True, False)
    assert final["k"]["t"] == forming["k"]["t"]
    assert final["E"] == final["k"]["T"] + 1
    assert as_row(final["k"]) == rest_row(simulator, "ETHUSDT", "1h", final["k"]["t"])


def test_every_candle_closes_exactly_once_however_the_clock_is_stepped(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    begin = simulator.clock.now_ms()
    names = [f"{symbol}@kline_{interval}" for symbol in ("btcusdt", "solusdt") for interval in ("15m", "1h")]
    steps = (1, 10 * MINUTE_MS - 1, 1, 5 * MINUTE_MS, 3 * HOUR_MS + 7, 17, QUARTER_MS)
    with StreamClient(simulator, f"/market/ws/{'/'.join(names)}") as client:
        messages = client.stepped(*steps)
    end = simulator.clock.now_ms()
    lengths = {"15m": QUARTER_MS, "1h": HOUR_MS}
    expected = sorted(
        (symbol, interval, close - length)
        for symbol in ("BTCUSDT", "SOLUSDT")
        for interval, length in lengths.items()
        for close in range(begin - begin % length + length, end + 1, length)
    )
    assert sorted(finals(messages)) == expected
    times = [message["E"] for message in messages]
    assert times == sorted(times)


def test_a_candle_that_closed_before_somebody_subscribed_is_not_told(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    with StreamClient(simulator, "/market/ws/btcusdt@kline_15m") as early:
        early.stepped(10 * MINUTE_MS)  # 14:30, a close
        with StreamClient(simulator, "/market/ws/btcusdt@kline_15m") as late:
            step(simulator, MINUTE_MS)
            assert finals(late.here()) == []
            step(simulator, QUARTER_MS)
            assert len(finals(late.here())) == 1
        assert len(finals(early.here())) == 1


def test_without_ticks_only_closes_come(simulator_factory: Factory) -> None:
    simulator = simulator_factory(streams=StreamsConfig(tick_ms=0))
    with StreamClient(simulator, "/market/ws/btcusdt@kline_15m/btcusdt@bookTicker") as client:
        messages = client.stepped(MINUTE_MS, HOUR_MS)
    assert [message["k"]["x"] for message in messages] == [True] * 4


@pytest.fixture(scope="module")
def feed() -> Feed:
    venue = Venue(SimulatorConfig(symbols=("BTCUSDT",), history_days=1, start_ms=START_MS, scale=0))
    return Feed(venue.market, venue.payloads, venue.exchange.status, tick_ms=250)


def test_a_candle_that_stays_the_same_is_not_told_again(feed: Feed) -> None:
    feed.listen([Stream("btcusdt@kline_1h", Kind.KLINE, "BTCUSDT", Timeframe.H1)])
    told = [len(list(feed.ticks(START_MS - 250, now_ms))) for now_ms in (START_MS, START_MS, START_MS + 250)]
    assert told == [1, 0, 1]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 2 * DAY_MS), max_size=12))
def test_closes_are_the_same_however_time_is_cut(feed: Feed, cuts: list[int]) -> None:
    frames = (Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1)
    feed.listen(Stream(f"btcusdt@kline_{one.value}", Kind.KLINE, "BTCUSDT", one) for one in frames)
    times = [START_MS, *(START_MS + cut for cut in sorted(cuts)), START_MS + 2 * DAY_MS]
    whole = list(feed.closes(times[0], times[-1]))
    assert [message for begin, end in pairwise(times) for message in feed.closes(begin, end)] == whole
    assert len(whole) == 192 + 48 + 12 + 2
    assert all(message.final for message in whole)


def test_in_real_time_candles_are_told_as_they_change(simulator_factory: Factory) -> None:
    simulator = simulator_factory(scale=1.0, streams=StreamsConfig(tick_ms=20, tick_host_ms=20))
    with StreamClient(simulator, "/market/ws/btcusdt@kline_1d") as client:
        messages = [client.next() for _ in range(3)]
    times = [message["E"] for message in messages]
    assert times == sorted(set(times))
    assert times[-1] <= simulator.clock.now_ms()


def test_on_a_fast_clock_ticks_are_thinned_and_closes_are_not(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    begin = simulator.clock.now_ms()
    with StreamClient(simulator, "/market/ws/btcusdt@kline_15m") as client:
        simulator.clock.set_scale(20_000)  # a quarter of an hour in 45 ms
        messages = []
        while len(finals(messages)) < 12:
            messages.append(client.next())
    opens = [open_ms for _, _, open_ms in finals(messages)]
    first = begin - begin % QUARTER_MS
    assert opens == list(range(first, first + 12 * QUARTER_MS, QUARTER_MS))
    assert len(messages) < 24


def test_a_clock_set_back_repeats_nothing_and_goes_on(simulator_factory: Factory) -> None:
    simulator = simulator_factory()
    begin = simulator.clock.now_ms()
    with StreamClient(simulator, "/market/ws/btcusdt@kline_15m") as client:
        client.stepped(HOUR_MS)
        requests.post(simulator.url + "/sim/clock", json={"now_ms": begin, "wait_quiet": True}, timeout=10)
        assert client.here() == []
        assert len(finals(client.stepped(10 * MINUTE_MS))) == 1
