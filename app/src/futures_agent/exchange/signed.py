"""Requests of an account: signed, stamped with exchange time, under the limits of host and account."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from futures_agent.clock import MINUTE_MS, SECOND_MS
from futures_agent.errors import AgentError, Refuse
from futures_agent.exchange.governor import Pool
from futures_agent.exchange.order_limits import OrderLimits
from futures_agent.exchange.outcome import Outcome
from futures_agent.exchange.reading import ReadingClient, raise_unless_ok
from futures_agent.exchange.signing import Signer, Value
from futures_agent.exchange.transport import Reply
from futures_agent.settings.tree import ExchangeSettings

_log = logging.getLogger(__name__)
Method = Literal["POST", "PUT", "DELETE"]
_LONGEST_RECV_WINDOW_MS = 60_000
# Both say that the request was too old or too early, and therefore was not carried out.
_WRONG_TIMES = frozenset({-1021, -5028})
_TOO_MANY_ORDERS = -1015
_KEY_FAULTS = frozenset({-1022, -2014, -2015})


class SignedClient(ReadingClient):
    """Requests of the account of one API key, with the live trader's share of the weight.

    None waits for the limits of host or account longer than the read time-out.

    Parameters
    ----------
    settings, state_dir
        As of `ReadingClient`.
    signer : Signer

    Attributes
    ----------
    orders : OrderLimits
    """

    def __init__(self, settings: ExchangeSettings, state_dir: Path, signer: Signer) -> None:
        super().__init__(settings, state_dir, live=True, longest_wait_s=settings.read_timeout_s)
        self._signer = signer
        self.orders = OrderLimits(self.clock)
        # Against a fast clock the window is that long in host time, as far as the exchange goes along.
        window_ms = int(settings.recv_window_ms * max(1.0, settings.time_scale))
        self._window_ms = max(settings.recv_window_ms, min(window_ms, _LONGEST_RECV_WINDOW_MS))

    def read(self, path: str, params: Mapping[str, Value], weight: int) -> Reply:
        """Send one signed GET; once more where the clock was wrong.

        Raises
        ------
        Retry
            No answer, or a host-wide limit.
        """
        self._ensure_clock()
        reply = self._read_once(path, params, weight)
        if reply.code in _WRONG_TIMES:
            self.sync_clock()
            reply = self._read_once(path, params, weight)
        return reply

    def data(self, path: str, params: Mapping[str, Value], weight: int) -> Reply:
        """Send one signed GET whose answer must be data.

        Raises
        ------
        Refuse
            The exchange refuses the request, or the key.
        Retry
            No answer, a limit, or a fault of the exchange.
        """
        reply = self.read(path, params, weight)
        raise_if_key_fails(reply)
        raise_unless_ok(reply)
        return reply

    def change(
        self, method: Method, path: str, params: Mapping[str, Value], weight: int, *, order: bool = False
    ) -> Reply:
        """Send one signed request that changes something and return what became of it; never an error.

        It is sent once, and once more, with a new timestamp, where the exchange found the first too old or
        too early: that one was not carried out. Waits for limits no longer than the read time-out.

        Parameters
        ----------
        method, path, params
        weight : int
        order : bool
            Whether it counts as an order.
        """
        try:
            if self._synced_mono is None:  # later on only a wrong time is worth the wait
                self._ensure_clock()
            reply = self._change_once(method, path, params, weight, order)
            if reply.code in _WRONG_TIMES:
                self.sync_clock()
                reply = self._change_once(method, path, params, weight, order)
        except AgentError as error:  # raised before anything was sent, or after it certainly did nothing
            now_mono = time.monotonic()
            return Reply(path, 0, {}, b"", None, str(error), Outcome.NOT_EXECUTED, now_mono, now_mono)
        if reply.code in _WRONG_TIMES:
            return reply._replace(outcome=Outcome.NOT_EXECUTED)
        return reply

    def keyed(self, method: Method, path: str, weight: int) -> Reply:
        """Send one request that needs the key and no signature; it may be sent again at will.

        Raises
        ------
        Refuse, Retry
            As `data`.
        """
        reply = self._counted(lambda: self._transport.change(method, path, "", key=self._signer.key), weight)
        raise_if_key_fails(reply)
        raise_unless_ok(reply)
        return reply

    def keep_clock(self) -> None:
        """Ask the exchange for its time where that is due (Retry: no answer)."""
        self._ensure_clock()

    def close(self) -> None:
        self.orders.close()
        super().close()

    def _read_once(self, path: str, params: Mapping[str, Value], weight: int) -> Reply:
        return self._counted(
            lambda: self._transport.get(path, self._stamped(params), key=self._signer.key), weight
        )

    def _change_once(
        self, method: Method, path: str, params: Mapping[str, Value], weight: int, order: bool
    ) -> Reply:
        if order:
            self.orders.take(self._longest_wait_s)
        reservation = self._governor.reserve(weight, longest_wait_s=self._longest_wait_s)
        self._count(weight)
        reply = self._transport.change(method, path, self._stamped(params), key=self._signer.key)
        try:
            self._governor.settle(reservation, reply.used_weight)
            self._obey(reply, None)
        except AgentError as error:  # what became of the request matters more
            _log.warning("%s", error)
        return reply

    def _stamped(self, params: Mapping[str, Value]) -> str:
        """Return the signed query; made at the last moment, as waiting for limits makes it old."""
        return self._signer.signed(
            {**params, "recvWindow": self._window_ms, "timestamp": self.clock.now_ms()}
        )

    def _obey(self, reply: Reply, pool: Pool | None) -> None:
        if (
            reply.code == _TOO_MANY_ORDERS
        ):  # the account's limit: other programs of the host are not concerned
            per_minute = reply.message.rstrip(".").upper().endswith("MINUTE")
            self.orders.pause(MINUTE_MS if per_minute else 10 * SECOND_MS)
            _log.warning("%s: HTTP %d: %s", reply.url, reply.status, reply.message)
            return
        super()._obey(reply, pool)


def raise_if_key_fails(reply: Reply) -> None:
    """Raise Refuse where the exchange does not accept key or signature."""
    if reply.code in _KEY_FAULTS or reply.status == 401:
        raise Refuse(
            f"{reply.url}: the exchange does not accept the API key: {reply.message} ({reply.code}); check "
            "key and secret, its list of addresses, that it may trade futures, that it is of this exchange"
        )
