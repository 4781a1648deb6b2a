from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exchange.live_worlds import Heard, broker_of, buy, eventually, settings_of
from futures_agent.clock import MINUTE_MS, SECOND_MS
from futures_agent.exchange.client import MarketDataClient
from futures_agent.exchange.outcome import Outcome
from futures_agent.exchange.streams import market, stream
from futures_agent.exchange.streams.market import MarketStream
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import ExchangeSettings, LiveSettings
from futures_agent.simulator.fault_streams import StreamFault
from futures_agent.simulator.server import RunningSimulator
from signed_client import trading_floor
from simulator.streams.stream_client import step

Factory = Callable[..., RunningSimulator]
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
QUARTER = 15 * MINUTE_MS


class Following(Heard):
    """A market stream and what it told."""

    def __init__(self, simulator: RunningSimulator, state_dir: Path, **options: Any) -> None:
        super().__init__()
        symbols, frames = options.pop("symbols", SYMBOLS), options.pop("timeframes", tuple(Timeframe))
        live = LiveSettings(**{k: v for k, v in options.items() if k in LiveSettings.__struct_fields__})
        exchange = settings_of(
            simulator, **{k: v for k, v in options.items() if k in ExchangeSettings.__struct_fields__}
        )
        self.candles: list[tuple[str, Timeframe, np.void, int]] = []
        self.marks: dict[str, tuple[float, int]] = {}
        self.client = MarketDataClient(exchange, state_dir, clock=options.get("clock"))
        self.client.sync_clock()
        self.stream = MarketStream(
            exchange,
            live,
            symbols,
            frames,
            self.client.clock,
            self.client.sync_clock,
            self._on_candle,
            self._on_mark,
            self.on_stream,
        )
        self.stream.start()

    def _on_candle(self, symbol: str, timeframe: Timeframe, candle: np.void, received_ms: int) -> None:
        self.candles.append((symbol, timeframe, candle, received_ms))

    def _on_mark(self, symbol: str, mark: float, at_ms: int) -> None:
        self.marks[symbol] = (mark, at_ms)

    def close(self) -> None:
        self.stream.close()
        self.client.close()


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Callable[..., Following]]:
    """Return a maker of streams that are up."""
    made: list[Following] = []

    def begin(simulator: RunningSimulator, *, up: bool = True, **options: Any) -> Following:
        made.append(Following(simulator, tmp_path, **options))
        if up:
            made[-1].until_up()
        return made[-1]

    yield begin
    for each in made:
        each.close()


Follow = Callable[..., Following]


def closes(simulator: RunningSimulator, first_ms: int, last_ms: int) -> set[tuple[str, Timeframe, int]]:
    """Return the candles that close in (first_ms, last_ms]."""
    return {
        (symbol, frame, close_ms - frame.ms)
        for symbol in SYMBOLS
        for frame in Timeframe
        for close_ms in range(frame.open_of(first_ms) + frame.ms, last_ms + 1, frame.ms)
    }


def test_each_close_is_told_once_and_is_the_candle_of_rest(
    simulator_factory: Factory, follow: Follow
) -> None:
    simulator = simulator_factory()
    following = follow(simulator, time_scale=0.001)
    first_ms = simulator.clock.now_ms()
    for _ in range(7):  # from 14:20 past 16:00
        step(simulator, QUARTER, within_s=30)
    last_ms = simulator.clock.now_ms()
    wanted = closes(simulator, first_ms, last_ms)
    eventually(lambda: len(following.candles) >= len(wanted))
    told = [(symbol, frame, int(candle["timestamp"])) for symbol, frame, candle, _ in following.candles]
    assert len(told) == len(set(told))
    assert set(told) == wanted
    assert {frame for _, frame, _ in wanted} == {Timeframe.M15, Timeframe.H1, Timeframe.H4}
    for symbol, frame, candle, received_ms in following.candles:
        opened = int(candle["timestamp"])
        assert candle == simulator.market.closed(symbol, frame, opened + frame.ms)[-1]
        assert opened + frame.ms <= received_ms <= last_ms + SECOND_MS
    eventually(lambda: {at_ms for _, at_ms in following.marks.values()} == {last_ms})
    assert set(following.marks) == set(SYMBOLS)
    assert all(mark > 0 for mark, _ in following.marks.values())
    # The stepped clock was followed by what was told, and no request was made for it.
    assert 0 <= following.client.clock.now_ms() - last_ms < SECOND_MS
    assert following.client.requests == 1


def test_a_broker_follows_a_stepped_clock_by_what_the_market_tells(tmp_path: Path) -> None:
    with trading_floor() as floor:
        client, heard = floor.client(), Heard()
        broker = broker_of(client, tmp_path, heard, time_scale=0.001)
        broker.prepare(SYMBOLS, 5)
        heard.until_up()
        exchange = settings_of(floor.simulator, time_scale=0.001)
        following = Following(floor.simulator, tmp_path, clock=broker.clock, time_scale=0.001)
        following.until_up()
        key = client.account.listen_key
        for number in range(1, 13):  # three hours
            step(floor.simulator, QUARTER, within_s=30, settle_s=0.1)
            eventually(lambda number=number: len(following.candles) >= 3 * number)
            before = broker._client.requests
            assert broker.send(buy(f"cfa-1-E{number}", "0.001")).outcome is Outcome.OK
            assert broker._client.requests - before <= 2  # the order, and perhaps the listen key meanwhile
        assert MarketDataClient(exchange, tmp_path, clock=broker.clock).clock is broker.clock
        assert client.account.listen_key == key
        assert heard.streams == [("user", True, "")]
        assert following.streams == [("market", True, "")]
        following.close()
        broker.close()


