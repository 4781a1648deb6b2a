"""Request weight: fixed windows of one venue minute per client address, refusals and bans.

Some endpoints have a window and a count of their own, which a limiter of the same kind keeps.

Source: the exchange's limits page. Weight is counted per address and clock minute; going over it is
answered with 429, and a client that goes on regardless is banned (418), the longer the more often.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from futures_agent.clock import DAY_MS, MINUTE_MS, SECOND_MS

FIRST_BAN_MS = 2 * MINUTE_MS
LONGEST_BAN_MS = 3 * DAY_MS
KEPT_WINDOWS = 10_000


@dataclass(frozen=True)
class Verdict:
    """What the limiter says about one request.

    Attributes
    ----------
    used : int
        Weight of this address in the current window, this request included.
    status : int
        200, 429 or 418.
    retry_after_s : int
        Venue seconds until the next request can succeed; 0 when admitted.
    banned_until_ms : int
        End of the ban (ms UTC); 0 without one.
    """

    used: int
    status: int = 200
    retry_after_s: int = 0
    banned_until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """Weight that one address used in one window of venue time."""

    client: str
    start_ms: int
    weight: int


@dataclass
class _Account:
    window: int = -1
    used: int = 0
    refused: int = 0  # 429 answers within the window
    bans: int = 0
    banned_until_ms: int = 0


@dataclass
class WeightLimiter:
    """Counts weight per client address.

    Parameters
    ----------
    limit : int
        Weight allowed per address and window.
    tolerated_refusals : int
        So many 429 answers in one window are forgiven (requests already under way when the first one
        arrives); the next request bans the address.
    window_ms : int
        Length of a window; it begins at a multiple of itself.
    """

    limit: int
    tolerated_refusals: int = 10
    window_ms: int = MINUTE_MS
    _accounts: dict[str, _Account] = field(default_factory=dict)
    _past: deque[Window] = field(default_factory=lambda: deque(maxlen=KEPT_WINDOWS))

    def admit(self, client: str, weight: int, now_ms: int) -> Verdict:
        """Count one request of `weight` made at `now_ms` (ms UTC) and say whether it may pass."""
        if banned := self.ban(client, now_ms):
            return banned
        account = self._account_at(client, now_ms)
        account.used += weight
        if account.used <= self.limit:
            return Verdict(account.used)
        account.refused += 1
        if account.refused <= self.tolerated_refusals:
            window_end = (account.window + 1) * self.window_ms
            return Verdict(account.used, 429, retry_after_s=_seconds_up(window_end - now_ms))
        account.banned_until_ms = now_ms + min(FIRST_BAN_MS << account.bans, LONGEST_BAN_MS)
        account.bans = min(account.bans + 1, 16)
        return self._ban_verdict(account, now_ms)

    def exhaust(self, client: str, now_ms: int) -> Verdict:
        """Count as much weight as refuses a request made at `now_ms`, and all until the window ends."""
        return self.admit(client, self.limit + 1, now_ms)

    def ban(self, client: str, now_ms: int) -> Verdict | None:
        """Return the refusal of an address that is banned at `now_ms`, None for all others."""
        account = self._account_at(client, now_ms)
        return self._ban_verdict(account, now_ms) if now_ms < account.banned_until_ms else None

    def windows(self) -> list[Window]:
        """Return every window in which an address used weight, oldest first, the running ones last."""
        running = [
            Window(client, account.window * self.window_ms, account.used)
            for client, account in self._accounts.items()
            if account.used
        ]
        return [*self._past, *running]

    def forget(self) -> None:
        """Lift every ban and forget all weight."""
        self._accounts.clear()
        self._past.clear()

    def _account_at(self, client: str, now_ms: int) -> _Account:
        account = self._accounts.setdefault(client, _Account())
        window = now_ms // self.window_ms
        if window != account.window:
            if account.used:
                self._past.append(Window(client, account.window * self.window_ms, account.used))
            account.window, account.used, account.refused = window, 0, 0
        return account

    @staticmethod
    def _ban_verdict(account: _Account, now_ms: int) -> Verdict:
        until = account.banned_until_ms
        return Verdict(account.used, 418, _seconds_up(until - now_ms), until)


def _seconds_up(duration_ms: int) -> int:
    return -(-duration_ms // SECOND_MS)
