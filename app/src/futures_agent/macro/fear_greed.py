"""The Crypto Fear & Greed Index of alternative.me: 0 (extreme fear) to 100 (extreme greed), one value a day.

Source: https://alternative.me/crypto/fear-and-greed-index/ (its terms ask for attribution).
"""

from __future__ import annotations

import msgspec

from futures_agent.clock import DAY_MS
from futures_agent.errors import Refuse, Retry
from futures_agent.macro.web import WebSource
from futures_agent.market.observation import Observation, day_text

SOURCE = "Fear & Greed"
SERIES = "FEAR_GREED"


class _Value(msgspec.Struct):
    value: str
    timestamp: str  # 00:00 UTC of the day, in seconds


class _Index(msgspec.Struct):
    data: list[_Value]


def fear_greed(web: WebSource, days: int) -> list[Observation]:
    """Return the newest `days` values, oldest first.

    Raises
    ------
    Retry
        No answer, a limit, or an answer that is not right in every row.
    """
    answer = web.get("/fng/", {"limit": str(days), "format": "json"})
    if answer.status != 200:
        raise Refuse("the Fear & Greed Index refuses the request (HTTP 400)")
    try:
        rows = msgspec.json.decode(answer.body, type=_Index).data
        found = [Observation(day_text(int(row.timestamp) * 1000), float(row.value), None) for row in rows]
        whole_days = all(int(row.timestamp) * 1000 % DAY_MS == 0 for row in rows)
    except (msgspec.DecodeError, ValueError, OverflowError, OSError) as error:
        raise Retry(f"Fear & Greed Index: the answer cannot be read: {error}; not used") from None
    if not whole_days or not all(0 <= one.value <= 100 for one in found):
        raise Retry("Fear & Greed Index: a value is not one of 0 to 100 for a day; not used")
    return sorted(found)
