"""One HTTP request to the exchange and its answer, classified. It never tries again by itself.

A query that gets no answer is an error, as asking again is always safe. A request that changes something and
gets none is an answer too, the most important one: nobody knows what became of it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode
from weakref import WeakSet

import msgspec
import requests
import urllib3

from futures_agent.errors import Refuse, Retry
from futures_agent.exchange.deadline import DeadlineAdapter
from futures_agent.exchange.outcome import Outcome, classify
from futures_agent.settings.tree import ExchangeSettings

ISOLATION_VARIABLE = "BACKTEST_ISOLATED"
# Answers of gateways and firewalls in front of the exchange; every other 4xx of its own carries a code.
_STATUSES_WITHOUT_CODE = frozenset({403, 408, 418, 429, 451})
_WHOLE_ANSWER_TIMEOUTS = 3  # times both time-outs: no request takes longer, its answer included
_MOST_DIGITS = 12
_STRANGE = "not an answer of the exchange"
_CHECK = "check the network and exchange.rest_url"
KEY_HEADER = "X-MBX-APIKEY"
USED_WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"


class Reply(NamedTuple):
    """An answer of the exchange, or of a request that changes something, that there was none."""

    url: str  # without parameters: those of a signed request are nobody's business
    status: int  # 0: no answer
    headers: Mapping[str, str]  # case-insensitive
    body: bytes
    code: int | None  # of an error body
    message: str  # of an error body; the body's start when it is no error object; why there is no answer
    outcome: Outcome
    sent_mono: float  # `time.monotonic()` just before sending
    received_mono: float  # and with the whole body in hand

    @property
    def used_weight(self) -> int | None:
        """Weight that the exchange has counted for this address in its current minute."""
        return _whole_number(self.headers.get(USED_WEIGHT_HEADER))

    @property
    def retry_after_s(self) -> int | None:
        """Seconds the exchange wants us to keep still, where it says so."""
        return _whole_number(self.headers.get("Retry-After"))


class _ErrorBody(msgspec.Struct):
    code: int
    msg: str = ""


class Transport:
    """HTTP to the exchange: one connection pool per thread, no retries, bounded waits.

    This is the only door to the exchange, so it is where a backtest's isolation is enforced.

    Raises
    ------
    Refuse
        The process runs with BACKTEST_ISOLATED=1.
    """

    def __init__(self, settings: ExchangeSettings) -> None:
        if os.environ.get(ISOLATION_VARIABLE) == "1":
            raise Refuse(f"{ISOLATION_VARIABLE}=1: this process must not talk to the exchange")
        self._base = settings.rest_url.rstrip("/")
        self._timeouts_s = (settings.connect_timeout_s, settings.read_timeout_s)
        self._local = threading.local()
        self._sessions: WeakSet[requests.Session] = WeakSet()

    def get(self, path: str, params: Mapping[str, Any] | str = "", *, key: str | None = None) -> Reply:
        """Send one GET and return its answer, whatever its status.

        Parameters
        ----------
        path : str
            Such as `/fapi/v1/time`.
        params : mapping or str, optional
            Sent in this order; values are turned into text. A text is sent as it is.
        key : str, optional
            API key.

        Raises
        ------
        Retry
            No answer: cannot connect, time-out, connection lost.
        Refuse
            What answers is not the exchange.
        """
        url = self._base + path
        sent_mono = time.monotonic()
        try:
            response, body = self._exchange(
                "GET", url, params if isinstance(params, str) else urlencode(params), key
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise self._no_answer(url, error) from None
        reply = _reply(url, response, body, sent_mono, mutation=False)
        if _is_strange(reply):
            raise Refuse(
                f"{url}: HTTP {reply.status}, not an answer of the exchange; check exchange.rest_url"
            )
        return reply

    def change(
        self, method: Literal["POST", "PUT", "DELETE"], path: str, query: str, *, key: str | None = None
    ) -> Reply:
        """Send one request that changes something and return what became of it; never an error.

        Its outcome is NOT_EXECUTED where it certainly was not sent, as no connection could be made, and
        UNKNOWN where it was sent, or may have been, and no answer of the exchange came.

        Parameters
        ----------
        method, path : str
        query : str
            Sent as it is: what is signed are its bytes.
        key : str, optional
            API key.
        """
        url = self._base + path
        sent_mono = time.monotonic()
        try:
            response, body = self._exchange(method, url, query, key)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            outcome = Outcome.NOT_EXECUTED if _was_not_sent(error) else Outcome.UNKNOWN
            why = str(self._no_answer(url, error)).removeprefix(f"{url}: ")
            return Reply(url, 0, {}, b"", None, why, outcome, sent_mono, time.monotonic())
        reply = _reply(url, response, body, sent_mono, mutation=True)
        if _is_strange(reply):
            return reply._replace(message=f"HTTP {reply.status}, {_STRANGE}", outcome=Outcome.UNKNOWN)
        return reply

    def close(self) -> None:
        """Close every thread's connections; answers that are still coming count as lost."""
        for session in list(self._sessions):
            session.close()

    def _exchange(
        self, method: str, url: str, query: str, key: str | None
    ) -> tuple[requests.Response, bytes]:
        with self._session().request(
            method,
            url,
            params=query,
            headers=None if key is None else {KEY_HEADER: key},
            timeout=self._timeouts_s,
            allow_redirects=False,
            stream=True,
        ) as response:
            return response, response.raw.read(decode_content=True)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            # Whether to send again depends on the outcome; neither requests nor urllib3 can know it.
            adapter = DeadlineAdapter(_WHOLE_ANSWER_TIMEOUTS * sum(self._timeouts_s))
            session.mount("https://", adapter)
            session.mount("http://", adapter)
            self._local.session = session
            self._sessions.add(session)
        return session

    def _no_answer(self, url: str, error: Exception) -> Retry | Refuse:
        connect_s, read_s = self._timeouts_s
        cause = error.args[0] if error.args else error
        reason = str(getattr(cause, "reason", cause))  # without urllib3's account of its retries
        if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
            return Refuse(f"{url}: not a usable address: {reason}; check exchange.rest_url")
        if isinstance(error, requests.exceptions.ConnectTimeout):
            return Retry(f"{url}: no connection within {connect_s:g} s; {_CHECK}")
        if isinstance(error, requests.exceptions.SSLError):
            return Retry(f"{url}: TLS failed: {reason}; check the host's clock and certificates")
        if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.ReadTimeoutError):
            return Retry(
                f"{url}: no whole answer in time (exchange.read_timeout_s {read_s:g}); check the network"
            )
        if "Failed to resolve" in reason:
            return Retry(f"{url}: the host name cannot be resolved; check DNS and exchange.rest_url")
        if "Connection refused" in reason:
            return Retry(f"{url}: connection refused; {_CHECK}")
        return Retry(f"{url}: connection lost ({type(error).__name__}); {_CHECK}")


