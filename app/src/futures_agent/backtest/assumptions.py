"""The fill and cost rules of a simulation, in the words a reader of its result needs."""

from __future__ import annotations

from futures_agent.settings.tree import Settings

_FILL_RULES = (
    "A strategy decides when a bar closes and is filled at the open of the next bar.",
    "A bar that opens beyond a stop or a target fills it at the open.",
    "A stop or a target can be touched in the entry bar.",
    "When one bar touches both stop and target, the finer timeframe decides; without one the stop counts.",
    "A position is liquidated at its liquidation price when that lies before its stop.",
    "One position per symbol; all symbols share one account.",
    "Positions still open at the end are closed at the last close (exit reason END).",
    "Stops and targets are rounded to the contract's tick, quantities down to its step.",
    "An entry below the contract's minimum notional is rejected.",
)


def assumptions_of(settings: Settings) -> tuple[str, ...]:
    """Return the rules a run under `settings` follows, one sentence each."""
    costs, risk = settings.costs, settings.risk
    if risk.fixed_notional > 0:
        sizing = f"Each entry has a notional of {risk.fixed_notional:g}."
    else:
        sizing = f"Each entry risks {100 * risk.risk_per_trade:g} % of equity, lost if its stop is hit."
    funding = (
        f"Funding: the recorded rates; {costs.funding_fallback_bps:g} bps per 8 h where none were recorded."
        if costs.funding
        else "Funding is not charged."
    )
    return (
        *_FILL_RULES,
        sizing,
        f"At most {risk.max_positions} positions and {risk.max_leverage:g}x leverage over all of them.",
        f"Fees: {costs.taker_fee_bps:g} bps at market or by a stop, {costs.maker_fee_bps:g} bps at a target.",
        f"Slippage: {costs.slippage_bps:g} bps against each fill at market or by a stop.",
        funding,
    )
