"""Reading from the exchange under the host's limits: what every client of it has in common."""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from futures_agent.clock import MINUTE_MS, utc_text
from futures_agent.errors import Refuse, Retry, SkipSymbol
from futures_agent.exchange.clock import CLOCK_FILE, ExchangeClock
from futures_agent.exchange.governor import Pool, WeightGovernor
from futures_agent.exchange.outcome import Outcome
from futures_agent.exchange.payloads import decode_server_time
from futures_agent.exchange.transport import Reply, Transport
from futures_agent.settings.tree import ExchangeSettings

_log = logging.getLogger(__name__)
_TIME_PATH = "/fapi/v1/time"
_FIREWALL_PAUSE_MS = 5 * MINUTE_MS
_CLOCK_WRONG = -1021
_PACE_TOLERANCE = 2.0
_WRONG_PACES = 3
_BANNED_UNTIL = re.compile(r"banned until (\d{13})")


class ReadingClient:
    """Requests that only read, under the host's weight budget. Safe for concurrent threads.

    Every call sends at most one request for data, plus one to set the clock; none is repeated, so the
    caller decides how patient to be. Time-outs, 5xx and rate limits are `Retry`, whose `after_s` counts
    exchange time.

    Parameters
    ----------
    settings : ExchangeSettings
    state_dir : Path
        What the host's programs share about the exchange (`settings.paths.exchange_state`).
    live : bool
        Whether this is the live trader, whose share of the weight limit jobs leave alone.
    on_wait : callable, optional
        Called while waiting for the rate limit with the end of the wait (ms UTC, exchange time), about
        twice a second, from the waiting thread; what it raises ends the wait.
    longest_wait_s : float
        Host seconds that a request may wait for the rate limit; one that would wait longer is a `Retry`.
    clock : ExchangeClock, optional
        Of another client of this program, to be shared: what one learns of the time, all know.

    Attributes
    ----------
    clock : ExchangeClock
    requests, weight_used : int
        Requests sent by this client, and their weight.

    Raises
    ------
    Refuse
        BACKTEST_ISOLATED=1 is set, `exchange.time_scale` is not 1 though the exchange is no simulator on
        this host, or `state_dir` cannot be written.
    """

    def __init__(
        self,
        settings: ExchangeSettings,
        state_dir: Path,
        *,
        live: bool = False,
        on_wait: Callable[[int], None] | None = None,
        longest_wait_s: float = math.inf,
        clock: ExchangeClock | None = None,
    ) -> None:
        self._transport = Transport(settings)
        if settings.time_scale != 1 and not is_loopback(settings.rest_url):
            raise Refuse(
                f"exchange.time_scale {settings.time_scale:g}: only a simulator on this host has a clock of "
                f"another speed, and exchange.rest_url is {settings.rest_url}; set it to 1"
            )
        self._settings = settings
        self._clock_file = state_dir / CLOCK_FILE
        saved = clock or ExchangeClock.load(self._clock_file)
        self.clock = saved if saved.scale == settings.time_scale else ExchangeClock(settings.time_scale)
        share = settings.weight_share(live=live)
        self._governor = WeightGovernor(
            state_dir, settings.weight_limit_per_min, share, self.clock, on_wait=on_wait
        )
        self.requests = 0
        self.weight_used = 0
        self._longest_wait_s = longest_wait_s
        self._counting = threading.Lock()
        self._synced_mono: float | None = None
        self._wrong_paces = 0  # in a row
        self._sync_lock = threading.Lock()

    def sync_clock(self) -> None:
        """Ask the exchange for its time, and save the offset for programs that never ask.

        Raises
        ------
        Refuse
            The exchange's clock runs at another speed than `exchange.time_scale` says.
        """
        # Before first contact there is no minute to charge; then the request is charged afterwards.
        known = self.clock.known
        reply = self._send(_TIME_PATH, {}, 1, charge=known)
        raise_unless_ok(reply)
        server_ms = decode_server_time(reply.body, reply.url)
        self._require_pace(server_ms, reply)
        self.clock.sync(server_ms, reply.sent_mono, reply.received_mono)
        if not known:
            self._governor.settle(self._governor.reserve(1), reply.used_weight)
        self._synced_mono = reply.received_mono
        try:
            self.clock.save(self._clock_file)
        except Retry as error:  # a full disk: other programs go on with the offset they have
            _log.warning("%s", error)

    def close(self) -> None:
        """Close the connections and end every wait; calls still waiting raise Interrupted."""
        self._governor.close()
        self._transport.close()

    def _get(
        self, path: str, params: Mapping[str, Any], weight: int = 0, *, pool: Pool | None = None
    ) -> Reply:
        """Send one request, counted as `weight` or in `pool`; sets the clock first where that is due."""
        self._ensure_clock()
        reply = self._send(path, params, weight, pool=pool)
        if reply.code == _CLOCK_WRONG:
            self.sync_clock()
            reply = self._send(path, params, weight, pool=pool)
        return reply

    def _get_of_symbol(
        self, path: str, params: Mapping[str, Any], weight: int = 0, *, pool: Pool | None = None
    ) -> Reply:
        """Send one request about the symbol in `params`; the answer is data.

        Raises
        ------
        SkipSymbol
            The exchange refuses the request: it knows no such symbol, or serves it no longer.
        Retry, Refuse
            As `raise_unless_ok`.
        """
        reply = self._get(path, params, weight, pool=pool)
        # Whatever the code says: the same request about another symbol may well be answered.
        if reply.status == 400 and reply.outcome is Outcome.REJECTED and reply.code != _CLOCK_WRONG:
            raise SkipSymbol(params["symbol"], f"the exchange refuses it: {reply.message} ({reply.code})")
        raise_unless_ok(reply)
        return reply

    def _send(
        self,
        path: str,
        params: Mapping[str, Any],
        weight: int,
        *,
        pool: Pool | None = None,
        charge: bool = True,
    ) -> Reply:
        return self._counted(lambda: self._transport.get(path, params), weight, pool=pool, charge=charge)

    def _counted(
        self, send: Callable[[], Reply], weight: int, *, pool: Pool | None = None, charge: bool = True
    ) -> Reply:
        """Send one request by `send` once the host's limits let it pass, and learn from its answer."""
        if pool is not None:
            self._governor.draw(pool)
        reservation = None
        if charge and pool is None:
            reservation = self._governor.reserve(weight, longest_wait_s=self._longest_wait_s)
        used_weight = None
        self._count(weight)
        try:
            reply = send()
            used_weight = reply.used_weight
        finally:
            if reservation is not None:
                self._governor.settle(reservation, used_weight)
        self._obey(reply, pool)
        return reply

    def _count(self, weight: int) -> None:
        with self._counting:
            self.requests += 1
            self.weight_used += weight

    def _obey(self, reply: Reply, pool: Pool | None) -> None:
        """Keep every program of the host still where the answer demands it."""
        now_ms = self.clock.now_ms() + self.clock.uncertainty_ms
        told_ms = None if reply.retry_after_s is None else now_ms + 1000 * reply.retry_after_s
        if reply.status == 429 and pool is not None:  # the other endpoints are not concerned
            self._governor.exhaust(pool, told_ms)
            _log.warning("%s: HTTP 429; the limit for %s is used up", reply.url, pool.name)
            return
        if reply.status == 429:
            until_ms = told_ms or self._governor.next_window_ms()
        elif reply.status == 418:
            named = _BANNED_UNTIL.search(reply.message)
            until_ms = int(named.group(1)) if named else told_ms or now_ms + MINUTE_MS
        elif reply.status == 403:
            until_ms = now_ms + _FIREWALL_PAUSE_MS
        else:
            return
        ends_ms = self._governor.ban(until_ms)
        _log.warning(
            "%s: HTTP %d; this host sends nothing until %s", reply.url, reply.status, utc_text(ends_ms)
        )

    def _ensure_clock(self) -> None:
        if self._clock_is_fresh():
            return
        with self._sync_lock:
            if not self._clock_is_fresh():
                self.sync_clock()

    def _clock_is_fresh(self) -> bool:
        synced = self._synced_mono
        resync_s = self._settings.clock_resync_s / self.clock.scale
        return synced is not None and time.monotonic() - synced < resync_s

    def _require_pace(self, server_ms: int, reply: Reply) -> None:
        """Raise Refuse when a simulator's clock proves to run at another speed than the setting says.

        A jump of its clock contradicts the setting once, a wrong setting at every resync. At scale 1 nothing
        is required: a simulator may be stopped or stepped, and a host that slept is nobody's wrong setting.
        """
        scale = self.clock.scale
        if scale == 1 or self._synced_mono is None:
            return
        least, most = self.clock.pace(server_ms, reply.sent_mono, reply.received_mono)
        contradicts = most < scale / _PACE_TOLERANCE or least > scale * _PACE_TOLERANCE
        self._wrong_paces = self._wrong_paces + 1 if contradicts else 0
        if self._wrong_paces >= _WRONG_PACES:
            raise Refuse(
                f"exchange.time_scale {scale:g}: the clock of {self._settings.rest_url} runs at "
                f"{max(least, 0):.3g} to {most:.3g} times the speed of this host's; correct the setting"
            )


