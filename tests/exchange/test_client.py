import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from futures_agent.errors import Interrupted, Refuse, Retry, SkipSymbol
from futures_agent.exchange.client import MarketDataClient, kline_weight
from futures_agent.exchange.clock import ExchangeClock
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import ExchangeSettings
from loopback_exchange import START_MS, SYMBOL, Answer, kline_row, loopback_exchange, reset_connection

HOUR = Timeframe.H1.ms
MINUTE = 60_000
CLOSE = START_MS - START_MS % HOUR + HOUR  # the edge between two candles
GRACE_MS = 2_000


def paths(exchange):
    return [path.rpartition("/")[2] for path, _ in exchange.requests]


def newest(client, **arguments):
    return client.closed_candles("BTCUSDT", Timeframe.H1, **{"start_ms": None, "limit": 3, **arguments})


@pytest.mark.parametrize(
    ("limit", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10), (1500, 10)]
)
def test_kline_weight(limit, weight):
    assert kline_weight(limit) == weight


@pytest.mark.parametrize("limit", [0, -1, 1501])
def test_a_limit_outside_the_exchanges_range(limit):
    with pytest.raises(ValueError, match=r"1\.\.1500"):
        kline_weight(limit)


def test_closed_candles_ascend_and_the_forming_one_is_not_among_them(exchange, client):
    exchange.freeze(CLOSE + 10 * MINUTE)
    assert newest(client)["timestamp"].tolist() == [CLOSE - 2 * HOUR, CLOSE - HOUR]
    assert exchange.requests[-1] == ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1h", "limit": "3"})


def test_a_range_is_inclusive_on_both_ends(exchange, client):
    start, end = CLOSE - 50 * HOUR, CLOSE - 40 * HOUR
    candles = newest(client, start_ms=start, end_ms=end, limit=499)
    assert candles["timestamp"].tolist() == list(range(start, end + 1, HOUR))
    asked = exchange.requests[-1][1]
    assert (asked["startTime"], asked["endTime"]) == (str(start), str(end))


def test_pages_follow_one_another(client):
    first = newest(client, start_ms=CLOSE - 20 * HOUR, limit=7)
    second = newest(client, start_ms=int(first["timestamp"][-1]) + HOUR, limit=7)
    assert second["timestamp"][0] == first["timestamp"][-1] + HOUR
    assert len(first) == len(second) == 7


@pytest.mark.parametrize(
    ("after_close_ms", "trusted"),
    # Milliseconds after the close instant; the candle's own close time lies 1 ms before it. The clock
    # stands still, the client's runs on for the milliseconds of a request: those edges are left free.
    [(-HOUR + 1, False), (-1, False), (0, False), (1, False), (GRACE_MS - 1_000, False), (GRACE_MS, True)],
)
def test_a_candle_counts_as_closed_only_after_the_grace(exchange, client, after_close_ms, trusted):
    exchange.freeze(CLOSE + after_close_ms)
    opens = newest(client)["timestamp"].tolist()
    assert (CLOSE - HOUR in opens) is trusted
    assert CLOSE not in opens


@pytest.mark.parametrize(("now_ms", "trusted"), [(CLOSE - 1 + GRACE_MS, False), (CLOSE + GRACE_MS, True)])
def test_the_exact_edge(exchange, client, monkeypatch, now_ms, trusted):
    exchange.freeze(CLOSE + MINUTE)
    monkeypatch.setattr(ExchangeClock, "at_ms", lambda *_: now_ms)
    assert (CLOSE - HOUR in newest(client)["timestamp"]) is trusted


