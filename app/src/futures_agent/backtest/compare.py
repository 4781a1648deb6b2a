"""Two results side by side: what was set differently, what came out differently, and from when on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from futures_agent.backtest.result import DataRange, StrategyRun
from futures_agent.backtest.verdict import Verdict

# Settings that say where and how much, not what: they make no difference to a run.
_IMMATERIAL = ("paths.", "log.", "exchange.", "sync.", "backup.", "compact.", "database.")

Value = Any  # what a setting or a fact may be: text, number, list, …


class Trades(msgspec.Struct, frozen=True):
    """The columns of a result's trades that tell one from another."""

    symbol: list[str]
    side: list[str]
    quantity: list[float]
    entry_time: list[int]
    entry_price: list[float]
    exit_time: list[int]
    exit_price: list[float]
    exit_reason: list[str]
    net_pnl: list[float]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared of a result; decoded from its JSON."""

    schema_version: int
    run_id: str
    started: str
    verdict: Verdict
    strategy: StrategyRun
    timeframe: str
    data: DataRange | None
    candles: int
    symbols: tuple[str, ...]
    metrics: dict[str, float | None]
    rejections: dict[str, int]
    versions: dict[str, str | None]
    model_hash: str | None
    order_list_hash: str
    settings: dict[str, Any]
    daily_equity: dict[str, float]
    trades: Trades


class Difference(msgspec.Struct, frozen=True):
    """One fact that is not the same; None where a run has nothing of the kind."""

    name: str
    a: Value
    b: Value


class MetricDifference(msgspec.Struct, frozen=True):
    """One metric of both; `difference` is b − a, None where either is undefined."""

    name: str
    a: float | None
    b: float | None
    difference: float | None


class OneTrade(msgspec.Struct, frozen=True):
    """A trade as it was decided and as it ended."""

    symbol: str
    side: str
    entry_time: int  # ms UTC
    entry_price: float
    quantity: float
    exit_time: int
    exit_price: float
    exit_reason: str
    net_pnl: float

    @property
    def outcome(self) -> tuple[int, str]:
        """When and why it ended, whatever its size and what that did to its prices."""
        return self.exit_time, self.exit_reason


class TradePair(msgspec.Struct, frozen=True):
    """The same entry in both runs, with another outcome."""

    a: OneTrade
    b: OneTrade


class TradeDifferences(msgspec.Struct, frozen=True, kw_only=True):
    """The trades of two runs; those that entered the same symbol and side at the same time are the same."""

    same: int
    other_fill: int  # the same end, but another quantity or other prices
    other_outcome: list[TradePair]  # ended at another time, or for another reason
    only_a: list[OneTrade]
    only_b: list[OneTrade]


class EquityParts(msgspec.Struct, frozen=True):
    """The first UTC day at whose end the equities differ."""

    day: str
    a: float | None  # None: the run has no such day
    b: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in which run B differs from run A."""

    a: str  # run ids
    b: str
    started_a: str
    started_b: str
    verdict_a: str
    verdict_b: str
    traded_alike: bool  # the same orders, by their hash
    settings: list[Difference]
    data: list[Difference]
    metrics: list[MetricDifference]
    rejections: list[MetricDifference]
    trades: TradeDifferences
    equity_parts: EquityParts | None


def compare(a: Run, b: Run) -> Comparison:
    """Compare two results."""
    return Comparison(
        a=a.run_id,
        b=b.run_id,
        started_a=a.started,
        started_b=b.started,
        verdict_a=a.verdict.text,
        verdict_b=b.verdict.text,
        traded_alike=a.order_list_hash == b.order_list_hash,
        settings=_differing(_settings(a), _settings(b)),
        data=_differing(_facts(a), _facts(b)),
        metrics=_numbers(a.metrics, b.metrics),
        rejections=_numbers(a.rejections, b.rejections, absent=0),
        trades=_trades(a.trades, b.trades),
        equity_parts=_equity_parts(a.daily_equity, b.daily_equity),
    )


def _settings(run: Run) -> dict[str, Value]:
    """Return the settings that matter, the strategy's parameters as they were really used."""
    shown = {key: value for key, value in run.settings.items() if not key.startswith(_IMMATERIAL)}
    del shown["strategy.params"]
    return shown | {f"strategy.params.{name}": value for name, value in run.strategy.params.items()}


def _facts(run: Run) -> dict[str, Value]:
    """Return what else a result depends on: data, code and model."""
    return {
        "from": run.data and run.data.start,
        "to": run.data and run.data.end,
        "timeframe": run.timeframe,
        "candles": run.candles,
        "symbols": list(run.symbols),
        "strategy code": run.strategy.code,
        "model_hash": run.model_hash,
        **{f"version of {name}": version for name, version in run.versions.items()},
    }


def _differing(a: Mapping[str, Value], b: Mapping[str, Value]) -> list[Difference]:
    return [Difference(name, a.get(name), b.get(name)) for name in {**a, **b} if a.get(name) != b.get(name)]


def _numbers(
    a: Mapping[str, float | None], b: Mapping[str, float | None], absent: float | None = None
) -> list[MetricDifference]:
    found = []
    for name in {**a, **b}:
        first, second = a.get(name, absent), b.get(name, absent)
        difference = None if first is None or second is None else second - first
        found.append(MetricDifference(name, first, second, difference))
    return found


def _trades(a: Trades, b: Trades) -> TradeDifferences:
    of_a, of_b = _by_entry(a), _by_entry(b)
    both = [TradePair(first, of_b[entry]) for entry, first in of_a.items() if entry in of_b]
    other_outcome = [pair for pair in both if pair.a.outcome != pair.b.outcome]
    same = sum(pair.a == pair.b for pair in both)
    return TradeDifferences(
        same=same,
        other_fill=len(both) - len(other_outcome) - same,
        other_outcome=other_outcome,
        only_a=[trade for entry, trade in of_a.items() if entry not in of_b],
        only_b=[trade for entry, trade in of_b.items() if entry not in of_a],
    )


def _by_entry(trades: Trades) -> dict[tuple[int, str, str], OneTrade]:
    """Return the trades by when, where and to which side they were entered, in order of entry."""
    columns = (getattr(trades, name) for name in OneTrade.__struct_fields__)
    every = [OneTrade(*row) for row in zip(*columns, strict=True)]
    return {(one.entry_time, one.symbol, one.side): one for one in sorted(every, key=_when)}


def _when(trade: OneTrade) -> tuple[int, str]:
    return trade.entry_time, trade.symbol


def _equity_parts(a: Mapping[str, float], b: Mapping[str, float]) -> EquityParts | None:
    for day in sorted({**a, **b}):
        if a.get(day) != b.get(day):
            return EquityParts(day, a.get(day), b.get(day))
    return None
