"""How many orders an account has sent: fixed windows of ten seconds and of one minute of venue time.

Source: the exchange's limits page. Unlike request weight, which counts per address, these counts belong to
the account, whatever key or address its orders come from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from futures_agent.clock import MINUTE_MS, SECOND_MS
from futures_agent.simulator.refusal import refusal


@dataclass(frozen=True)
class _Window:
    name: str
    text: str
    length_ms: int


_WINDOWS = (
    _Window("10S", "TEN_SECONDS", 10 * SECOND_MS),
    _Window("1M", "MINUTE", MINUTE_MS),
)


@dataclass
class OrderCounts:
    """Counts orders per account.

    Parameters
    ----------
    limit_10s, limit_1m : int
        Orders allowed per account and window.
    """

    limit_10s: int = 300
    limit_1m: int = 1200
    _used: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)

    def admit(self, account_id: int, orders: tuple[int, int], now_ms: int) -> dict[str, str]:
        """Count `orders` (in the window of ten seconds, in that of a minute) sent at `now_ms` (ms UTC).

        Returns
        -------
        dict
            The headers of the answer, should it be a good one.

        Raises
        ------
        VenueError
            -1015 (429) where one of the limits would be exceeded; nothing is counted then.
        """
        headers, counts = {}, {}
        for window, cost, limit in zip(_WINDOWS, orders, (self.limit_10s, self.limit_1m), strict=True):
            key, number = (account_id, window.name), now_ms // window.length_ms
            last, used = self._used.get(key, (number, 0))
            total = cost + (used if last == number else 0)
            if total > limit:
                raise refusal(-1015, limit, window.text)
            counts[key] = (number, total)
            headers[f"X-MBX-ORDER-COUNT-{window.name}"] = str(total)
        self._used.update(counts)
        return headers

    def forget(self) -> None:
        """Forget every order."""
        self._used.clear()