def test_a_candle_that_closes_while_the_answer_travels_is_not_trusted(exchange, client):
    exchange.freeze(CLOSE + GRACE_MS - 1_000)
    client.sync_clock()
    complete = [kline_row(CLOSE - 2 * HOUR, Timeframe.H1), kline_row(CLOSE - HOUR, Timeframe.H1)]

    def travel_slowly(served, connection):
        exchange.stopping.wait(1.2)
        body = json.dumps(complete).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    exchange.answers = [Answer(act=travel_slowly)]
    assert newest(client)["timestamp"].tolist() == [CLOSE - 2 * HOUR]
    assert client.clock.now_ms() > CLOSE + GRACE_MS  # by now it has closed


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(now_ms=st.integers(CLOSE - 30 * HOUR, CLOSE + 30 * HOUR), frame=st.sampled_from(list(Timeframe)))
def test_at_any_moment_every_candle_returned_has_closed(exchange, make_client, now_ms, frame):
    exchange.freeze(now_ms)
    client = make_client()
    candles = client.closed_candles("BTCUSDT", frame, start_ms=None, limit=5)
    assert len(candles) >= 3
    assert int(candles["timestamp"][-1]) + frame.ms <= now_ms
    client.close()


def test_contracts_and_the_stated_limit_are_adopted(exchange, client):
    exchange.weight_limit = 6000
    info = client.exchange_info()
    assert info.instruments["BTCUSDT"].tradable
    assert info.weight_limit_per_min == 6000
    assert client._governor.budget == 3000


def test_requests_and_weight_are_counted(exchange, client):
    client.exchange_info()
    newest(client, limit=499)
    assert paths(exchange) == ["time", "exchangeInfo", "klines"]
    assert (client.requests, client.weight_used) == (3, 4)


def test_the_clock_is_set_once_for_all_threads_and_again_when_it_is_old(exchange, make_client):
    client = make_client()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: newest(client), range(16)))
    assert paths(exchange).count("time") == 1
    hasty = make_client(clock_resync_s=1e-9)
    newest(hasty)
    newest(hasty)
    assert paths(exchange).count("time") == 3


def test_the_offset_is_saved_for_programs_without_network(exchange, client, tmp_path):
    client.sync_clock()
    elsewhere = ExchangeClock.load(tmp_path / "exchange" / "clock.json")
    assert elsewhere.known
    assert abs(elsewhere.now_ms() - exchange.now_ms()) < 1_000


def test_a_saved_clock_of_another_scale_is_not_used(make_client):
    make_client().sync_clock()
    assert make_client().clock.known
    assert not make_client(time_scale=60.0).clock.known


def test_a_full_disk_does_not_stop_reading(exchange, client, monkeypatch, caplog):
    def no_space(*_):
        raise Retry("clock.json: cannot write: No space left on device")

    monkeypatch.setattr(ExchangeClock, "save", no_space)
    assert len(newest(client)) == 2
    assert "No space left" in caplog.text


