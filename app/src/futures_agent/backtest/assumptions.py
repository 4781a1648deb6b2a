"""The assumptions of a simulation, for a reader of its result; all of them are in docs/assumptions.md."""

from __future__ import annotations

from futures_agent.execution.margin import MAINTENANCE_MARGIN
from futures_agent.settings.tree import CostSettings, RiskSettings, Settings

_FILL_RULES = (
    "A strategy decides when a bar closes and is filled at the open of the next bar.",
    "An entry is sized by the close and the equity at its decision; before a hole in the candles it lapses.",
    "Stop and target are measured from the fill, rounded to the tick, and can be hit in the entry bar.",
    "A stop is hit when touched; a bar that opens beyond it fills it at the open.",
    "A target fills when the price trades beyond it, not when it is touched, and at its own price.",
    "When one bar reaches both, the finer timeframe decides; where it cannot or has a hole, the stop counts.",
    "One position per symbol, all in one account; an opposite entry reverses it, a refused one closes it.",
    "Quantities are rounded down to the contract's step; entries below the exchange's minimum are refused.",
    "Positions still open at the end are closed at the last close (exit reason END).",
    "Those of a symbol whose candles end earlier are closed at its own last close (DATA_ENDED).",
)


def assumptions_of(settings: Settings) -> tuple[str, ...]:
    """Return the rules a run under `settings` follows, one sentence each."""
    return (*_FILL_RULES, *_risk_rules(settings.risk), *_cost_rules(settings.costs))


def _risk_rules(risk: RiskSettings) -> tuple[str, ...]:
    if risk.fixed_notional > 0:
        sizing = f"Each entry has a notional of {risk.fixed_notional:g}."
    else:
        sizing = f"Each entry risks {_percent(risk.risk_per_trade)} of equity between fill and stop."
    leverage = f"Leverage at most {risk.max_leverage:g}x over all positions"
    alike = f"No entry that correlates by {risk.correlation_limit:g} over {risk.correlation_bars} bars"
    margin = f"Margin is isolated: 1/{risk.max_leverage:g} of the notional at entry"
    return (
        sizing,
        f"At most {risk.max_positions} positions.",
        f"{leverage}, {risk.max_net_leverage:g}x longs − shorts, {risk.max_position_leverage:g}x in one.",
        f"{alike} with more than {risk.max_correlated} open positions.",
        f"No entry for the rest of a UTC day that lost {_percent(risk.max_daily_loss)}, unrealised included.",
        f"No entry at all once equity was {_percent(risk.max_drawdown)} below its peak.",
        f"{margin}, liquidated at {_percent(MAINTENANCE_MARGIN)} of the notional unless a stop comes first.",
    )


def _cost_rules(costs: CostSettings) -> tuple[str, ...]:
    slippage = (
        f"Slippage: {costs.slippage_bps:g} bps + {costs.impact_bps:g} bps × √(quantity / hourly volume)"
    )
    funding = (
        "Funding is paid at the recorded times and rates by positions held before them; "
        f"where no rate was recorded, longs and shorts alike pay {costs.funding_fallback_bps:g} bps per 8 h."
    )
    return (
        f"Fees: {costs.taker_fee_bps:g} bps at market or by a stop, {costs.maker_fee_bps:g} bps at a target.",
        f"{slippage}, against each fill at market or by a stop.",
        funding if costs.funding else "Funding is not charged.",
    )


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
