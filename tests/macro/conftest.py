"""A public data service on loopback, answering what a test tells it to."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from futures_agent.macro.web import WebSource


class Service:
    """`answers` are (status, body, headers), taken in turn, the last one for ever; status None hangs up."""

    def __init__(self):
        self.answers = [(200, b"{}", {})]
        self.requests = []
        self.url = ""

    def will_answer(self, *answers):
        self.answers = [(*answer, {})[:3] for answer in answers]

    def next(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        parts = urlsplit(self.path)
        service = self.server.service
        service.requests.append((parts.path, {k: v[-1] for k, v in parse_qs(parts.query).items()}))
        status, body, headers = service.next()
        if status is None:  # hang up
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):  # noqa: A002
        pass


@pytest.fixture
def service():
    served = Service()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.service = served
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield served
    server.shutdown()
    server.server_close()


@pytest.fixture
def make_web(service):
    made = []

    def make(url=None, requests_per_min=100, on_wait=lambda: None, timeouts_s=(1.0, 1.0)):
        web = WebSource(
            url or service.url,
            "macro.fred_url",
            timeouts_s=timeouts_s,
            requests_per_min=requests_per_min,
            on_wait=on_wait,
        )
        made.append(web)
        return web

    yield make
    for web in made:
        web.close()