def test_a_wrong_timestamp_sets_the_clock_and_asks_once_more(exchange, client):
    client.sync_clock()
    wrong = Answer(400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."})
    exchange.answers = [wrong]
    assert len(newest(client)) == 2
    assert paths(exchange) == ["time", "klines", "time", "klines"]


def test_a_timestamp_that_stays_wrong_is_refused(exchange, client):
    client.sync_clock()
    wrong = {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
    served = Answer(200, {"serverTime": exchange.now_ms()})
    exchange.answers = [Answer(400, wrong), served, Answer(400, wrong)]
    with pytest.raises(Refuse, match="recvWindow"):
        newest(client)
    assert len(exchange.requests) == 4


@pytest.mark.parametrize("code", [-1120, -1121, -1122, -4141, -9999])
def test_a_symbol_the_exchange_refuses_is_skipped(exchange, client, code):
    client.sync_clock()
    exchange.answers = [Answer(400, {"code": code, "msg": "Symbol is closed."})]
    with pytest.raises(
        SkipSymbol, match=rf"NOSUCHUSDT: the exchange refuses it: Symbol is closed\. \({code}\)"
    ):
        client.closed_candles("NOSUCHUSDT", Timeframe.H1, start_ms=None, limit=3)


def faulty(exchange, client, *answers):
    client.sync_clock()
    sent = len(exchange.requests)
    exchange.answers = list(answers)
    with pytest.raises((Retry, Refuse)) as raised:
        newest(client)
    assert len(exchange.requests) == sent + 1  # never repeated
    assert "\n" not in str(raised.value)
    assert exchange.url in str(raised.value)
    return raised.value


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            Answer(500, {"code": -1000, "msg": "An unknown error"}),
            Retry,
            r"HTTP 500 An unknown error \(-1000\)",
        ),
        (Answer(502, "<html>bad gateway"), Retry, "HTTP 502 <html>bad gateway"),
        (Answer(503, "Service Unavailable."), Retry, "HTTP 503 Service Unavailable"),
        (Answer(408, {"code": -1007, "msg": "Timeout"}), Retry, "HTTP 408 Timeout"),
        (Answer(act=reset_connection), Retry, "connection lost"),
        (Answer(200, "[[1,"), Retry, "not what was asked for"),
        (Answer(200, [kline_row(CLOSE + 1, Timeframe.H1)]), Retry, "BTCUSDT H1: an open time is not on"),
        (Answer(400, {"code": -1000, "msg": "An unknown error"}), Retry, r"HTTP 400 .* \(-1000\)"),
        (Answer(401, {"code": -2014, "msg": "API-key format invalid."}), Refuse, "HTTP 401"),
        (
            Answer(451, {"code": 0, "msg": "Service unavailable from a restricted location"}),
            Refuse,
            "country",
        ),
        (Answer(404, "<html>"), Refuse, r"exchange\.rest_url"),
        (Answer(404, {"code": -5000, "msg": "Path is invalid"}), Refuse, r"exchange\.rest_url"),
    ],
)
def test_faults_are_one_clear_line_and_one_request(exchange, client, answer, kind, said):
    error = faulty(exchange, client, answer)
    assert isinstance(error, kind)
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(str(error))


@pytest.mark.parametrize(
    "rows",
    [
        [kline_row(CLOSE - 9 * HOUR, Timeframe.H1)],
        [kline_row(CLOSE - 2 * HOUR, Timeframe.H1)],
        [kline_row(CLOSE - (7 - index) * HOUR, Timeframe.H1) for index in range(3)],
    ],
)
def test_candles_that_were_not_asked_for_are_not_used(exchange, client, rows):
    client.sync_clock()
    exchange.answers = [Answer(200, rows)]
    with pytest.raises(Retry, match="outside what was asked for"):
        newest(client, start_ms=CLOSE - 7 * HOUR, end_ms=CLOSE - 3 * HOUR, limit=2)


TOO_MANY = {"code": -1003, "msg": "Too many requests"}


