import contextlib
import gzip
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from futures_agent.errors import Refuse, Retry
from futures_agent.exchange.client import MarketDataClient
from futures_agent.exchange.outcome import Outcome
from futures_agent.exchange.signing import query_of
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


def trickle_headers(exchange, connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
    with contextlib.suppress(OSError):
        while not exchange.stopping.wait(0.1):
            connection.sendall(b"x")


def trickle_chunks(exchange, connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        while not exchange.stopping.wait(0.1):
            connection.sendall(b"1\r\nx\r\n")


@pytest.fixture
def transport(exchange):
    made = Transport(ExchangeSettings(rest_url=exchange.url, read_timeout_s=0.3, connect_timeout_s=0.2))
    yield made
    made.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def full_backlog():
    """Yield a port at which nobody accepts a connection, and nobody refuses one."""
    with contextlib.ExitStack() as opened:
        full = opened.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            filler = opened.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield full.getsockname()[1]


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
    ],
)
def test_a_broken_exchange_of_bytes_is_one_clear_line_and_one_request(exchange, transport, act, said):
    exchange.answers = [Answer(act=act)]
    with pytest.raises(Retry, match=f"{exchange.url}{TIME}: {said}"):
        transport.get(TIME)
    assert len(exchange.requests) == 1


@pytest.mark.parametrize("act", [trickle, trickle_headers, trickle_chunks])
def test_an_answer_that_trickles_has_an_end(exchange, transport, act):
    exchange.answers = [Answer(act=act)]
    began = time.monotonic()
    with pytest.raises(Retry, match=r"no whole answer in time \(exchange\.read_timeout_s 0\.3\)"):
        transport.get(TIME)
    assert time.monotonic() - began < 1.5 + 5  # three times both time-outs, and a busy machine
    assert transport.get(TIME).status == 200  # on a new connection
    assert exchange.connections == 2


def test_a_proxy_changes_nothing_about_it(exchange, monkeypatch):
    monkeypatch.setenv("http_proxy", exchange.url)
    exchange.answers = [Answer(act=trickle_headers)]
    transport = Transport(
        ExchangeSettings(rest_url="http://venue.example", read_timeout_s=0.3, connect_timeout_s=0.2)
    )
    with pytest.raises(Retry, match="no whole answer in time"):
        transport.get(TIME)
    assert transport.get(TIME).status == 200


def test_close_ends_an_answer_that_is_still_coming(exchange):
    transport = Transport(ExchangeSettings(rest_url=exchange.url, read_timeout_s=30.0))
    asked = threading.Event()

    def say_nothing(served, connection):
        asked.set()
        stay_silent(served, connection)

    exchange.answers = [Answer(act=say_nothing)]
    with ThreadPoolExecutor(1) as pool:
        getting = pool.submit(transport.get, TIME)
        assert asked.wait(5)
        while not getting.done():  # the answer may be waited for a moment later than it is asked for
            transport.close()
            exchange.stopping.wait(0.05)
        with pytest.raises(Retry, match="connection lost"):
            getting.result()


def test_an_answer_may_come_slowly_within_its_time(exchange, transport):
    def take_breath(served, connection):
        for part in (b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n", b"\r\n{", b"}"):
            served.stopping.wait(0.2)
            connection.sendall(part)

    exchange.answers = [Answer(act=take_breath)]
    assert transport.get(TIME).body == b"{}"


def test_each_request_has_a_time_of_its_own(exchange):
    transport = Transport(ExchangeSettings(rest_url=exchange.url, read_timeout_s=0.15, connect_timeout_s=0.1))
    assert transport.get(TIME).status == 200
    exchange.stopping.wait(0.8)  # longer than one request may take
    assert transport.get(TIME).status == 200
    assert exchange.connections == 1
    transport.close()


def test_many_addresses_that_do_not_answer_share_one_time(monkeypatch):
    with full_backlog() as port:
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        resolve = socket.getaddrinfo
        monkeypatch.setattr(
            "socket.getaddrinfo",
            lambda host, *rest, **options: (
                addresses * 200 if host == "many.example" else resolve(host, *rest, **options)
            ),
        )
        url = f"http://many.example:{port}"
        transport = Transport(ExchangeSettings(rest_url=url, connect_timeout_s=0.1, read_timeout_s=0.1))
        began = time.monotonic()
        with pytest.raises(Retry, match="no connection within"):
            transport.get(TIME)
        assert time.monotonic() - began < 10  # 20 s if each had its own


def test_the_next_address_is_tried(exchange, transport, monkeypatch):
    port = int(exchange.url.rpartition(":")[2])
    addresses = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")
    ]
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        "socket.getaddrinfo",
        lambda host, *rest, **options: (
            addresses if host == "two.example" else resolve(host, *rest, **options)
        ),
    )
    assert Transport(ExchangeSettings(rest_url=f"http://two.example:{port}")).get(TIME).status == 200


def test_nobody_listens():
    url = f"http://127.0.0.1:{free_port()}"
    transport = Transport(ExchangeSettings(rest_url=url))
    with pytest.raises(Retry, match=rf"{url}{TIME}: connection refused; .*exchange\.rest_url"):
        transport.get(TIME)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".example"])
def test_a_name_that_does_not_resolve(host):
    transport = Transport(ExchangeSettings(rest_url=f"http://{host}"))
    with pytest.raises(Retry, match=r"cannot be resolved; check DNS and exchange\.rest_url"):
        transport.get(TIME)


def test_tls_towards_a_plain_server(exchange):
    transport = Transport(ExchangeSettings(rest_url=exchange.url.replace("http:", "https:")))
    with pytest.raises(Retry, match="TLS failed"):
        transport.get(TIME)


