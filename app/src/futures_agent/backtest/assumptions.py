"""The fill and cost rules of a simulation, in the words a reader of its result needs."""

from __future__ import annotations

from futures_agent.execution.margin import MAINTENANCE_MARGIN
from futures_agent.settings.tree import CostSettings, RiskSettings, Settings

_FILL_RULES = (
    "A strategy decides when a bar closes and is filled at the open of the next bar.",
    "An entry is sized by the close and the equity at its decision; before a hole in the candles it lapses.",
    "Stop and target are measured from the fill, rounded to the tick, and can be hit in the entry bar.",
    "A bar that opens beyond a stop or a target fills it at the open.",
    "When one bar touches both, the finer timeframe decides; where it cannot or has a hole, the stop counts.",
    "One position per symbol, all in one account; an opposite entry reverses it.",
    "Quantities are rounded down to the contract's step; entries below the exchange's minimum are refused.",
    "Positions still open at the end are closed at the last close (exit reason END).",
)


def assumptions_of(settings: Settings) -> tuple[str, ...]:
    """Return the rules a run under `settings` follows, one sentence each."""
    return (*_FILL_RULES, *_risk_rules(settings.risk), *_cost_rules(settings.costs))


def _risk_rules(risk: RiskSettings) -> tuple[str, ...]:
    if risk.fixed_notional > 0:
        sizing = f"Each entry has a notional of {risk.fixed_notional:g}."
    else:
        sizing = f"Each entry risks {100 * risk.risk_per_trade:g} % of equity between fill and stop."
    margin = f"Margin is isolated: 1/{risk.max_leverage:g} of the notional at entry"
    return (
        sizing,
        f"At most {risk.max_positions} positions and {risk.max_leverage:g}x leverage over all of them.",
        f"{margin}, liquidated at {100 * MAINTENANCE_MARGIN:g} % of the notional unless a stop comes first.",
    )


def _cost_rules(costs: CostSettings) -> tuple[str, ...]:
    funding = (
        "Funding is paid at the recorded times and rates by positions held before them; "
        f"where no rate was recorded, longs and shorts alike pay {costs.funding_fallback_bps:g} bps per 8 h."
    )
    return (
        f"Fees: {costs.taker_fee_bps:g} bps at market or by a stop, {costs.maker_fee_bps:g} bps at a target.",
        f"Slippage: {costs.slippage_bps:g} bps against each fill at market or by a stop.",
        funding if costs.funding else "Funding is not charged.",
    )
