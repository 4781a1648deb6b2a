"""What a simulated run was worth: definitions of every number in a result.

Ratios that are undefined (no trade, no loss, no variance) are None, never infinite or NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from futures_agent.backtest.records import ExitReason, Simulation
from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.market.timeframe import Timeframe

DAYS_PER_YEAR = 365  # coins trade every day
SIDE_NAMES: Mapping[int, str] = {1: "long", -1: "short"}
# Daily returns that differ by less than this differ by rounding only.
_NO_VARIATION = 1e-12


class TradeStats(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of a set of closed trades; money in quote units.

    A trade wins when its `net_pnl` (after fees and funding) is above zero and loses when it is below.
    """

    trades: int
    win_rate: float | None  # winning trades / trades
    profit_factor: float | None  # total_won / total_lost; None without a losing trade
    total_won: float  # Σ net_pnl of winning trades
    total_lost: float  # −Σ net_pnl of losing trades, ≥ 0
    net_pnl: float  # Σ net_pnl = gross_pnl − fees + funding
    gross_pnl: float  # Σ price move × quantity
    fees: float  # Σ fees, ≥ 0
    liquidation_fees: float  # contained in fees
    funding: float  # Σ funding received (+) or paid (−)
    slippage: float  # Σ slippage, ≥ 0; contained in gross_pnl
    expectancy: float | None  # net_pnl / trades
    average_win: float | None
    average_loss: float | None  # ≤ 0
    best_trade: float | None  # largest net_pnl
    worst_trade: float | None  # smallest net_pnl
    average_trade_hours: float | None  # entry to exit
    traded_notional: float  # Σ quantity × (entry_price + exit_price)


class TradeGroup(TradeStats, frozen=True, kw_only=True):
    """The trades of one symbol, side, exit reason or reason of entry."""

    name: str


class Metrics(TradeStats, frozen=True, kw_only=True):
    """Everything a run is judged by; shares are fractions (0.15 is 15 %)."""

    initial_equity: float
    final_equity: float
    total_return: float  # final / initial − 1
    days: float  # length of the equity curve
    traded_days: float  # of these until the kill switch tripped; all where it did not
    annual_return: float | None  # (final / initial) ^ (365 / days) − 1; None below one day
    volatility: float | None  # std(daily returns) × √365
    sharpe: float | None
    sortino: float | None
    calmar: float | None  # annual_return / max_drawdown
    max_drawdown: float  # deepest fall from a running peak, as a share of the peak
    max_drawdown_days: float  # longest time from a peak until it is reached again, or until the end
    exposure_time: float | None  # share of bars with a position
    exposure_mean: float | None  # mean of notional / equity over all bars
    exposure_peak: float | None  # largest notional / equity
    turnover: float | None  # traded_notional / mean equity
    liquidations: int
    kill_switch_trips: int  # 0, or 1: nothing re-arms it in a backtest

    @property
    def cut_short(self) -> str:
        """Say how much of the run was traded: `traded 12 of 365 days`; empty without a kill switch."""
        if not self.kill_switch_trips:
            return ""
        return f"traded {self.traded_days:.0f} of {self.days:.0f} days"


def compute_metrics(simulation: Simulation) -> Metrics:
    """Compute the metrics of a run.

    Sharpe, Sortino and volatility come from the returns of the daily equity (`daily_equity`),
    with a risk-free rate of zero, annualised by √365:

    - Sharpe (Sharpe 1994): mean(r) / std(r, ddof=1) × √365
    - Sortino (Sortino & Price 1994): mean(r) / √mean(min(r, 0)²) × √365
    - Calmar (Young 1991, over the whole run): annual return / maximum drawdown

    Drawdown and exposure come from the full-resolution curve. All are None where undefined:
    fewer than two daily returns, no variation, no losing day, no drawdown, or equity at or below
    zero on the way.

    Parameters
    ----------
    simulation : Simulation
        `trades` of shape (n_trades,), `equity` of shape (n_bars,); either may be empty.
    """
    curve = simulation.equity
    equity = curve["equity"]
    initial = simulation.initial_equity
    final = float(equity[-1]) if len(equity) else initial
    days = _curve_days(simulation)
    annual_return = _annual_return(final / initial, days)
    depth = float(np.max(drawdown(simulation), initial=0.0))
    stats = _trade_stats(simulation.trades)
    leverage = _leverage(simulation)
    return Metrics(
        **stats,
        initial_equity=initial,
        final_equity=final,
        total_return=final / initial - 1,
        days=days,
        traded_days=_traded_days(simulation, days),
        annual_return=annual_return,
        **_daily_ratios(simulation),
        calmar=None if annual_return is None else _ratio(annual_return, depth),
        max_drawdown=depth,
        max_drawdown_days=_longest_drawdown_ms(simulation) / DAY_MS,
        exposure_time=float(np.mean(curve["positions"] > 0)) if len(curve) else None,
        exposure_mean=float(np.mean(leverage)) if len(leverage) else None,
        exposure_peak=float(np.max(leverage)) if len(leverage) else None,
        turnover=_ratio(stats["traded_notional"], float(np.mean(equity))) if len(equity) else None,
        liquidations=int(np.sum(simulation.trades["exit_reason"] == ExitReason.LIQUIDATION)),
        kill_switch_trips=int(simulation.tripped_ms is not None),
    )


