"""All connections of a venue: who gets which message, and the passing of time.

Nothing runs while nobody is connected. From the first connection to the end of the last one a task lets
the venue's time pass: the exchange advances, candles close, ticks come, connections are kept alive.
Everything here happens on the server's event loop.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.frames import CloseCode

from futures_agent.clock import MINUTE_MS
from futures_agent.simulator.clock import VenueClock
from futures_agent.simulator.streams.config import StreamsConfig
from futures_agent.simulator.streams.connection import Connection
from futures_agent.simulator.streams.feed import Feed, Message
from futures_agent.simulator.streams.names import Kind, Route, parse_stream
from futures_agent.simulator.streams.payloads import as_json
from futures_agent.simulator.streams.session import Session
from futures_agent.simulator.trading.account import Account
from futures_agent.simulator.weights import WeightLimiter

# After so many messages the venue lets its clients read.
_BATCH = 64
_LONGEST_WAIT_S = 1.0
_TOLERATED_CONNECTS = 10

# (message, now) → what becomes of it: when (venue time, ms UTC) which messages are sent.
Tamper = Callable[[Message, int], Iterable[tuple[int, Message]]]


class StreamHub:
    """The streams of one venue.

    Parameters
    ----------
    advance : callable
        Lets everything happen on the exchange up to a venue time (ms UTC).

    Attributes
    ----------
    connections : set of Connection
        Those whose handshake is done.
    tamper : callable, optional
        Where faults reach into the streams: asked about every message before it is sent.
    connects : WeightLimiter
        Counts handshakes by address.
    sent : Counter of event
        Messages made so far, whoever got them.
    activity : int
        Grows with every message, command and request: two equal values mean that nothing happened between.
    """

    def __init__(
        self,
        clock: VenueClock,
        feed: Feed,
        config: StreamsConfig,
        *,
        seed: int = 1,
        advance: Callable[[int], None] = lambda now_ms: None,
    ) -> None:
        self.clock = clock
        self.config = config
        self.connections: set[Connection] = set()
        self.tamper: Tamper | None = None
        self.connects = WeightLimiter(config.connects_per_5min, _TOLERATED_CONNECTS, 5 * MINUTE_MS)
        self.sent: Counter[str] = Counter()
        self.activity = 0
        self.in_flight = 0
        self._feed = feed
        self._advance = advance
        self._random = random.Random(seed)
        self._subscribers: dict[str, list[Connection]] = {}
        self._held: deque[Message] = deque()
        self._late: list[tuple[int, int, Message]] = []
        self._numbers = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._seen_ms = 0
        self._ticked_ms = 0
        self._ticked_s = 0.0
        clock.on_change(self._clock_changed)

    # Connections.

    def protocol(self) -> type[asyncio.Protocol]:
        """Return what the server makes a connection with when a request asks for a WebSocket."""

        def connect(*, config: Any, server_state: Any, app_state: Any) -> Connection:
            return Connection(self, server_state.connections)

        return cast(type[asyncio.Protocol], connect)

    def enter(self, connection: Connection, session: Session) -> None:
        """Take in a connection whose handshake is done."""
        self.connections.add(connection)
        self.commanded()
        if self._task is None:
            self._start()

    def leave(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        if connection in self.connections:
            self.connections.remove(connection)
            self.commanded()
        if not self.connections and self._task is not None:
            self._task.cancel()
            self._task = None

    def commanded(self) -> None:
        """Look again at who is subscribed to what."""
        self.activity += 1
        subscribers: dict[str, list[Connection]] = defaultdict(list)
        streams = {}
        for connection in self.connections:
            for name in connection.session.names if connection.session else ():
                stream = parse_stream(name)
                if stream is not None and stream.is_shown_on(connection.route):
                    streams[name] = stream
                    subscribers[name].append(connection)
                elif stream is None and connection.route is Route.PRIVATE:
                    subscribers[name].append(connection)  # perhaps a listen key
        self._subscribers = dict(subscribers)
        self._feed.listen(streams.values())

    def disturb(self, how: str, route: str = "") -> int:
        """Let the connections of a route (empty: of all) fail, and return how many there are.

        Parameters
        ----------
        how : str
            `closed` without a word; `ended` as after 24 hours; `silent`: no message is sent any more;
            `half-open`: nothing is sent or read.
        """
        disturbed = [each for each in self.connections if route in ("", each.route.value)]
        for connection in disturbed:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(connection.disturb, how)
        return len(disturbed)

    # Messages.

    def publish(self, message: Message) -> None:
        """Send a message to its subscribers, or let faults have their way with it."""
        if self.tamper is None:
            self._send(message)
            return
        now_ms = self.clock.now_ms()
        for at_ms, each in self.tamper(message, now_ms):
            if at_ms <= now_ms:
                self._send(each)
            else:
                heappush(self._late, (at_ms, next(self._numbers), each))
                self._wake.set()

    def on_event(self, account: Account, payload: dict[str, Any]) -> None:
        """Send an event of the user-data stream to whoever is connected with the account's listen key."""
        listen_key = payload.get("listenKey") or account.listen_key
        if not self.connections or not listen_key:
            return
        message = Message(listen_key, payload["e"], payload["E"], as_json(payload))
        self._on_loop(self._user_event, message)

    def on_market(self, payload: dict[str, Any]) -> None:
        """Send a public event that does not follow from candles: a liquidation, a contract's new state."""
        event = payload["e"]
        names = ["!contractInfo"]
        if event == Kind.FORCE_ORDER.value:
            names = [f"{payload['o']['s'].lower()}@forceOrder", "!forceOrder@arr"]
        for name in names:
            self._on_loop(self.publish, Message(name, event, payload["E"], as_json(payload)))

    def _on_loop(self, act: Callable[[Message], None], message: Message) -> None:
        if threading.get_ident() == self._thread:
            act(message)
        elif self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(act, message)

    def _user_event(self, message: Message) -> None:
        """Send now, or a little later so that the REST answer comes first; never out of order."""
        assert self._loop is not None
        if self._held or self._random.random() < self.config.answer_first:
            self.activity += 1
            if not self._held:
                self._loop.call_later(self.config.answer_first_ms / 1000, self._release)
            self._held.append(message)
        else:
            self.publish(message)

    def _release(self) -> None:
        while self._held:
            self.publish(self._held.popleft())

    def _send(self, message: Message) -> None:
        self.activity += 1
        self.sent[message.event] += 1
        for connection in self._subscribers.get(message.stream, ()):
            session = connection.session
            if session is None or (session.events and message.event not in session.events):
                continue
            # A candle that had closed when the client subscribed is history to it.
            if not (message.final and message.at_ms <= session.names.get(message.stream, 0)):
                connection.send(message)

    # Time.

    async def catch_up(self) -> None:
        """Let everything happen up to the venue's present."""
        async with self._turn:
            now_ms = self.clock.now_ms()
            if now_ms < self._seen_ms:  # the clock was set back
                self._seen_ms = self._ticked_ms = now_ms
            self._advance(now_ms)
            for number, message in enumerate(self._feed.closes(self._seen_ms, now_ms), 1):
                self.publish(message)
                if number % _BATCH == 0:
                    await self._let_read()
            self._seen_ms = now_ms
            if self._is_tick_due():
                await self._tick(now_ms)
            while self._late and self._late[0][0] <= now_ms:
                self._send(heappop(self._late)[2])
            for connection in list(self.connections):
                connection.keep_alive(now_ms)
            await self._let_read()

    async def _tick(self, now_ms: int) -> None:
        """Say what there is to say now, unless a candle closes meanwhile: what is left then is left out."""
        close_ms = self._feed.next_close_ms(now_ms)
        for number, message in enumerate(self._feed.ticks(self._ticked_ms, now_ms), 1):
            self.publish(message)
            if number % _BATCH == 0:
                await self._let_read()
            if close_ms is not None and self.clock.now_ms() >= close_ms:
                break
        self._ticked_ms, self._ticked_s = now_ms, asyncio.get_running_loop().time()

    async def _let_read(self) -> None:
        await asyncio.sleep(0)
        for connection in list(self.connections):
            await connection.read()

    def _is_tick_due(self) -> bool:
        waited_ms = (asyncio.get_running_loop().time() - self._ticked_s) * 1000
        # Timers are early by a hair.
        return self.clock.scale == 0 or waited_ms >= 0.99 * self.config.tick_host_ms

    def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._wake, self._turn = asyncio.Event(), asyncio.Lock()
        self._seen_ms = self._ticked_ms = self.clock.now_ms()
        self._ticked_s = self._loop.time()
        self._held.clear()
        self._late.clear()
        self._task = self._loop.create_task(self._pass_time(), name="streams")
        self._task.add_done_callback(self._ended)

    async def _pass_time(self) -> None:
        while True:
            self._wake.clear()
            await self.catch_up()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._wait_s())

    def _wait_s(self) -> float:
        """Return the host seconds until something is due."""
        scale, now_ms = self.clock.scale, self.clock.now_ms()
        if scale == 0:
            return _LONGEST_WAIT_S
        due = [self._feed.next_close_ms(self._seen_ms), self._late[0][0] if self._late else None]
        waits = [(at_ms - now_ms) / scale / 1000 for at_ms in due if at_ms is not None]
        tick_s = (self._feed.next_tick_ms(self._ticked_ms) - now_ms) / scale / 1000
        rest_s = self._ticked_s + self.config.tick_host_ms / 1000 - asyncio.get_running_loop().time()
        return max(0.0, min(_LONGEST_WAIT_S, max(tick_s, rest_s), *waits))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        for connection in list(self.connections):  # silence would hide it
            connection.close(CloseCode.INTERNAL_ERROR, type(error).__name__)
        task.get_loop().call_exception_handler({"message": "streams ended", "exception": error, "task": task})

    def _clock_changed(self) -> None:
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    # Quiet.

    def counting(self, app: ASGIApp) -> ASGIApp:
        """Return `app`, its requests counted while they are in flight; those of the control port are not."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"].startswith("/sim/"):
                await app(scope, receive, send)
                return
            self.in_flight += 1
            self.activity += 1
            try:
                await app(scope, receive, send)
            finally:
                self.in_flight -= 1
                self.activity += 1

        return counted

    @property
    def waiting(self) -> int:
        """Return how many user events are held back for a REST answer."""
        return len(self._held)