def _reply(url: str, response: requests.Response, body: bytes, sent_mono: float, *, mutation: bool) -> Reply:
    received_mono = time.monotonic()
    status = response.status_code
    code, message = _error_of(status, body)
    outcome = classify(status, code, message, mutation=mutation)
    return Reply(url, status, response.headers, body, code, message, outcome, sent_mono, received_mono)


def _is_strange(reply: Reply) -> bool:
    """Say whether somebody else than the exchange, or its gateways, has answered."""
    return (
        300 <= reply.status < 400
        or (reply.status == 200 and reply.body.lstrip()[:1] == b"<")
        or (400 <= reply.status < 500 and reply.code is None and reply.status not in _STATUSES_WITHOUT_CODE)
    )


def _was_not_sent(error: Exception) -> bool:
    """Say whether a request certainly never left: there was no connection to send it through."""
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(
        error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema
    ) or isinstance(cause, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)


def _error_of(status: int, body: bytes) -> tuple[int | None, str]:
    """Return (code, message) of an error body; (None, start of the text) of any other."""
    if status == 200:
        return None, ""
    try:
        error = msgspec.json.decode(body, type=_ErrorBody)
    except msgspec.DecodeError:
        return None, " ".join(body[:120].decode("utf-8", "replace").split())
    return error.code, error.msg


def _whole_number(text: str | None) -> int | None:
    """Return the number a header tells; one too long to make sense becomes the largest that does."""
    if text is None or not text.isdecimal():
        return None
    return int(text) if len(text) <= _MOST_DIGITS else 10**_MOST_DIGITS - 1