def by_symbol(simulation: Simulation) -> list[TradeGroup]:
    """Return one group per symbol of the run, in its order, those without a trade included."""
    trades = simulation.trades
    return [
        TradeGroup(name=symbol, **_trade_stats(trades[trades["symbol"] == index]))
        for index, symbol in enumerate(simulation.symbols)
    ]


def by_side(simulation: Simulation) -> list[TradeGroup]:
    """Return the groups `long` and `short`."""
    trades = simulation.trades
    return [
        TradeGroup(name=name, **_trade_stats(trades[trades["side"] == side]))
        for side, name in SIDE_NAMES.items()
    ]


def by_exit_reason(simulation: Simulation) -> list[TradeGroup]:
    """Return one group per exit reason that occurred."""
    trades = simulation.trades
    groups = ((reason, trades[trades["exit_reason"] == reason]) for reason in ExitReason)
    return [TradeGroup(name=reason.name, **_trade_stats(group)) for reason, group in groups if len(group)]


def by_reason(simulation: Simulation, names: Sequence[str]) -> list[TradeGroup]:
    """Return one group per reason of entry; a trade is in the group of each reason that spoke for it.

    `names` are the strategy's `reasons`: names[n] is bit n of a trade's `reasons`.
    """
    trades = simulation.trades
    return [
        TradeGroup(name=name, **_trade_stats(trades[trades["reasons"] >> place & 1 == 1]))
        for place, name in enumerate(names)
    ]


def daily_equity(simulation: Simulation) -> NDArray[np.float64]:
    """Return the equity at the end of each UTC day, shape (n_days + 1,), starting equity first.

    A day without a bar keeps the equity of the day before. The first and last day may be partial.
    """
    curve = simulation.equity
    if not len(curve):
        return np.array([simulation.initial_equity])
    # A bar that closes at midnight belongs to the day that ends there.
    day = (curve["timestamp"] - 1) // DAY_MS
    ends = np.searchsorted(day, np.arange(day[0], day[-1] + 1), side="right") - 1
    return np.concatenate([[simulation.initial_equity], curve["equity"][ends]])


def monthly_returns(simulation: Simulation) -> dict[str, float | None]:
    """Return month (`2026-11`, UTC) → return of that month; None where it began at or below zero."""
    curve = simulation.equity
    if not len(curve):
        return {}
    month = (curve["timestamp"] - 1).astype("datetime64[ms]").astype("datetime64[M]")
    last = np.append(np.flatnonzero(month[1:] != month[:-1]), len(curve) - 1)
    returns: dict[str, float | None] = {}
    before = simulation.initial_equity
    for name, after in zip(month[last].astype(str).tolist(), curve["equity"][last].tolist(), strict=True):
        growth = _ratio(after, before)
        returns[name] = None if growth is None else growth - 1
        before = after
    return returns


def drawdown(simulation: Simulation) -> NDArray[np.float64]:
    """Return the fall from the running peak as a share of the peak, shape (n_bars,), ≥ 0.

    The starting equity is the first peak.
    """
    equity = simulation.equity["equity"]
    return 1 - equity / _running_peak(simulation)


def _running_peak(simulation: Simulation) -> NDArray[np.float64]:
    peak: NDArray[np.float64] = np.maximum.accumulate(
        np.maximum(simulation.equity["equity"], simulation.initial_equity)
    )
    return peak


