"""Connections by the address of their client, so that one can be torn instead of closed."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol

Address = tuple[str, int]
_LINGER_NOT = struct.pack("ii", 1, 0)  # closing discards what is unsent and answers with a reset


class Connections:
    """The open connections of one server; WebSockets are among them."""

    def __init__(self) -> None:
        self._transports: WeakValueDictionary[Address, asyncio.Transport] = WeakValueDictionary()

    def protocol(self) -> type[H11Protocol]:
        """Return the protocol for the server, which notes every connection here."""
        from uvicorn.protocols.http.h11_impl import H11Protocol

        transports = self._transports

        class NotedProtocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                if self.client is not None:
                    transports[self.client] = transport

        return NotedProtocol

    def reset(self, client: Address) -> bool:
        """Tear the connection of `client` by a TCP reset; return whether there was one."""
        transport: Any = self._transports.get(client)
        if transport is None or transport.is_closing():
            return False
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()
        return True
