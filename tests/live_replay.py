"""A backtest watched step by step, and a decider fed with the same candles and the same account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from futures_agent.backtest import portfolio
from futures_agent.backtest.panel import Panel
from futures_agent.clock import DAY_MS
from futures_agent.live.account import Account, Holding, RiskMemory
from futures_agent.live.deciding import Decided, Decider
from futures_agent.market.timeframe import Timeframe
from futures_agent.risk.rejection import Rejection
from futures_agent.risk.state import RISK_STATE
from futures_agent.settings.tree import RiskSettings
from futures_agent.strategy.inputs import Input
from futures_agent.strategy.strategy import Strategy
from sample_markets import NoParams
from shipped import simulated

Verdict = tuple[str, str, float]  # symbol, reason, quantity


class Watched(NamedTuple):
    """What the backtest did, by the close that decided it, and its account at every close."""

    accounts: dict[int, Account]
    risk: dict[int, tuple[Any, ...]]
    verdicts: dict[int, list[Verdict]]
    exits: dict[int, list[str]]


def watch(panel: Panel, strategy: Strategy, params: dict[str, Any], risk: RiskSettings) -> Watched:
    """Run the backtest as plain Python and note every verdict, exit and close of the account."""
    seen = Watched({}, {}, {}, {})
    step_ms = panel.timeframe.ms
    enter, leave, close = portfolio.enter_on_signal, portfolio.exit_on_signal, portfolio.close_bar

    def decided_ms(market: Any, row: int) -> int:
        return int(market.candles[row - 1].timestamp) + step_ms

    def entering(market: Any, book: Any, terms: Any, limits: Any, symbol: int) -> None:
        position, before = book.positions[symbol], book.rejections.copy()
        was = position.side
        enter(market, book, terms, limits, symbol)
        if was == 0:
            changed = np.flatnonzero(book.rejections - before)
            reason = Rejection(int(changed[0])).name if len(changed) else "ACCEPTED"
            quantity = 0.0 if len(changed) else position.quantity
            when = decided_ms(market, book.rows[symbol])
            seen.verdicts.setdefault(when, []).append((panel.symbols[symbol], reason, quantity))

    def leaving(market: Any, book: Any, terms: Any, symbol: int) -> None:
        when = decided_ms(market, book.rows[symbol])
        seen.exits.setdefault(when, []).append(panel.symbols[symbol])
        leave(market, book, terms, symbol)

    def closing(book: Any, limits: Any, step: int, close_ms: int) -> None:
        close(book, limits, step, close_ms)
        seen.accounts[close_ms] = Account(
            wallet=book.account[0].cash,
            holdings={
                symbol: Holding(
                    side=position.side,
                    quantity=position.quantity,
                    entry_price=position.entry_price,
                    decided_ms=position.entry_time,
                )
                for symbol, position in zip(panel.symbols, book.positions, strict=True)
                if position.side != 0
            },
        )
        seen.risk[close_ms] = tuple(getattr(book.risk[0], name) for name in RISK_STATE.names or ())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portfolio, "enter_on_signal", entering)
        patch.setattr(portfolio, "exit_on_signal", leaving)
        patch.setattr(portfolio, "close_bar", closing)
        simulated(strategy, params, panel, None, risk=risk)
    return seen


def published_of(panel: Panel) -> Callable[[str], dict[str, np.ndarray]]:
    """Return what the panel knows of each input of a symbol."""
    return lambda symbol: {name: each[panel.symbols.index(symbol)] for name, each in panel.inputs.items()}


def decider_of(
    panel: Panel, strategy: Strategy, params: dict[str, Any], directory: Path, **changes: Any
) -> Decider:
    """Return a decider for the panel's symbols that has seen no candle."""
    chosen: dict[str, Any] = {
        "risk": RiskSettings(),
        "memory": RiskMemory(directory / "risk.json"),
        "anchor_ms": int(panel.timeline[0]) // DAY_MS * DAY_MS,
        "mode": "paper",
        "decide_within_ms": 120_000,
        "published": published_of(panel),
    }
    instruments = dict(zip(panel.symbols, panel.instruments, strict=True))
    decider = Decider(strategy, params, panel.timeframe, instruments, **{**chosen, **changes})
    decider.trackers = {symbol: decider.track(symbol) for symbol in panel.symbols}
    return decider


def candles_by_close(panel: Panel, strategy: Strategy) -> dict[int, list[tuple[str, Timeframe, np.void]]]:
    """Return all candles by when they close, the deciding timeframe first: the wrong order on purpose."""
    found: dict[int, list[tuple[str, Timeframe, np.void]]] = {}
    frames = {panel.timeframe: panel.candles, **{each: panel.higher[each] for each in strategy.timeframes}}
    for timeframe, series in frames.items():
        for index, symbol in enumerate(panel.symbols):
            for candle in series.of(index):
                close = int(candle["timestamp"]) + timeframe.ms
                found.setdefault(close, []).append((symbol, timeframe, candle))
    return found


def replay(
    decider: Decider, panel: Panel, seen: Watched, *, from_ms: int = 0
) -> Iterator[tuple[int, Decided]]:
    """Feed the decider close by close with the account that the backtest had; holes are confirmed."""
    by_close = candles_by_close(panel, decider.rules.strategy)
    lapsed = {
        (symbol, when)
        for when, each in seen.verdicts.items()
        for symbol, why, _ in each
        if why == "ENTRY_LAPSED"
    }
    for close_ms in sorted(by_close):
        if close_ms <= from_ms:
            continue
        for symbol, timeframe, candle in by_close[close_ms]:
            decider.on_candle(symbol, timeframe, candle)
        if close_ms not in seen.accounts:
            continue  # no symbol has begun to trade
        for missing in decider.missing(close_ms):
            decider.have_none(missing)

        def refusal(symbol: str, close_ms: int = close_ms) -> Rejection:
            # Nobody can know at the close that a hole will follow; nothing could be sent into it either.
            return Rejection.ENTRY_LAPSED if (symbol, close_ms) in lapsed else Rejection.ACCEPTED

        yield close_ms, decider.decide(close_ms, seen.accounts[close_ms], close_ms + 1_500, refusal)


def _enter_where_funded(state: Any, bar: Any, params: Any, signal: Any) -> None:
    state.seen += 1
    if bar.funding_known and bar.funding > 0:
        signal.entry, signal.stop_distance = 1, 100.0


FUNDED = Strategy(
    name="funded",
    params=NoParams,
    state=np.dtype([("seen", np.int64)]),
    step=_enter_where_funded,
    inputs=(Input("funding", "sentiment", "funding_rate", max_age_h=12),),
)
