"""One WebSocket connection of a client: frames, pings, limits, and its end."""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from futures_agent.clock import SECOND_MS
from futures_agent.simulator.streams.feed import Message
from futures_agent.simulator.streams.names import Route, parse_address
from futures_agent.simulator.streams.session import Session, TooManyStreams

if TYPE_CHECKING:
    from futures_agent.simulator.streams.hub import StreamHub

# A client that leaves more than this unread makes the venue wait, and is cut off after its patience.
_MOST_UNREAD = 4 * 2**20
_PROBE = b"quiet?"


class Connection(asyncio.Protocol):
    """A client's connection; uvicorn hands it over when a request asks for an upgrade.

    Attributes
    ----------
    session : Session, optional
        What it is subscribed to; None until the handshake is done.
    silent : bool
        Half-open: the connection stands, but nothing is sent or read any more.
    muted : bool
        It lives, but no message of a stream is sent any more.
    """

    def __init__(self, hub: StreamHub, server_connections: set[Any]) -> None:
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._server_connections = server_connections
        self._config = hub.config
        self._frames = ServerProtocol()
        self._transport: asyncio.Transport | None = None
        self._fragments: list[bytes] = []
        self._incoming: deque[tuple[int, float]] = deque(maxlen=self._config.incoming_per_s)
        self._probe: asyncio.Future[None] | None = None
        self._probes = 0
        self._pinged: tuple[int, float, bytes] | None = None  # venue ms, host s, payload
        self._next_ping_ms = 0
        self._opened_ms = 0
        self._readable = asyncio.Event()
        self._readable.set()
        self.session: Session | None = None
        self.silent = False
        self.muted = False
        self.peer = ""

    # What asyncio and uvicorn call.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_MOST_UNREAD)
        self._server_connections.add(self)
        host, port = (transport.get_extra_info("peername") or ("", 0))[:2]
        self.peer = f"{host}:{port}"

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_connections.discard(self)
        self._readable.set()
        self._answer_probe()
        self._hub.leave(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        if self.silent:
            return
        self._frames.receive_data(data)
        for event in self._frames.events_received():
            if isinstance(event, Request):
                self._shake_hands(event)
            elif isinstance(event, Frame):
                self._take(event)
        self._flush()

    def eof_received(self) -> None:
        self._frames.receive_eof()
        self._flush()

    def pause_writing(self) -> None:
        self._readable.clear()

    def resume_writing(self) -> None:
        self._readable.set()

    def shutdown(self) -> None:
        """End the connection because the server stops."""
        self._hub.leave(self)
        self._close_frame(CloseCode.SERVICE_RESTART, "")
        if self._transport is not None:
            if self._transport.get_write_buffer_size():
                self._transport.abort()
            else:
                self._transport.close()

    # What the hub calls.

    def send(self, message: Message) -> None:
        """Send a message of a stream."""
        session = self.session
        if session is None or self.muted or self._frames.state is not State.OPEN:
            return
        if session.combined:
            body = b'{"stream":"%b","data":%b}' % (message.stream.encode(), message.body)
        else:
            body = message.body
        self._frames.send_text(body)
        self._flush()

    def keep_alive(self, now_ms: int) -> None:
        """Ping when it is time; end the connection when it is too old or too long without a pong."""
        if self.session is None or self._frames.state is not State.OPEN or self.silent:
            return
        if now_ms - self._opened_ms >= self._config.longest_ms:
            self.close(CloseCode.GOING_AWAY, "24 hours are over")
        elif self._pinged is not None:
            venue_ms, host_s, _ = self._pinged
            patient = self._loop.time() - host_s < self._config.patience_s
            if now_ms - venue_ms >= self._config.pong_ms and not patient:
                self.close(CloseCode.POLICY_VIOLATION, "Pong timeout")
        elif now_ms >= self._next_ping_ms:
            payload = str(now_ms).encode()
            self._pinged = (now_ms, self._loop.time(), payload)
            self._next_ping_ms = now_ms + self._config.ping_ms
            self._frames.send_ping(payload)
            self._flush()

    def probe(self) -> asyncio.Future[None] | None:
        """Send a ping; return what is done once its pong, or the end of the connection, has come."""
        if self.session is None or self._frames.state is not State.OPEN or self.silent:
            return None
        self._answer_probe()
        self._probes += 1
        self._probe = self._loop.create_future()
        self._frames.send_ping(_PROBE + str(self._probes).encode())
        self._flush()
        return self._probe

    async def read(self) -> None:
        """Wait until the client has read enough; cut it off when it does not."""
        if not self._readable.is_set():
            try:
                await asyncio.wait_for(self._readable.wait(), self._config.patience_s)
            except TimeoutError:
                self.abort()

    def close(self, code: int, reason: str) -> None:
        """Say good-bye, and end the connection once the client has answered or its patience is over."""
        self._close_frame(code, reason)
        self._loop.call_later(self._config.patience_s, self.abort)

    def disturb(self, how: str) -> None:
        """Fail; see `StreamHub.disturb`."""
        if how == "closed":
            self.abort()
        elif how == "ended":
            self.close(CloseCode.GOING_AWAY, "24 hours are over")
        elif how == "silent":
            self.muted = True
        else:
            self.silent = True

    def abort(self) -> None:
        """End the connection abruptly."""
        if self._transport is not None:
            self._transport.abort()

    # Inside.

    def _shake_hands(self, request: Request) -> None:
        now_ms = self._hub.clock.now_ms()
        address = parse_address(request.path)
        if address is None:
            self._refuse(HTTPStatus.NOT_FOUND, f"no streams at {request.path}\n")
            return
        verdict = self._hub.connects.admit(self.peer.rpartition(":")[0], 1, now_ms)
        if verdict.status != HTTPStatus.OK:
            self._refuse(HTTPStatus(verdict.status), "too many connections\n")
            return
        response = self._frames.accept(request)
        if "Date" in response.headers:
            del response.headers["Date"]  # the host's date would contradict the venue's clock
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            try:
                self.session = Session(address, now_ms, self._config.most_streams)
            except TooManyStreams as error:
                self._refuse(HTTPStatus.BAD_REQUEST, f"{error}\n")
                return
        self._frames.send_response(response)
        if self.session is not None:
            self._opened_ms, self._next_ping_ms = now_ms, now_ms + self._config.ping_ms
            self._hub.enter(self, self.session)

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self._frames.send_response(self._frames.reject(status, text))

    def _take(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is Opcode.PONG and frame.data == _PROBE + str(self._probes).encode():
            self._answer_probe()  # asked for by the venue's clock, not by the exchange: it does not count
            return
        if opcode is Opcode.CLOSE:
            return
        if self._is_too_fast():
            self.close(CloseCode.POLICY_VIOLATION, "Too many requests")
        elif opcode is Opcode.PONG:
            if self._pinged is not None and frame.data == self._pinged[2]:
                self._pinged = None
        elif opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                text, self._fragments = b"".join(self._fragments), []
                self._command(text.decode(errors="replace"))

    def _command(self, text: str) -> None:
        if self.session is None or self._frames.state is not State.OPEN:
            return
        try:
            answer = self.session.reply(text, self._hub.clock.now_ms())
        except TooManyStreams as error:
            self.close(CloseCode.POLICY_VIOLATION, str(error))
            return
        self._hub.commanded()
        self._frames.send_text(answer.encode(errors="replace"))

    def _is_too_fast(self) -> bool:
        """Count an incoming frame; too many within a second of the venue's time and of the host's are.

        On a fast clock the venue's second is short, on a standing one it lasts for ever: neither is the
        client's fault.
        """
        now = (self._hub.clock.now_ms(), self._loop.time())
        full = len(self._incoming) == self._incoming.maxlen
        first_ms, first_s = self._incoming[0] if full else (0, 0.0)
        self._incoming.append(now)
        return full and now[0] - first_ms < SECOND_MS and now[1] - first_s < 1.0

    def _close_frame(self, code: int, reason: str) -> None:
        if self._frames.state is State.OPEN:
            self._frames.send_close(code, reason)
            self._flush()

    def _answer_probe(self) -> None:
        if self._probe is not None and not self._probe.done():
            self._probe.set_result(None)

    def _flush(self) -> None:
        for data in self._frames.data_to_send():
            if self._transport is None or self.silent or self._transport.is_closing():
                continue
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    @property
    def route(self) -> Route:
        """The part of the exchange that this connection reaches."""
        return Route.UNROUTED if self.session is None else self.session.route
