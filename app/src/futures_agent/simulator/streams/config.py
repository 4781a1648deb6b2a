"""Settings of the streams."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from futures_agent.clock import DAY_MS, MINUTE_MS

Share = Annotated[float, Meta(ge=0, le=1)]


class StreamsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often streams speak, and what they ask of their clients.

    Attributes
    ----------
    tick_ms : int
        Least venue time between two messages about a candle that forms, a book or a trade; 0 leaves
        them out, so that klines come when they are final and not before.
    tick_host_ms : float
        Least host time between them: on a fast clock they are thinned, closes never are.
    ping_ms, pong_ms, longest_ms : int
        Venue time between two pings, until a pong must have come, and after which a connection ends.
    incoming_per_s, most_streams : int
        What a connection may send within a second, and may be subscribed to.
    connects_per_5min : int
        Handshakes that an address may ask for; one that goes on regardless is banned.
    patience_s : float
        Host seconds that a client always has to answer a ping, to close, or to read what waits for it,
        however fast the venue's clock runs.
    answer_first : float
        Share of the user events that leave after the REST answer of the request that caused them.
    answer_first_ms : float
        By how much host time they do.
    """

    tick_ms: Annotated[int, Meta(ge=0)] = 250
    tick_host_ms: Annotated[float, Meta(gt=0)] = 250.0
    ping_ms: Annotated[int, Meta(gt=0)] = 3 * MINUTE_MS
    pong_ms: Annotated[int, Meta(gt=0)] = 10 * MINUTE_MS
    longest_ms: Annotated[int, Meta(gt=0)] = DAY_MS
    incoming_per_s: Annotated[int, Meta(gt=0)] = 10
    most_streams: Annotated[int, Meta(gt=0)] = 1024
    connects_per_5min: Annotated[int, Meta(gt=0)] = 300
    patience_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    answer_first: Share = 0.5
    answer_first_ms: Annotated[float, Meta(ge=0, le=10_000)] = 5.0
