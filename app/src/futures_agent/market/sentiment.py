"""What the exchange publishes about the market's mood: funding payments and positioning statistics."""

from __future__ import annotations

from enum import Enum

import numpy as np

from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS

# A funding payment: when (ms UTC), the rate that longs paid shorts, the mark price it was charged on
# (NaN where the exchange told none).
FUNDING_PAYMENT = np.dtype([("timestamp", np.int64), ("rate", np.float64), ("mark_price", np.float64)])

# Lengths of the periods for which statistics are published, in ms.
PERIODS_MS = {
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
}


class Statistic(Enum):
    """A statistic of one symbol, one row per period. The value is the name it has at the exchange."""

    OPEN_INTEREST = "openInterestHist"
    LONG_SHORT = "globalLongShortAccountRatio"
    TOP_LONG_SHORT_ACCOUNTS = "topLongShortAccountRatio"
    TOP_LONG_SHORT_POSITIONS = "topLongShortPositionRatio"
    TAKER_VOLUME = "takerlongshortRatio"

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its values, as the `sentimento_mercado` table has them."""
        return _COLUMNS[self]

    @property
    def dtype(self) -> np.dtype[np.void]:
        """Records of `timestamp` (start of the period, ms UTC) and the values."""
        return np.dtype([("timestamp", np.int64), *((name, np.float64) for name in self.columns)])


_COLUMNS = {
    Statistic.OPEN_INTEREST: ("open_interest", "open_interest_value"),  # base units; quote units
    Statistic.LONG_SHORT: ("long_short_ratio",),  # accounts that are long : short
    Statistic.TOP_LONG_SHORT_ACCOUNTS: ("top_long_short_account_ratio",),  # of the top 20 % by margin
    Statistic.TOP_LONG_SHORT_POSITIONS: ("top_long_short_position_ratio",),
    Statistic.TAKER_VOLUME: ("taker_buy_sell_ratio", "taker_buy_volume", "taker_sell_volume"),  # base units
}
