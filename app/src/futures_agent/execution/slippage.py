"""Slippage: how much worse than the market's price an order at market fills."""

from __future__ import annotations

import math
from typing import Any

from futures_agent.clock import HOUR_MS
from futures_agent.compiled import kernel

MAX_SLIPPAGE = 0.5


@kernel
def slippage_share(terms: Any, quantity: float, volume: float) -> float:
    """Return the slippage of an order at market, as a share of the price: half the spread + impact.

    The impact grows with the square root of the order's share in the volume of an average hour (Almgren et
    al. 2005, "Direct estimation of equity market impact"; Tóth et al. 2011, "Anomalous price impact and the
    critical nature of liquidity in financial markets"; for bitcoin Donier and Bonart 2015). An order
    of an hour's volume pays `terms.impact`, a larger one more, one in a market without volume as much.
    No fill is worse than half the price: beyond it the law says nothing, and a sale must not cost money.

    Parameters
    ----------
    terms : record with half_spread, impact (shares of the price) and timeframe_ms
    quantity : float
        Base units, > 0.
    volume : float
        Of the last closed bar, base units, ≥ 0.
    """
    hourly = volume * HOUR_MS / terms.timeframe_ms
    participation = quantity / hourly if hourly > 0 else 1.0
    return min(terms.half_spread + terms.impact * math.sqrt(participation), MAX_SLIPPAGE)  # type: ignore[no-any-return]
