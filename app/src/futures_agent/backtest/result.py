"""The result of a backtest as it is written to disk; docs/backtest-result.md explains every field."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

import futures_agent
from futures_agent.backtest.assumptions import assumptions_of
from futures_agent.backtest.metrics import (
    SIDE_NAMES,
    Metrics,
    TradeGroup,
    by_exit_reason,
    by_reason,
    by_side,
    by_symbol,
    compute_metrics,
    daily_equity,
    drawdown,
    monthly_returns,
)
from futures_agent.backtest.order_hash import order_list_hash
from futures_agent.backtest.records import TRADE, ExitReason, Simulation
from futures_agent.backtest.signal_validation import SignalValidation, not_validated
from futures_agent.backtest.verdict import Verdict, judge
from futures_agent.clock import DAY_MS, utc_text
from futures_agent.compiled import code_digest
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.load import Effective
from futures_agent.settings.tree import StrategySettings
from futures_agent.strategy.registry import load_strategy

SCHEMA_VERSION = 2
MAX_CURVE_POINTS = 2_000
# What a run's numbers depend on; where files lie or how much is logged is not part of the hash.
_HASHED_SECTIONS = ("data", "strategy", "risk", "costs", "gate", "backtest")


class DataRange(msgspec.Struct, frozen=True):
    """What was simulated: from the open of the first decision bar to the close of the last."""

    start: str  # 2025-11-20T00:00:00Z
    end: str
    days: float


class StrategyRun(msgspec.Struct, frozen=True):
    """Which strategy decided, with the parameters it really used."""

    name: str
    params: dict[str, Any]
    reasons: tuple[str, ...] = ()  # what the bits of a trade's `reasons` mean
    code: str | None = None  # digest of the source of its step, see `compiled.code_digest`


class Versions(msgspec.Struct, frozen=True):
    """What computed the result."""

    app: str
    git: str | None  # commit, when run from a clone
    python: str
    numpy: str
    numba: str | None  # None: the run was not compiled


class TradeColumns(msgspec.Struct, frozen=True):
    """All trades in order of exit, one list per column, equally long (see `records.TRADE`)."""

    symbol: list[str]
    side: list[str]  # long, short
    quantity: list[float]
    entry_time: list[int]
    entry_price: list[float]
    exit_time: list[int]
    exit_price: list[float]
    exit_reason: list[str]
    stop_price: list[float]
    target_price: list[float]
    gross_pnl: list[float]
    fees: list[float]
    liquidation_fee: list[float]
    funding: list[float]
    net_pnl: list[float]
    slippage: list[float]
    reasons: list[int]  # bit n: `strategy.reasons[n]` spoke for the entry


class EquityColumns(msgspec.Struct, frozen=True):
    """The equity curve thinned to at most 2,000 points; no extreme is lost."""

    bars: int  # points before thinning
    timestamp: list[int]  # close of the bar, ms UTC
    equity: list[float]
    drawdown: list[float]  # share of the running peak, ≥ 0
    notional: list[float]
    positions: list[int]


class BacktestResult(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Small fields first, so that the head of the file tells the story."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    started: str
    finished: str
    duration_s: float
    verdict: Verdict
    strategy: StrategyRun
    timeframe: str
    data: DataRange | None  # None: no bar was simulated
    candles: int
    symbols: tuple[str, ...]
    metrics: Metrics
    signal_validation: SignalValidation
    warnings: tuple[str, ...]
    rejections: dict[str, int]
    assumptions: tuple[str, ...]
    versions: Versions
    settings_hash: str
    model_hash: str | None
    order_list_hash: str  # equal hashes: the same trades at the same prices
    settings: dict[str, Any]  # "section.key" -> value, secrets masked
    monthly_returns: dict[str, float | None]
    daily_equity: dict[str, float]  # UTC day -> equity at its end
    by_side: list[TradeGroup]
    by_exit_reason: list[TradeGroup]
    by_reason: list[TradeGroup]  # one per `strategy.reasons`
    by_symbol: list[TradeGroup]
    equity: EquityColumns
    trades: TradeColumns


def build_result(
    simulation: Simulation,
    effective: Effective,
    *,
    started_ms: int,
    finished_ms: int,
    model_hash: str | None = None,
    signal_validation: SignalValidation | None = None,
) -> BacktestResult:
    """Compute everything a result says about `simulation`.

    Parameters
    ----------
    simulation : Simulation
    effective : Effective
        The settings the run was made with.
    started_ms, finished_ms : int
        When the program started and the simulation was done, ms UTC.
    model_hash : str, optional
        Digest of the policy that gated the entries.
    signal_validation : SignalValidation, optional
        Without it nothing was compared.

    Raises
    ------
    Refuse
        The settings' strategy or its parameters are none.
    """
    settings = effective.settings
    metrics = compute_metrics(simulation)
    shown = {key: value for key, value, _ in effective.rows()}
    strategy = _strategy_run(settings.strategy)
    return BacktestResult(
        run_id=run_id(started_ms),
        started=utc_text(started_ms),
        finished=utc_text(finished_ms),
        duration_s=(finished_ms - started_ms) / 1000,
        verdict=judge(metrics, settings.gate),
        strategy=strategy,
        timeframe=simulation.timeframe,
        data=_data_range(simulation),
        candles=simulation.candles,
        symbols=simulation.symbols,
        metrics=metrics,
        signal_validation=signal_validation or not_validated("no live decisions were compared"),
        warnings=simulation.warnings,
        rejections=simulation.rejections,
        assumptions=assumptions_of(settings),
        versions=_versions(),
        settings_hash=_settings_hash(shown),
        model_hash=model_hash,
        order_list_hash=order_list_hash(simulation),
        settings=shown,
        monthly_returns=monthly_returns(simulation),
        daily_equity=_daily_equity(simulation),
        by_side=by_side(simulation),
        by_exit_reason=by_exit_reason(simulation),
        by_reason=by_reason(simulation, strategy.reasons),
        by_symbol=by_symbol(simulation),
        equity=_equity_columns(simulation),
        trades=_trade_columns(simulation),
    )


def run_id(started_ms: int) -> str:
    """Return the id of the run started at `started_ms` (ms UTC): `20261120T233000Z`."""
    return datetime.fromtimestamp(started_ms // 1000, tz=UTC).strftime("%Y%m%dT%H%M%SZ")


def _strategy_run(chosen: StrategySettings) -> StrategyRun:
    strategy = load_strategy(chosen.name)
    (params,) = strategy.read_params(chosen.params)
    used = {name: params[name].item() for name in params.dtype.names}
    return StrategyRun(chosen.name, used, strategy.reasons, code_digest(strategy.step))


def _data_range(simulation: Simulation) -> DataRange | None:
    times = simulation.equity["timestamp"]
    if not len(times):
        return None
    start, end = int(times[0]) - Timeframe[simulation.timeframe].ms, int(times[-1])
    return DataRange(utc_text(start), utc_text(end), (end - start) / DAY_MS)


def _daily_equity(simulation: Simulation) -> dict[str, float]:
    ends = daily_equity(simulation)[1:].tolist()
    if not ends:
        return {}
    first = (int(simulation.equity["timestamp"][0]) - 1) // DAY_MS
    return {utc_text((first + day) * DAY_MS)[:10]: equity for day, equity in enumerate(ends)}


def _trade_columns(simulation: Simulation) -> TradeColumns:
    trades = simulation.trades
    columns: dict[str, list[Any]] = {name: trades[name].tolist() for name in TRADE.fields or ()}
    columns["symbol"] = [simulation.symbols[index] for index in columns["symbol"]]
    columns["side"] = [SIDE_NAMES[side] for side in columns["side"]]
    reasons = {int(reason): reason.name for reason in ExitReason}
    columns["exit_reason"] = [reasons[reason] for reason in columns["exit_reason"]]
    return TradeColumns(**columns)


def _equity_columns(simulation: Simulation) -> EquityColumns:
    curve, depth = simulation.equity, drawdown(simulation)
    kept = curve_points(curve["equity"], depth, MAX_CURVE_POINTS)
    return EquityColumns(
        bars=len(curve),
        timestamp=curve["timestamp"][kept].tolist(),
        equity=curve["equity"][kept].tolist(),
        drawdown=depth[kept].tolist(),
        notional=curve["notional"][kept].tolist(),
        positions=curve["positions"][kept].tolist(),
    )


def curve_points(equity: NDArray[np.float64], depth: NDArray[np.float64], limit: int) -> NDArray[np.intp]:
    """Return the bars that draw a curve with at most `limit` points and all its extremes.

    Parameters
    ----------
    equity, depth : ndarray of shape (n_bars,)
        Equity and drawdown.
    limit : int
        At least 6.

    Returns
    -------
    ndarray of shape (n_points,)
        Ascending: the first and last bar, the deepest drawdown, and each equal slice's lowest and
        highest equity (so the highest peak and lowest trough of the whole are among them). Every slice has
        two points, so that points drawn side by side are a fair axis of time.
    """
    count = len(equity)
    if count <= limit:
        return np.arange(count)
    kept = {0, count - 1, int(np.argmax(depth))}
    for part in np.array_split(np.arange(count), (limit - 3) // 2):
        low, high = int(part[np.argmin(equity[part])]), int(part[np.argmax(equity[part])])
        kept |= {low, high} if low != high else {int(part[0]), int(part[-1])}
    return np.array(sorted(kept))


def _settings_hash(shown: Mapping[str, Any]) -> str:
    deciding = {key: value for key, value in shown.items() if key.partition(".")[0] in _HASHED_SECTIONS}
    return hashlib.sha256(msgspec.json.encode(deciding, order="sorted")).hexdigest()


def _versions() -> Versions:
    numba = sys.modules.get("numba")
    return Versions(
        app=futures_agent.__version__,
        git=_git_commit(Path(futures_agent.__file__).parent),
        python=platform.python_version(),
        numpy=np.__version__,
        numba=None if numba is None else numba.__version__,
    )


def _git_commit(package: Path) -> str | None:
    """Return the commit of the clone that `package` lies in as app/src/NAME, read without running git.

    None for an installed package: a clone further up is someone else's.
    """
    git = package.parents[2] / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref: "):
            return head
        ref = head.removeprefix("ref: ")
        if (git / ref).exists():
            return (git / ref).read_text(encoding="ascii").strip()
        packed = (git / "packed-refs").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((line.split()[0] for line in packed if line.endswith(f" {ref}")), None)