def is_loopback(url: str) -> bool:
    """Say whether `url` leads to this host: only a simulator's clock may jump or run at another speed."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # another name
        return False


def raise_unless_ok(reply: Reply) -> None:
    """Turn an answer that is no data into the error that names who must react."""
    if reply.outcome is Outcome.OK:
        return
    if not reply.status:
        raise Retry(f"{reply.url}: {reply.message}")
    said = f"HTTP {reply.status} {reply.message}".rstrip() + (f" ({reply.code})" if reply.code else "")
    if reply.status == 451:
        raise Refuse(f"{reply.url}: the exchange does not serve this host's country (HTTP 451)")
    if reply.status == 403:
        raise Retry(
            f"{reply.url}: the exchange's firewall turns this address away (HTTP 403); pausing 5 min",
            after_s=_FIREWALL_PAUSE_MS / 1000,
        )
    if reply.status in (418, 429):
        raise Retry(f"{reply.url}: rate limit: {said}; nothing is sent meanwhile")
    if reply.status == 404:
        raise Refuse(f"{reply.url}: no such path there ({said}); correct the setting exchange.rest_url")
    if reply.outcome is Outcome.REJECTED:
        raise Refuse(f"{reply.url}: the exchange refuses the request: {said}")
    raise Retry(f"{reply.url}: the exchange is in trouble: {said}; trying later may help")