def test_many_streams_are_subscribed_to_in_chunks_no_faster_than_the_exchange_takes(
    simulator_factory: Factory, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market, "_CHUNK", 2)
    simulator = simulator_factory()
    following = follow(simulator)  # 15 streams, 8 messages
    (connection,) = simulator.venue.streams.connections
    assert connection.session is not None
    assert len(connection.session.names) == 15
    assert following.stream._commands == 8
    assert following.streams == [("market", True, "")]


@pytest.mark.parametrize("how", ["closed", "ended"])
def test_a_lost_connection_is_made_again_and_tells_the_next_close(
    simulator_factory: Factory, follow: Follow, how: str
) -> None:
    simulator = simulator_factory()
    following = follow(simulator, time_scale=0.001)
    simulator.venue.streams.disturb(how, "market")
    following.until_up(2)
    assert len(following.downs()) == 1
    step(simulator, QUARTER, within_s=30)
    eventually(lambda: len(following.candles) == 3)


@pytest.mark.parametrize("how", ["silent", "half-open"])
def test_silence_while_time_passes_ends_a_connection(
    simulator_factory: Factory, follow: Follow, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(market, "_SUSPECT_S", 0.3)
    simulator = simulator_factory(scale=1.0)
    following = follow(simulator, stream_silence_s=2.0)
    simulator.venue.streams.disturb(how, "market")
    following.until_up(2)
    assert following.downs() == ["no message for 2 s"]


def test_silence_while_time_stands_still_proves_nothing(
    simulator_factory: Factory, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market, "_SUSPECT_S", 0.1)
    simulator = simulator_factory()
    following = follow(simulator, stream_silence_s=0.5, symbol_silence_s=0.5)  # its clock runs on by itself
    asked = following.client.requests
    eventually(lambda: following.client.requests >= asked + 4)  # suspected, asked, and found to stand
    assert following.streams == [("market", True, "")]
    step(simulator, QUARTER, within_s=30)
    eventually(lambda: len(following.candles) == 3)
    assert following.streams == [("market", True, "")]


def test_thinned_messages_of_a_fast_clock_are_no_silence(simulator_factory: Factory, follow: Follow) -> None:
    simulator = simulator_factory(scale=600.0)
    following = follow(simulator, time_scale=600.0)  # ten seconds pass in 17 ms
    began_ms = following.client.clock.now_ms()
    eventually(lambda: following.client.clock.now_ms() - began_ms > 20 * MINUTE_MS)
    assert following.streams == [("market", True, "")]
    assert len(following.candles) >= 3


def test_one_silent_symbol_ends_connections_ever_more_rarely(
    simulator_factory: Factory, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market, "_SUSPECT_S", 0.5)
    simulator = simulator_factory(scale=1.0)
    following = follow(
        simulator, symbols=("BTCUSDT", "NONEUSDT"), symbol_silence_s=2.0, stream_silence_s=60.0
    )
    following.until_up(3)
    assert following.downs() == [f"no mark price of NONEUSDT for {limit} s" for limit in (2, 4)]
    assert following.stream._patience == {"BTCUSDT": 1.0, "NONEUSDT": 4.0}


def test_a_wrong_route_is_acknowledged_and_found_by_its_silence(
    simulator_factory: Factory, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market, "_SUSPECT_S", 0.1)
    simulator = simulator_factory(scale=1.0)
    following = follow(simulator, stream_silence_s=2.0)
    following.stream._url = following.stream._url.replace("/market/", "/private/")
    simulator.venue.streams.disturb("closed", "market")
    following.until_up(2)
    following.until(lambda: following.downs()[1:] == ["no message for 2 s"])


def test_a_connection_is_replaced_without_a_gap_or_a_second_close(
    simulator_factory: Factory, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_OVERLAP_S", 0.5)
    opened: list[float] = []
    open_socket = market.open_socket
    monkeypatch.setattr(
        market, "open_socket", lambda url: opened.append(time.monotonic()) or open_socket(url)
    )
    simulator = simulator_factory(scale=600.0)
    following = follow(simulator, time_scale=600.0, rotate_h=0.2)  # every 1.2 s
    first_ms = following.client.clock.now_ms() + MINUTE_MS
    eventually(lambda: len(opened) >= 4)
    last_ms = following.client.clock.now_ms() - 10 * MINUTE_MS
    told = [(symbol, frame, int(candle["timestamp"])) for symbol, frame, candle, _ in following.candles]
    assert len(told) == len(set(told))
    assert closes(simulator, first_ms, last_ms) <= set(told)
    assert following.streams == [("market", True, "")]


def test_a_close_that_never_comes_is_left_to_others_and_one_that_comes_twice_is_told_once(
    simulator_factory: Factory, follow: Follow
) -> None:
    simulator = simulator_factory()
    following = follow(simulator, time_scale=0.001, timeframes=(Timeframe.M15,))
    simulator.add_fault(StreamFault(how="close missing", stream="btcusdt@kline_15m"))
    simulator.add_fault(StreamFault(how="event repeated", stream="ethusdt@kline_15m", delay_ms=0))
    step(simulator, QUARTER, within_s=30)
    eventually(lambda: len(following.candles) == 2)
    step(simulator, QUARTER, within_s=30)
    eventually(lambda: len(following.candles) == 5)
    assert sorted(symbol for symbol, *_ in following.candles) == sorted(["ETHUSDT", "SOLUSDT", *SYMBOLS])


def test_nobody_there_is_told_once_and_tried_again(simulator_factory: Factory, follow: Follow) -> None:
    simulator = simulator_factory()
    following = follow(simulator, up=False, stream_url="ws://127.0.0.1:9")
    following.until(lambda: following.downs() == ["Connection refused"])
    following.stream._url = settings_of(simulator).stream_url + "/market/ws"
    following.until_up()
    assert following.downs() == ["Connection refused"]