class TestRateLimited:
    """When the exchange says stop, every program of the host stops, for as long as it says."""

    @pytest.fixture(autouse=True)
    def _still(self, exchange):
        exchange.freeze(CLOSE + 20_000)

    def ban_s(self, client):
        raw = json.loads(client._governor._path.read_bytes())
        return (raw["ban_until_ms"] - CLOSE) / 1000

    def test_429_with_a_time_to_wait(self, exchange, client, caplog):
        error = faulty(exchange, client, Answer(429, TOO_MANY, {"Retry-After": "300"}))
        assert "rate limit" in str(error)
        assert "HTTP 429; this host sends nothing until 2026-09-21T15:05:2" in caplog.text
        assert 319 < self.ban_s(client) < 325

    def test_429_without_one_waits_for_the_next_minute(self, exchange, client):
        faulty(exchange, client, Answer(429, TOO_MANY))
        assert self.ban_s(client) == 60

    def test_418_names_its_end(self, exchange, client, make_client):
        until = CLOSE + 2 * HOUR
        message = f"Way too much request weight used; IP banned until {until}. Please use the websocket."
        faulty(exchange, client, Answer(418, {"code": -1003, "msg": message}, {"Retry-After": "9"}))
        assert self.ban_s(client) == 7200
        sent = len(exchange.requests)
        for other in (client, make_client()):
            with pytest.raises(Retry, match="has banned this address until 2026-09-21T17:00:00Z") as raised:
                newest(other)
            assert 7170 < raised.value.after_s < 7200
        assert len(exchange.requests) == sent

    def test_418_that_names_no_end(self, exchange, client):
        faulty(exchange, client, Answer(418, {"code": -1003, "msg": "banned"}, {"Retry-After": "120"}))
        assert 139 < self.ban_s(client) < 145

    def test_418_that_says_nothing(self, exchange, client):
        faulty(exchange, client, Answer(418, ""))
        assert 79 < self.ban_s(client) < 85

    @pytest.mark.parametrize("status", [418, 429])
    @pytest.mark.parametrize("after_s", ["999999999999", "9" * 400, "9" * 5000])
    def test_an_absurd_time_to_wait_is_capped_at_three_days(self, exchange, client, status, after_s, caplog):
        faulty(exchange, client, Answer(status, TOO_MANY, {"Retry-After": after_s}))
        assert 3 * 86_400 <= self.ban_s(client) < 3 * 86_400 + 30
        assert "nothing until 2026-09-24T15:00:2" in caplog.text

    def test_418_for_ever_is_capped_at_three_days(self, exchange, client, caplog):
        message = "IP banned until 9999999999999."
        faulty(exchange, client, Answer(418, {"code": -1003, "msg": message}))
        assert 3 * 86_400 <= self.ban_s(client) < 3 * 86_400 + 30
        assert "nothing until 2026-09-24T15:00:2" in caplog.text

    def test_an_absurd_count_of_weight_costs_the_rest_of_the_minute(self, exchange, client):
        client.sync_clock()
        exchange.answers = [Answer(200, [], {"X-MBX-USED-WEIGHT-1M": "9" * 300})]
        assert newest(client).size == 0
        assert json.loads(client._governor._path.read_bytes())["used"] > client._governor.budget

    def test_the_firewall_is_left_alone_for_five_minutes(self, exchange, client):
        error = faulty(exchange, client, Answer(403, "<html>"))
        assert "firewall" in str(error)
        assert error.after_s == 300
        assert 319 < self.ban_s(client) < 325

    def test_a_program_that_starts_during_a_ban_sends_nothing(self, exchange, make_client):
        first = make_client()
        first.sync_clock()
        first._governor.ban(CLOSE + HOUR)
        sent = len(exchange.requests)
        with pytest.raises(Retry, match="banned"):
            make_client().exchange_info()
        assert len(exchange.requests) == sent


