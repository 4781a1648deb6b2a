"""Slippage: how much worse than the market's price an order at market fills."""

from __future__ import annotations

import math
from typing import Any

from futures_agent.clock import HOUR_MS
from futures_agent.compiled import kernel


@kernel
def slippage_share(terms: Any, quantity: float, volume: float) -> float:
    """Return the slippage of an order at market, as a share of the price: half the spread + impact.

    The impact grows with the square root of the order's share in the volume of an average hour (Almgren et
    al. 2005, "Direct estimation of equity market impact"; Tóth et al. 2011, "Anomalous price impact and the
    critical nature of liquidity in financial markets"; for bitcoin Donier and Bonart 2015). An order
    of an hour's volume or more pays all of `terms.impact`, and so does one in a market without volume.

    Parameters
    ----------
    terms : record with half_spread, impact (shares of the price) and timeframe_ms
    quantity : float
        Base units, > 0.
    volume : float
        Of the last closed bar, base units, ≥ 0.
    """
    hourly = volume * HOUR_MS / terms.timeframe_ms
    participation = quantity / hourly if hourly > quantity else 1.0
    return terms.half_spread + terms.impact * math.sqrt(participation)  # type: ignore[no-any-return]