def _longest_drawdown_ms(simulation: Simulation) -> int:
    """Return the longest time (ms) between a peak and the first bar that reaches it again, or the end."""
    if not len(simulation.equity):
        return 0
    under = simulation.equity["equity"] < _running_peak(simulation)
    times = np.concatenate([[_curve_start_ms(simulation)], simulation.equity["timestamp"]])
    at_peak = np.flatnonzero(np.concatenate([[True], ~under]))
    # Consecutive peaks are one bar apart; a longer distance was spent under water.
    gaps = np.flatnonzero(np.diff(at_peak) > 1)
    lengths = times[at_peak[gaps + 1]] - times[at_peak[gaps]]
    unfinished = int(times[-1] - times[at_peak[-1]])
    return max(int(np.max(lengths, initial=0)), unfinished)


def _curve_start_ms(simulation: Simulation) -> int:
    """Return the open of the first decision bar."""
    return int(simulation.equity["timestamp"][0]) - Timeframe[simulation.timeframe].ms


def _curve_days(simulation: Simulation) -> float:
    if not len(simulation.equity):
        return 0.0
    return (int(simulation.equity["timestamp"][-1]) - _curve_start_ms(simulation)) / DAY_MS


def _traded_days(simulation: Simulation, days: float) -> float:
    if simulation.tripped_ms is None:
        return days
    return (simulation.tripped_ms - _curve_start_ms(simulation)) / DAY_MS


def _annual_return(growth: float, days: float) -> float | None:
    if days < 1:
        return None
    if growth <= 0:
        return -1.0
    exponent = math.log(growth) * DAYS_PER_YEAR / days
    return math.exp(exponent) - 1 if exponent < 700 else None


def _daily_ratios(simulation: Simulation) -> dict[str, Any]:
    equity = daily_equity(simulation)
    if len(equity) < 3 or np.any(equity <= 0):
        return {"volatility": None, "sharpe": None, "sortino": None}
    returns = equity[1:] / equity[:-1] - 1
    mean, deviation = float(np.mean(returns)), float(np.std(returns, ddof=1))
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0) ** 2)))
    year = math.sqrt(DAYS_PER_YEAR)
    return {
        "volatility": deviation * year,
        "sharpe": mean / deviation * year if deviation > _NO_VARIATION else None,
        "sortino": mean / downside * year if downside > _NO_VARIATION else None,
    }


def _leverage(simulation: Simulation) -> NDArray[np.float64]:
    curve = simulation.equity
    solvent = curve[curve["equity"] > 0]
    leverage: NDArray[np.float64] = solvent["notional"] / solvent["equity"]
    return leverage


def _trade_stats(trades: NDArray[np.void]) -> dict[str, Any]:
    count = len(trades)
    net = trades["net_pnl"]
    wins, losses = net[net > 0], net[net < 0]
    won, lost = float(np.sum(wins)), -float(np.sum(losses))
    total = float(np.sum(net))
    hours = (trades["exit_time"] - trades["entry_time"]) / HOUR_MS
    return {
        "trades": count,
        "win_rate": len(wins) / count if count else None,
        "profit_factor": _ratio(won, lost),
        "total_won": won,
        "total_lost": abs(lost),  # no negative zero
        "net_pnl": total,
        "gross_pnl": float(np.sum(trades["gross_pnl"])),
        "fees": float(np.sum(trades["fees"])),
        "liquidation_fees": float(np.sum(trades["liquidation_fee"])),
        "funding": float(np.sum(trades["funding"])),
        "slippage": float(np.sum(trades["slippage"])),
        "expectancy": total / count if count else None,
        "average_win": won / len(wins) if len(wins) else None,
        "average_loss": -lost / len(losses) if len(losses) else None,
        "best_trade": float(np.max(net)) if count else None,
        "worst_trade": float(np.min(net)) if count else None,
        "average_trade_hours": float(np.mean(hours)) if count else None,
        "traded_notional": float(np.sum(trades["quantity"] * (trades["entry_price"] + trades["exit_price"]))),
    }


def _ratio(numerator: float, denominator: float) -> float | None:
    """Return the quotient, or None where it is undefined or too large for a float."""
    if denominator <= 0:
        return None
    quotient = numerator / denominator
    return quotient if math.isfinite(quotient) else None