def test_waiting_for_the_limit_says_until_when_and_can_be_ended(exchange, make_client):
    exchange.freeze(CLOSE + 10_000)
    told = []

    def stop(until_ms):
        told.append(until_ms)
        raise Interrupted("told to stop")

    client = make_client(stop, weight_limit_per_min=20)
    for _ in range(9):
        newest(client)  # and one for the time
    with pytest.raises(Interrupted, match="told to stop"):
        newest(client)
    assert told == [CLOSE + MINUTE]
    assert exchange.used[CLOSE // MINUTE] == 10


def test_close_ends_a_wait(exchange, make_client):
    exchange.freeze(CLOSE + 10_000)
    waiting = threading.Event()
    client = make_client(lambda _: waiting.set(), weight_limit_per_min=4)
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(lambda: [newest(client) for _ in range(5)])
        assert waiting.wait(10)
        client.close()
        with pytest.raises(Interrupted):
            fetching.result(10)


def test_a_symbol_in_any_alphabet(exchange, client):
    exchange.symbols = [SYMBOL, {**SYMBOL, "symbol": "币安人生USDT"}]
    assert client.exchange_info().instruments["币安人生USDT"].tradable
    client.closed_candles("币安人生USDT", Timeframe.D1, start_ms=None, limit=1)
    assert exchange.requests[-1][1]["symbol"] == "币安人生USDT"


def test_on_a_fast_clock_a_slow_request_for_the_time_yields_no_forming_candle(tmp_path):
    """At 3,600 times real speed the 0.3 s until the exchange reads its clock are 18 minutes of its time."""

    def read_the_clock_late(served, connection):
        served.stopping.wait(0.3)
        body = json.dumps({"serverTime": served.now_ms()}).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with loopback_exchange(scale=3_600.0, weight_limit=1_000_000) as exchange:
        exchange.answers = [Answer(act=read_the_clock_late)]
        chosen = ExchangeSettings(rest_url=exchange.url, time_scale=3_600.0, close_grace_ms=0)
        client = MarketDataClient(chosen, tmp_path)
        client.sync_clock()
        for _ in range(30):
            assert client.clock.now_ms() <= exchange.now_ms()
            before_ms = exchange.now_ms()
            candles = client.closed_candles("BTCUSDT", Timeframe.M15, start_ms=None, limit=99)
            assert before_ms - 20 * HOUR < candles["timestamp"][-1] + Timeframe.M15.ms <= exchange.now_ms()
        client.close()


class TestScale:
    """A clock of another speed belongs to a simulator on this host, and must run as the setting says."""

    @pytest.mark.parametrize(
        "url",
        [
            "https://fapi.binance.com",
            "https://127.0.0.1.example.com",
            "http://10.0.0.5:8000",
            "http://localhost.example:80",
            "http://127.0.0.1@fapi.binance.com",
        ],
    )
    @pytest.mark.parametrize("scale", [60.0, 0.5])
    def test_no_other_speed_elsewhere(self, tmp_path, url, scale):
        chosen = ExchangeSettings(rest_url=url, time_scale=scale)
        said = rf"exchange\.time_scale {scale:g}: only a simulator .* {url}; set it to 1"
        with pytest.raises(Refuse, match=said):
            MarketDataClient(chosen, tmp_path / "exchange")
        assert not (tmp_path / "exchange").exists()

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "[::1]", "localhost", "LOCALHOST"])
    def test_any_speed_on_this_host(self, tmp_path, host):
        chosen = ExchangeSettings(rest_url=f"http://{host}:8000", time_scale=60.0)
        MarketDataClient(chosen, tmp_path / "exchange").close()

    def test_speed_one_anywhere(self, tmp_path):
        MarketDataClient(ExchangeSettings(), tmp_path / "exchange").close()

    @pytest.mark.parametrize(("told", "real"), [(600.0, 1.0), (600.0, 100.0), (20.0, 600.0)])
    def test_a_clock_of_another_speed_is_refused(self, tmp_path, told, real):
        with loopback_exchange(scale=real) as exchange:
            client = MarketDataClient(ExchangeSettings(rest_url=exchange.url, time_scale=told), tmp_path)
            for _ in range(3):
                client.sync_clock()
                exchange.stopping.wait(0.2)
            with pytest.raises(Refuse, match=rf"time_scale {told:g}: .* runs at .* correct the setting"):
                client.sync_clock()
            client.close()

    def test_it_is_asked_for_its_time_by_its_own_clock(self, tmp_path):
        with loopback_exchange(scale=1.0) as exchange:
            chosen = ExchangeSettings(rest_url=exchange.url, time_scale=3_000.0)  # a resync every 0.1 s
            client = MarketDataClient(chosen, tmp_path)

            def ask_for_five_seconds():
                for _ in range(100):
                    client.exchange_info()
                    exchange.stopping.wait(0.05)

            with pytest.raises(Refuse, match=r"exchange\.time_scale 3000"):
                ask_for_five_seconds()
            client.close()

    def test_neither_a_jump_nor_the_speed_that_was_told_is_refused(self, tmp_path):
        with loopback_exchange(scale=600.0, weight_limit=1_000_000) as exchange:
            client = MarketDataClient(ExchangeSettings(rest_url=exchange.url, time_scale=600.0), tmp_path)
            running = exchange.now_ms
            for jump_ms in (0, 0, 24 * HOUR, 24 * HOUR, 0, 0):
                exchange.now_ms = lambda jump_ms=jump_ms: running() + jump_ms
                client.sync_clock()
                exchange.stopping.wait(0.1)
            client.close()

    def test_at_speed_one_a_stopped_simulator_is_no_fault(self, exchange, client):
        exchange.freeze(CLOSE)
        for _ in range(3):
            client.sync_clock()
            exchange.stopping.wait(0.05)
        assert client.clock.now_ms() - CLOSE < 1_000
