"""HTTP whose whole answer has a deadline.

The read time-out of sockets starts anew with every byte, and a connection is tried with every address of a
host in turn: without an end for all of it together, a server that trickles keeps a program for hours.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from contextvars import ContextVar
from typing import Any, cast

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError


class DeadlineAdapter(HTTPAdapter):
    """Sends each request once; connecting, headers and body together end after `limit_s`.

    Only the resolver has time-outs of its own (resolv.conf). A request that takes longer fails as if its
    connect or read time-out had passed. For one thread, except that any may `close` it.

    Attributes
    ----------
    deadline_mono : float
        When the request being sent must have been answered, as `time.monotonic()`.
    answering : socket or None
        Where the newest answer comes from.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self.deadline_mono = float("inf")
        self.answering: socket.socket | None = None
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> PoolManager:
        manager = cast(PoolManager, super().proxy_manager_for(*args, **options))
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, *args: Any, **options: Any) -> Any:
        self.deadline_mono = time.monotonic() + self._limit_s
        _adapter.set(self)
        return super().send(*args, **options)

    def close(self) -> None:
        """Close the connections; an answer that is still coming counts as lost."""
        if self.answering is not None:
            with contextlib.suppress(OSError):  # already closed
                socket.socket.shutdown(self.answering, socket.SHUT_RDWR)
        super().close()


_adapter: ContextVar[DeadlineAdapter] = ContextVar("_adapter")  # through which this thread sends


class _BoundedReader(io.RawIOBase):
    """A socket's bytes, up to the deadline of the request that it was made for."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._read_timeout_s = sock.gettimeout() or float("inf")
        adapter = _adapter.get()
        adapter.answering = sock
        self._deadline_mono = adapter.deadline_mono

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._deadline_mono - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer trickles")
        self._sock.settimeout(min(self._read_timeout_s, left_s))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _BoundedResponse

    def _new_conn(self) -> socket.socket:
        """Connect to the first address of the host that answers before the deadline."""
        name, timeout = self._dns_host, self.timeout
        try:
            found = socket.getaddrinfo(name.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # the latter: a name that cannot be one
            raise NameResolutionError(self.host, self, socket.gaierror(str(error))) from error
        fault: Exception = NewConnectionError(self, f"{name} has no address")
        try:
            for *_, address in found:
                left_s = _adapter.get().deadline_mono - time.monotonic()
                if left_s <= 0:
                    raise ConnectTimeoutError(self, f"{name}: no address answers")
                self._dns_host, self.timeout = str(address[0]), min(timeout or left_s, left_s)
                try:
                    return super()._new_conn()
                except (ConnectTimeoutError, NewConnectionError) as error:
                    fault = error
            raise fault
        finally:
            self._dns_host, self.timeout = name, timeout  # TLS checks the certificate against the name


class _SecureConnection(HTTPSConnection, _Connection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}
