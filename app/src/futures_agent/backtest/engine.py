"""The engine: strategy steps over every symbol's candles, then one portfolio over all of them.

Deciding and trading are two passes, because a strategy sees candles and nothing of the account. Both run
the live trader's source; given a compile cache, through numba, with the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from futures_agent.backtest.deciding import OnProgress, decide
from futures_agent.backtest.panel import Panel, Series, end_to_end
from futures_agent.backtest.portfolio import ACCOUNT, POSITION, TERMS, Book, Market, run_portfolio
from futures_agent.backtest.records import EQUITY, TRADE, ExitReason, Simulation
from futures_agent.clock import utc_text
from futures_agent.compiled import runner
from futures_agent.execution.funding import SETTLEMENT, settlements
from futures_agent.execution.rounding import rules_of
from futures_agent.policy.policy import Policy
from futures_agent.risk.gate import ENTRY
from futures_agent.risk.limits import limits_of
from futures_agent.risk.rejection import Rejection
from futures_agent.risk.state import new_risk_state
from futures_agent.settings.tree import CostSettings, RiskSettings
from futures_agent.strategy.strategy import Strategy


def simulate(
    panel: Panel,
    strategy: Strategy,
    params: Mapping[str, Any],
    *,
    risk: RiskSettings,
    costs: CostSettings,
    initial_equity: float,
    policy: Policy | None = None,
    compile_cache: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Simulation:
    """Simulate `strategy` over `panel` with one shared account.

    Parameters
    ----------
    params : mapping
        The strategy's parameters, over its defaults.
    initial_equity : float
        Quote units.
    policy : Policy, optional
        Judges the strategy's entries; without one each is accepted.
    compile_cache : Path, optional
        Where compiled kernels are kept. Without it everything runs as plain Python, some hundred times
        slower. A strategy whose step is not a kernel always does.
    on_progress : callable, optional
        Called with ("signals", symbols done, symbols in all) after each symbol.

    Returns
    -------
    Simulation
        A symbol on which the strategy raised is left out; the warnings say so.

    Raises
    ------
    Refuse
        Bad parameters, or a strategy that fails on every symbol.
    """
    chosen = strategy.read_params(params)
    signals, failures = decide(panel, strategy, chosen, compile_cache, on_progress, policy=policy)
    funding, assumed = _settlements(panel, costs)
    timeline = panel.timeline
    market = Market(
        timeline=timeline,
        candles=panel.candles.records,
        offsets=panel.candles.offsets,
        signals=signals,
        rules=rules_of(panel.instruments),
        settlements=funding.records,
        settlement_offsets=funding.offsets,
        finer=panel.finer.records,
        finer_offsets=panel.finer.offsets,
    )
    book = _empty_book(market, initial_equity)
    runner(run_portfolio, compile_cache)(market, book, _terms(panel, risk, costs), limits_of(risk))
    trades = book.trades[: int(book.account["trades"][0])].copy()
    rejections = {Rejection(code).name: int(count) for code, count in enumerate(book.rejections) if count}
    warnings = [
        *panel.warnings,
        *failures,
        *assumed,
        *_events(panel.symbols, trades, book.risk[0], rejections),
        *_cuts(book.cuts.tolist(), len(trades)),
    ]
    if not len(trades):
        warnings.append(_why_no_trades(int(np.count_nonzero(signals["entry"])), rejections))
    return Simulation(
        symbols=panel.symbols,
        timeframe=panel.timeframe.name,
        initial_equity=initial_equity,
        trades=trades,
        equity=book.equity,
        rejections=rejections,
        candles=panel.candle_count,
        tripped_ms=int(book.risk[0]["tripped_ms"]) if book.risk[0]["kill_switch"] else None,
        warnings=tuple(warnings),
    )


def _settlements(panel: Panel, costs: CostSettings) -> tuple[Series, list[str]]:
    """Return the funding instants of every symbol, and a warning where rates had to be assumed."""
    nothing = np.zeros(0, SETTLEMENT)
    if not costs.funding:
        return end_to_end([nothing] * len(panel.symbols)), []
    parts, counts = [], []
    for index, symbol in enumerate(panel.symbols):
        times = panel.candles.of(index)["timestamp"]
        part, assumed = settlements(
            panel.funding.get(symbol, nothing),
            int(times[0]),
            int(times[-1]) + 1,
            costs.funding_fallback_bps / 10_000,
        )
        parts.append(part)
        counts.append(assumed)
    warnings = []
    if sum(counts):
        warnings.append(
            f"funding rates not recorded at {sum(counts)} of {sum(map(len, parts))} instants "
            f"({np.count_nonzero(counts)} of {len(counts)} symbols): "
            f"{costs.funding_fallback_bps:g} bps per 8 h charged to either side there"
        )
    return end_to_end(parts), warnings


def _terms(panel: Panel, risk: RiskSettings, costs: CostSettings) -> NDArray[np.void]:
    terms = np.zeros(1, TERMS)
    terms["maker_fee"] = costs.maker_fee_bps / 10_000
    terms["taker_fee"] = costs.taker_fee_bps / 10_000
    terms["half_spread"] = costs.slippage_bps / 10_000
    terms["impact"] = costs.impact_bps / 10_000
    terms["leverage"] = risk.max_leverage
    terms["timeframe_ms"] = panel.timeframe.ms
    terms["finer_ms"] = panel.finer_timeframe.ms if panel.finer_timeframe else 0
    return terms


def _empty_book(market: Market, initial_equity: float) -> Book:
    symbols = len(market.rules)
    account = np.zeros(1, ACCOUNT)
    account["cash"] = initial_equity
    return Book(
        account=account,
        risk=new_risk_state(initial_equity, int(market.timeline[0])),
        entry=np.zeros(1, ENTRY),
        positions=np.zeros(symbols, POSITION),
        rows=np.full(symbols, -1, np.int64),
        next_rows=market.offsets[:-1].copy(),
        trades=np.zeros(int(np.count_nonzero(market.signals["entry"])), TRADE),
        equity=np.zeros(len(market.timeline), EQUITY),
        rejections=np.zeros(len(Rejection), np.int64),
        cuts=np.zeros(2, np.int64),
    )


def _events(
    symbols: Sequence[str], trades: NDArray[np.void], risk: np.void, rejections: Mapping[str, int]
) -> list[str]:
    """Return what changed the course of the run: symbols that went away, the kill switch."""
    ended = trades[trades["exit_reason"] == ExitReason.DATA_ENDED]
    found = []
    if len(ended):
        listed = ", ".join(f"{symbols[each['symbol']]} {utc_text(int(each['exit_time']))}" for each in ended)
        found.append(f"candles end before the run does, positions closed at the last close: {listed}")
    if risk["kill_switch"]:
        refused = rejections.get(Rejection.RISK_KILL_SWITCH.name, 0)
        found.append(
            f"the drawdown kill switch tripped at {utc_text(int(risk['tripped_ms']))} and refused {refused} "
            "entries from then on; only a person re-arms it, which a backtest has not"
        )
    return found


def _cuts(cuts: Sequence[int], trades: int) -> list[str]:
    """Say that entries were smaller than their risk asks for: the result is that of smaller bets."""
    by = (
        "risk.max_leverage, max_net_leverage or max_position_leverage",
        "the exchange's largest order",
    )
    found = [f"{count} by {cap}" for count, cap in zip(cuts, by, strict=True) if count]
    return [f"{sum(cuts)} of {trades} entries were cut: {', '.join(found)}"] if found else []


def _why_no_trades(entries: int, rejections: Mapping[str, int]) -> str:
    if not entries:
        return "no trades: the strategy gave no entry signal (it starts cold: a short run may all be warm-up)"
    refused = ", ".join(f"{name} {count}" for name, count in rejections.items()) or "none"
    return f"no trades: {entries} entry signals, refused: {refused}"
