"""Opening a WebSocket, and saying in one line why one ended."""

from __future__ import annotations

import logging

from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect

from futures_agent.exchange.reading import is_loopback

_OPEN_S, _CLOSE_S = 10.0, 2.0
_PING_S = 20.0  # how often the other side is asked for a sign of life, and how long it may take
_MOST_WAITING = 4096  # messages that wait to be read; then the exchange waits
# The library tells whole addresses when it debugs, and those of user data are secrets.
_quiet = logging.getLogger(f"{__name__}.frames")
_quiet.setLevel(logging.WARNING)


class Lost(Exception):
    """A connection is given up; the text says why."""


def open_socket(url: str) -> ClientConnection:
    """Return a connection to `url`, which ends by itself when the other side is not there any more.

    Raises
    ------
    OSError, WebSocketException
        There is none; `reason_of` tells why.
    """
    connecting = connect(
        url,
        compression=None,
        max_queue=_MOST_WAITING,
        open_timeout=_OPEN_S,
        close_timeout=_CLOSE_S,
        ping_interval=_PING_S,
        ping_timeout=_PING_S,
        proxy=None if is_loopback(url) else True,
        logger=_quiet,
    )
    return connecting.__enter__()  # whoever reads it closes it, perhaps after its successor was opened


def reason_of(error: Exception) -> str:
    """Return why a connection ended or could not be made, without its address."""
    if isinstance(error, ConnectionClosed):
        frame = error.rcvd or error.sent
        return "the connection broke" if frame is None else f"closed: {frame.code} {frame.reason}".rstrip()
    if isinstance(error, InvalidStatus):
        return f"no WebSocket there: HTTP {error.response.status_code}"
    if isinstance(error, InvalidURI):
        return "not a usable address; check exchange.stream_url"
    if isinstance(error, TimeoutError):
        return f"no connection within {_OPEN_S:g} s"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__ if isinstance(error, WebSocketException) else str(error)
