"""Knowing when the clients have nothing left to do, so that a standing clock may be stepped."""

from __future__ import annotations

import asyncio

from futures_agent.simulator.streams.hub import StreamHub

_PAUSE_S = 0.001


class NotQuiet(Exception):
    """Somebody was still busy when the time was over; the text says who."""


async def wait_until_quiet(hub: StreamHub, *, within_s: float, settle_s: float = 0.0) -> None:
    """Wait until every client has got every event and asks for nothing.

    Quiet means: all events up to the venue's present are sent, none is held back, no request is in flight,
    each connected client has answered two pings, one after the other, that were sent after its last event,
    and for `settle_s` more nothing happened. Libraries may answer the first before they have handed on what
    they read with it. A pong says that the client's library has read the events, not that the program behind
    it has dealt with them: one that thinks before it asks needs `settle_s`.

    Parameters
    ----------
    within_s, settle_s : float
        Host seconds.

    Raises
    ------
    NotQuiet
        `within_s` are over.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while True:
        await hub.catch_up()
        before = hub.activity
        silent = await _unanswered(hub, end - loop.time()) or await _unanswered(hub, end - loop.time())
        if not silent and settle_s:
            await asyncio.sleep(min(settle_s, max(end - loop.time(), 0.0)))
        if not silent and not hub.in_flight and not hub.waiting and hub.activity == before:
            return
        if loop.time() >= end:
            held = f", {hub.waiting} events held back" if hub.waiting else ""
            pings = f", no pong from {', '.join(silent)}" if silent else ""
            raise NotQuiet(
                f"not quiet within {within_s:g} s: {hub.in_flight} requests in flight{held}{pings}"
            )
        await asyncio.sleep(_PAUSE_S)


async def _unanswered(hub: StreamHub, within_s: float) -> list[str]:
    """Ping every client; return the addresses of those that do not answer."""
    sent = [(connection.probe(), connection.peer) for connection in hub.connections]
    peers = {probe: peer for probe, peer in sent if probe is not None}
    if not peers:
        return []
    _, late = await asyncio.wait(peers, timeout=max(within_s, 0.0))
    return sorted(peers[probe] for probe in late)
