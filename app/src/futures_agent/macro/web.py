"""Asking a public data service: bounded waits, a bounded pace, and no secret in anything that is said."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple

import requests
import urllib3

from futures_agent.errors import Interrupted, Refuse, Retry
from futures_agent.exchange.deadline import DeadlineAdapter

_WINDOW_S = 60.0
_LONGEST_BODY = 32 * 1024 * 1024
_CHUNK_BYTES = 65_536


class Answer(NamedTuple):
    """An answer that has a body worth reading: 200, or a refusal with a reason (400)."""

    status: int
    body: bytes


class WebSource:
    """One service. Safe for concurrent threads.

    Parameters
    ----------
    base_url : str
    setting : str
        The setting that holds `base_url`, named when the address is wrong.
    timeouts_s : (float, float)
        To connect, and between two pieces of an answer; a whole answer may take three times both.
    requests_per_min : int
        At most so many requests in any minute.
    on_wait : callable
        Called about once a second while the pace makes a request wait.
    """

    def __init__(
        self,
        base_url: str,
        setting: str,
        *,
        timeouts_s: tuple[float, float],
        requests_per_min: int,
        on_wait: Callable[[], None],
    ) -> None:
        self._base = base_url.rstrip("/")
        self._setting = setting
        self._timeouts_s = timeouts_s
        self._per_min = requests_per_min
        self._on_wait = on_wait
        self._sent: deque[float] = deque()
        self._counting = threading.Lock()
        self._closed = threading.Event()

    def get(self, path: str, params: Mapping[str, str]) -> Answer:
        """Send one GET. Its parameters, which may hold a key, appear in no error.

        Raises
        ------
        Retry
            No answer, too many requests, or a fault of the service.
        Refuse
            What answers is not the service.
        Interrupted
            `close` was called meanwhile.
        """
        url = self._base + path
        self._keep_pace()
        try:
            with (
                self._session() as session,
                session.get(
                    url, params=dict(params), timeout=self._timeouts_s, allow_redirects=False, stream=True
                ) as response,
            ):
                status, body = response.status_code, self._body(response)
                retry_after = response.headers.get("Retry-After", "")
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # Only the kind of the error: its text holds the whole URL.
            raise Retry(
                f"{url}: no answer ({type(error).__name__}); check the network and {self._setting}"
            ) from None
        if status in (200, 400):
            return Answer(status, body)
        if status == 429:
            after_s = float(retry_after) if retry_after.isdecimal() else None
            raise Retry(f"{url}: too many requests (HTTP 429)", after_s=after_s)
        if status >= 500 or status in (403, 408):
            raise Retry(f"{url}: the service is in trouble (HTTP {status})")
        raise Refuse(f"{url}: HTTP {status}, not an answer of the service; check {self._setting}")

    def _session(self) -> requests.Session:
        """A connection for one answer: requests are too few and far between to keep one."""
        session = requests.Session()
        session.mount("https://", adapter := DeadlineAdapter(3 * sum(self._timeouts_s)))
        session.mount("http://", adapter)
        return session

    def close(self) -> None:
        """End every wait; calls still waiting raise Interrupted."""
        self._closed.set()

    def _keep_pace(self) -> None:
        while (wait_s := self._count()) > 0:
            self._on_wait()
            if self._closed.wait(min(1.0, wait_s)):
                raise Interrupted("stopped while keeping a data service's pace")

    def _count(self) -> float:
        """Count one request and return 0, or return how many seconds until another is allowed."""
        with self._counting:
            now = time.monotonic()
            while self._sent and self._sent[0] <= now - _WINDOW_S:
                self._sent.popleft()
            if len(self._sent) >= self._per_min:
                return self._sent[0] + _WINDOW_S - now
            self._sent.append(now)
            return 0.0

    def _body(self, response: requests.Response) -> bytes:
        """Return the body if it is not absurdly long."""
        parts, size = [], 0
        while part := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > _LONGEST_BODY:
                raise requests.exceptions.ReadTimeout("the answer has no end")
        return b"".join(parts)
