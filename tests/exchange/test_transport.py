import contextlib
import gzip
import json
import socket
import threading

import pytest

from futures_agent.errors import Refuse, Retry
from futures_agent.exchange.client import MarketDataClient
from futures_agent.exchange.outcome import Outcome
from futures_agent.exchange.transport import Transport
from futures_agent.settings.tree import ExchangeSettings
from loopback_exchange import Answer, cut_short, reset_connection, stay_silent

TIME = "/fapi/v1/time"


def trickle(exchange, connection):
    """Send a byte whenever the read time-out is about to strike, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    with contextlib.suppress(OSError):
        while not exchange.stopping.wait(0.1):
            connection.sendall(b" ")


@pytest.fixture
def transport(exchange):
    made = Transport(ExchangeSettings(rest_url=exchange.url, read_timeout_s=0.3, connect_timeout_s=0.2))
    yield made
    made.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_an_answer_with_what_its_headers_say(exchange, transport):
    exchange.answers = [Answer(200, {"serverTime": 5}, {"Retry-After": "7", "x-mbx-used-weight-1m": "41"})]
    reply = transport.get(TIME)
    assert reply.url == exchange.url + TIME
    assert (reply.status, reply.body, reply.outcome) == (200, b'{"serverTime": 5}', Outcome.OK)
    assert reply.retry_after_s == 7
    assert reply.sent_mono <= reply.received_mono


@pytest.mark.parametrize("text", ["", "-3", "1.5", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_headers_that_are_no_whole_number_are_ignored(exchange, transport, text):
    exchange.answers = [Answer(200, {}, {"Retry-After": text, "X-MBX-USED-WEIGHT-1M": text})]
    reply = transport.get(TIME)
    assert reply.retry_after_s is None
    assert reply.used_weight is None


def test_a_compressed_answer(exchange, transport):
    body = json.dumps([[number] for number in range(20_000)]).encode()

    def send_compressed(_, connection):
        packed = gzip.compress(body)
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        connection.sendall(head.encode() + packed)

    exchange.answers = [Answer(act=send_compressed)]
    assert transport.get(TIME).body == body


def test_connections_are_used_again(exchange, transport):
    for _ in range(3):
        transport.get(TIME)
        exchange.answers = [Answer(503, {"code": -1001, "msg": "Internal error"})]
        transport.get(TIME)
    assert exchange.connections == 1


def test_parameters_arrive_as_given_in_any_alphabet(exchange, transport):
    transport.get("/fapi/v1/klines", {"symbol": "币安人生USDT", "interval": "1h", "limit": 5})
    assert exchange.requests == [
        ("/fapi/v1/klines", {"symbol": "币安人生USDT", "interval": "1h", "limit": "5"})
    ]


def test_a_trailing_slash_in_the_setting_does_no_harm(exchange):
    transport = Transport(ExchangeSettings(rest_url=exchange.url + "/"))
    assert transport.get(TIME).status == 200
    transport.close()


@pytest.mark.parametrize(
    ("status", "body", "code", "message", "outcome"),
    [
        (400, {"code": -1121, "msg": "Invalid symbol."}, -1121, "Invalid symbol.", Outcome.REJECTED),
        (503, {"code": -1008, "msg": "throttled"}, -1008, "throttled", Outcome.NOT_EXECUTED),
        (502, "<html>\n <b>bad gateway", None, "<html> <b>bad gateway", Outcome.NOT_EXECUTED),
        (503, "Service Unavailable.", None, "Service Unavailable.", Outcome.NOT_EXECUTED),
        (403, "", None, "", Outcome.NOT_EXECUTED),
        (418, {"code": "x"}, None, '{"code": "x"}', Outcome.NOT_EXECUTED),
        (500, "é" * 500, None, "é" * 60, Outcome.NOT_EXECUTED),
    ],
)
def test_errors_are_read_and_classified_never_repeated(
    exchange, transport, status, body, code, message, outcome
):
    exchange.answers = [Answer(status, body)]
    reply = transport.get(TIME)
    assert (reply.status, reply.code, reply.message, reply.outcome) == (status, code, message, outcome)
    assert len(exchange.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, "<html>nginx</html>"),
        Answer(404, {"detail": "Not Found"}),
        Answer(400, "The plain HTTP request was sent to HTTPS port"),
        Answer(405, ""),
        Answer(200, "<!doctype html><title>Welcome</title>"),
        Answer(302, "", {"Location": "https://elsewhere.example/"}),
    ],
)
def test_whoever_else_answers_the_setting_is_named(exchange, transport, answer):
    exchange.answers = [answer]
    with pytest.raises(Refuse, match=rf"{exchange.url}{TIME}: HTTP {answer.status}.*exchange\.rest_url"):
        transport.get(TIME)
    assert len(exchange.requests) == 1


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (stay_silent, r"no whole answer in time \(exchange\.read_timeout_s 0\.3\); check the network"),
        (reset_connection, r"connection lost \(ConnectionError\); check the network and exchange\.rest_url"),
        (cut_short, r"connection lost \(ProtocolError\); check the network"),
        (trickle, r"no whole answer in time"),
    ],
)
def test_a_broken_exchange_of_bytes_is_one_clear_line_and_one_request(exchange, transport, act, said):
    exchange.answers = [Answer(act=act)]
    with pytest.raises(Retry, match=f"{exchange.url}{TIME}: {said}"):
        transport.get(TIME)
    assert len(exchange.requests) == 1


def test_nobody_listens():
    url = f"http://127.0.0.1:{free_port()}"
    transport = Transport(ExchangeSettings(rest_url=url))
    with pytest.raises(Retry, match=rf"{url}{TIME}: connection refused; .*exchange\.rest_url"):
        transport.get(TIME)


def test_a_name_that_does_not_resolve():
    transport = Transport(ExchangeSettings(rest_url="http://no-such-host.invalid"))
    with pytest.raises(Retry, match=r"cannot be resolved; check DNS and exchange\.rest_url"):
        transport.get(TIME)


def test_tls_towards_a_plain_server(exchange):
    transport = Transport(ExchangeSettings(rest_url=exchange.url.replace("http:", "https:")))
    with pytest.raises(Retry, match="TLS failed"):
        transport.get(TIME)


def test_an_impossible_address():
    transport = Transport(ExchangeSettings(rest_url="http://127.0.0.1:port"))
    with pytest.raises(Refuse, match=r"exchange\.rest_url"):
        transport.get(TIME)


def test_no_connection_in_time():
    with socket.socket() as full:  # a backlog nobody accepts from
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        filler = [socket.socket() for _ in range(4)]
        for one in filler:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        transport = Transport(ExchangeSettings(rest_url=url, connect_timeout_s=0.2, read_timeout_s=0.2))
        with pytest.raises(Retry, match=r"within 0\.2 s"):
            transport.get(TIME)
        for one in filler:
            one.close()


def test_each_thread_has_its_own_connections(transport):
    sessions = []

    def look():
        sessions.append(transport._session())
        assert transport._session() is sessions[-1]

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(session) for session in sessions}) == 3


class TestIsolation:
    """BACKTEST_ISOLATED=1: no door to the exchange can be built."""

    @pytest.fixture(autouse=True)
    def _isolated(self, monkeypatch):
        monkeypatch.setenv("BACKTEST_ISOLATED", "1")

    def test_no_transport(self):
        with pytest.raises(Refuse, match="BACKTEST_ISOLATED=1: this process must not talk to the exchange"):
            Transport(ExchangeSettings())

    def test_no_client_and_nothing_left_on_disk(self, tmp_path):
        with pytest.raises(Refuse, match="BACKTEST_ISOLATED=1"):
            MarketDataClient(ExchangeSettings(), tmp_path / "exchange")
        assert not (tmp_path / "exchange").exists()

    def test_a_transport_that_skips_the_check_cannot_send(self, exchange):
        with pytest.raises(AttributeError):
            Transport.__new__(Transport).get(TIME)
        assert exchange.requests == []

    @pytest.mark.parametrize("value", ["0", ""])
    def test_other_values_do_not_isolate(self, monkeypatch, value):
        monkeypatch.setenv("BACKTEST_ISOLATED", value)
        Transport(ExchangeSettings()).close()
