"""The exchange's grids: prices on the tick, quantities on the step, and what is too small to trade."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from futures_agent.compiled import kernel
from futures_agent.market.instrument import Instrument

# Filters of one symbol for kernels. A grid is units/scale, both whole numbers (0.0005 = 5/10000): n grid
# steps are n·units/scale, one correctly rounded division, so that a rounded price is the very float that
# parsing the exchange's decimal text gives, and comparing it with a candle's price is exact.
RULES = np.dtype(
    [
        ("tick_units", np.float64),
        ("tick_scale", np.float64),
        ("step_units", np.float64),
        ("step_scale", np.float64),
        ("min_quantity", np.float64),
        ("max_quantity", np.float64),
        ("min_notional", np.float64),
        ("liquidation_fee", np.float64),
    ]
)

_STEP_TOLERANCE = 1e-9  # of one step: a quantity computed a rounding error below a step is on it


def rules_of(instruments: Sequence[Instrument]) -> NDArray[np.void]:
    """Return the filters of `instruments` as RULES records, in their order."""
    rules = np.zeros(len(instruments), RULES)
    for rule, instrument in zip(rules, instruments, strict=True):
        rule["tick_units"], rule["tick_scale"] = _fraction(instrument.tick_size)
        rule["step_units"], rule["step_scale"] = _fraction(instrument.step_size)
        for name in ("min_quantity", "min_notional", "liquidation_fee"):
            rule[name] = getattr(instrument, name)
        rule["max_quantity"] = instrument.max_quantity or np.inf  # the exchange writes 0 for "no limit"
    return rules


@kernel
def round_to_tick(price: float, rules: Any) -> float:
    """Return `price` on the nearest tick, ties up; unchanged where there is no tick."""
    if rules.tick_units <= 0:
        return price
    ticks = math.floor(price * rules.tick_scale / rules.tick_units + 0.5)
    return ticks * rules.tick_units / rules.tick_scale  # type: ignore[no-any-return]


@kernel
def floor_to_step(quantity: float, rules: Any) -> float:
    """Return the largest tradable quantity not above `quantity`, base units ≥ 0."""
    if rules.step_units <= 0:
        return quantity
    steps = math.floor(quantity * rules.step_scale / rules.step_units + _STEP_TOLERANCE)
    return steps * rules.step_units / rules.step_scale  # type: ignore[no-any-return]


def _fraction(size: float) -> tuple[float, float]:
    """Return (units, scale) of a decimal grid such as 0.0005 → (5, 10000); (0, 1) where there is none."""
    if size <= 0:
        return 0.0, 1.0
    scale = 10 ** max(0, -int(Decimal(repr(size)).normalize().as_tuple().exponent))
    return float(Decimal(repr(size)) * scale), float(scale)
