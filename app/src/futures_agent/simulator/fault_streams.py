"""Faults of streams: messages that do not come, come twice, late or in another order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta

from futures_agent.simulator.fault_plan import FaultPlan, Spell
from futures_agent.simulator.faults import KLINES
from futures_agent.simulator.streams.feed import Message


class StreamFault(Spell, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tamper with messages of streams.

    Attributes
    ----------
    how : str
        The message is `event dropped`; `event repeated` at once, and again `delay_ms` later; `event late`
        by that much; `events swapped`: sent after the next message of the stream that is of another kind.
        `close missing` and `close late` do so to the closing messages of candles alone.
    stream, event, key : str
        Only messages of that stream (such as btcusdt@kline_1h), of that kind (such as
        ORDER_TRADE_UPDATE), of the user data of that API key; empty for all.
    delay_ms : int
        Venue time.
    """

    how: Literal[
        "event dropped", "event repeated", "event late", "events swapped", "close missing", "close late"
    ]
    stream: str = ""
    event: str = ""
    key: str = ""
    delay_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 1_000

    def hits(self, message: Message, key_of: Callable[[str], str]) -> bool:
        """Say whether a message is an occasion; `key_of` as in `Tampering`."""
        return (
            self.stream in ("", message.stream)
            and self.event in ("", message.event)
            and (not self.key or key_of(message.stream) == self.key)
            and (message.final or not self.how.startswith("close"))
        )


class CandlesMissing(Spell, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Candles of `symbol` that opened in [first_ms, last_ms] are nowhere: an outage of the exchange."""

    how: Literal["candles missing"] = "candles missing"
    count: Annotated[int, Meta(ge=1)] | None = None
    symbol: str
    first_ms: int
    last_ms: int

    def hits(self, path: str, params: dict[str, str]) -> bool:
        """Say whether a request may show the candles."""
        return path == KLINES and params.get("symbol") == self.symbol

    def hides(self, body: bytes) -> bool:
        """Say whether the rows of `body` tell one of them."""
        return any(self._is_missing(row[0]) for row in json.loads(body))

    def without(self, body: bytes) -> bytes:
        """Return the rows of `body` without them."""
        rows = [row for row in json.loads(body) if not self._is_missing(row[0])]
        return json.dumps(rows, separators=(",", ":")).encode()

    def silences(self, message: Message) -> bool:
        """Say whether a message of a stream tells one of them."""
        if message.event != "kline" or not message.stream.startswith(f"{self.symbol.lower()}@"):
            return False
        return self._is_missing(json.loads(message.body)["k"]["t"])

    def _is_missing(self, open_ms: Any) -> bool:
        return self.first_ms <= int(open_ms) <= self.last_ms


class Tampering:
    """What becomes of each message under the faults of a plan; see `StreamHub.tamper`.

    Parameters
    ----------
    plan : FaultPlan
    key_of : callable
        API key of a listen key; empty for other streams.
    """

    def __init__(self, plan: FaultPlan, key_of: Callable[[str], str]) -> None:
        self._plan = plan
        self._key_of = key_of
        # By stream: the kind that waits until another one has passed, and its messages in their order.
        self._held: dict[str, tuple[str, list[Message]]] = {}

    def __call__(self, message: Message, now_ms: int) -> Iterator[tuple[int, Message]]:
        """Yield what is sent, and when (venue time, ms UTC)."""
        if self._plan.engage(CandlesMissing, now_ms, lambda each: each.silences(message)):
            return
        held = self._held.get(message.stream)
        if held is not None and held[0] == message.event:
            held[1].append(message)  # messages of one kind never overtake each other
            return
        yield from self._sent(message, now_ms)
        if held is not None:
            del self._held[message.stream]
            for each in held[1]:
                yield now_ms, each

    def _sent(self, message: Message, now_ms: int) -> Iterator[tuple[int, Message]]:
        def applies(fault: StreamFault) -> bool:
            if fault.how == "events swapped" and message.stream in self._held:
                return False  # this one is what another waits for
            return fault.hits(message, self._key_of)

        fault = self._plan.engage(StreamFault, now_ms, applies)
        if fault is None:
            yield now_ms, message
        elif fault.how == "event repeated":
            yield now_ms, message
            yield now_ms + fault.delay_ms, message
        elif fault.how in ("event late", "close late"):
            yield now_ms + fault.delay_ms, message
        elif fault.how == "events swapped":
            self._held[message.stream] = (message.event, [message])