@pytest.fixture
def secure_exchange(exchange, tmp_path, monkeypatch):
    """Serve the exchange's answers by TLS too, for the name `localhost`; yield the port."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = "openssl req -x509 -nodes -newkey rsa:2048 -days 1 -subj /CN=localhost"
    name = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [*request.split(), *name, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    with context.wrap_socket(listening.accept()[0], server_side=True) as connection:
                        connection.recv(10_000)
                        exchange.answers.pop(0).act(exchange, connection)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        yield listening.getsockname()[1]
        exchange.stopping.set()
        listening.shutdown(socket.SHUT_RDWR)
        server.join(5)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="making a certificate needs openssl")
def test_tls_is_checked_by_name_and_has_the_same_end(exchange, secure_exchange):
    def answer(_, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")

    exchange.answers = [Answer(act=answer), Answer(act=trickle_headers)]
    url = f"https://localhost:{secure_exchange}"
    transport = Transport(ExchangeSettings(rest_url=url, read_timeout_s=0.3, connect_timeout_s=0.7))
    assert transport.get(TIME).body == b"{}"
    began = time.monotonic()
    with pytest.raises(Retry, match="no whole answer in time"):
        transport.get(TIME)
    assert 2 < time.monotonic() - began < 3 + 5
    by_number = Transport(ExchangeSettings(rest_url=url.replace("localhost", "127.0.0.1")))
    with pytest.raises(Retry, match=r"TLS failed: .*IP address mismatch"):
        by_number.get(TIME)


def test_an_impossible_address():
    transport = Transport(ExchangeSettings(rest_url="http://127.0.0.1:port"))
    with pytest.raises(Refuse, match=r"exchange\.rest_url"):
        transport.get(TIME)


def test_no_connection_in_time():
    with full_backlog() as port:
        url = f"http://127.0.0.1:{port}"
        transport = Transport(ExchangeSettings(rest_url=url, connect_timeout_s=0.2, read_timeout_s=0.2))
        with pytest.raises(Retry, match=r"within 0\.2 s"):
            transport.get(TIME)


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


# Requests that change something.


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_what_is_signed_is_what_arrives(exchange, transport, method):
    query = query_of({"symbol": "币安人生USDT", "x": "a:b/c~d e&f=g", "quantity": Decimal("1e-05")})
    reply = transport.change(method, "/fapi/v1/time", query, key="my-key")
    assert (reply.status, reply.outcome) == (200, Outcome.OK)
    assert exchange.raw == [(method, f"/fapi/v1/time?{query}", "my-key", b"")]
    assert query not in reply.url


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (400, {"code": -2019, "msg": "Margin is insufficient."}, Outcome.REJECTED),
        (400, {"code": -1006, "msg": "unknown"}, Outcome.UNKNOWN),
        (400, {"code": -9999, "msg": "news"}, Outcome.UNKNOWN),
        (408, {"code": -1007, "msg": "Timeout"}, Outcome.UNKNOWN),
        (429, {"code": -1015, "msg": "Too many new orders"}, Outcome.NOT_EXECUTED),
        (503, {"code": -1008, "msg": "throttled"}, Outcome.NOT_EXECUTED),
        (503, {"code": -1000, "msg": "Unknown error, please check your request"}, Outcome.UNKNOWN),
        (502, "<html>bad gateway", Outcome.UNKNOWN),
        (403, "<html>firewall", Outcome.REJECTED),
        (200, "<html>Welcome", Outcome.UNKNOWN),
        (302, "", Outcome.UNKNOWN),
        (404, "<html>nginx", Outcome.UNKNOWN),
    ],
)
def test_outcomes_of_a_change(exchange, transport, status, body, outcome):
    exchange.answers = [Answer(status, body)]
    reply = transport.change("POST", TIME, "a=1")
    assert (reply.status, reply.outcome) == (status, outcome)
    assert len(exchange.requests) == 1


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (stay_silent, "no whole answer in time"),
        (reset_connection, "connection lost"),
        (cut_short, "connection lost"),
        (trickle, "no whole answer in time"),
    ],
)
def test_a_change_without_an_answer_is_unknown_and_sent_once(exchange, transport, act, said):
    exchange.answers = [Answer(act=act)]
    reply = transport.change("POST", TIME, "signature=abc")
    assert (reply.status, reply.outcome, reply.code, reply.body) == (0, Outcome.UNKNOWN, None, b"")
    assert reply.message.startswith(said)
    assert "abc" not in repr(reply)
    assert len(exchange.requests) == 1


def test_a_change_that_found_no_connection_was_not_executed():
    with full_backlog() as port:
        for url, said in (
            (f"http://127.0.0.1:{free_port()}", "connection refused"),
            (f"http://127.0.0.1:{port}", "no connection within 0.2 s"),
            ("http://no-such-host.invalid", "the host name cannot be resolved"),
        ):
            transport = Transport(ExchangeSettings(rest_url=url, connect_timeout_s=0.2))
            reply = transport.change("POST", TIME, "a=1")
            assert (reply.status, reply.outcome) == (0, Outcome.NOT_EXECUTED)
            assert reply.message.startswith(said)
            transport.close()


def test_a_connection_that_the_exchange_closes_under_a_change_is_unknown(exchange, transport):
    transport.get(TIME)  # the connection is used again

    def close_unread(_, connection):
        connection.shutdown(socket.SHUT_RDWR)

    exchange.answers = [Answer(act=close_unread)]
    assert transport.change("DELETE", TIME, "a=1").outcome is Outcome.UNKNOWN
    assert len(exchange.requests) == 2
