"""The gate: did a run reach what a strategy must reach before it is trusted with money?"""

from __future__ import annotations

from typing import Literal

import msgspec

from futures_agent.backtest.metrics import Metrics
from futures_agent.settings.tree import GateSettings


class Check(msgspec.Struct, frozen=True):
    """One condition of the gate."""

    name: str  # the metric
    value: float | None  # None where the metric is undefined
    relation: Literal[">=", "<="]  # what `value` must be to `threshold`
    threshold: float
    ok: bool


class Verdict(msgspec.Struct, frozen=True):
    """The outcome of all checks; a run passes when every one is met."""

    passed: bool
    checks: tuple[Check, ...]

    @property
    def text(self) -> Literal["PASSED", "FAILED"]:
        return "PASSED" if self.passed else "FAILED"

    @property
    def failures(self) -> str:
        """What failed, on one line: `trades 12 < 30, sharpe 0.41 < 1`; empty when passed."""
        opposite = {">=": "<", "<=": ">"}
        return ", ".join(
            f"{check.name} undefined (needs {check.relation} {check.threshold:g})"
            if check.value is None
            else f"{check.name} {check.value:.6g} {opposite[check.relation]} {check.threshold:g}"
            for check in self.checks
            if not check.ok
        )


def judge(metrics: Metrics, gate: GateSettings) -> Verdict:
    """Judge a run by the gate's thresholds, each inclusive.

    An undefined metric fails its check, with one exception: the profit factor of a run that won
    and never lost is beyond every threshold.
    """
    never_lost = metrics.total_lost == 0 and metrics.total_won > 0
    checks = (
        _at_least("trades", metrics.trades, gate.min_trades),
        _at_least("profit_factor", metrics.profit_factor, gate.min_profit_factor, undefined_ok=never_lost),
        _at_least("sharpe", metrics.sharpe, gate.min_sharpe),
        _at_most("max_drawdown", metrics.max_drawdown, gate.max_drawdown),
        _at_most("kill_switch_trips", metrics.kill_switch_trips, gate.max_kill_switch_trips),
    )
    return Verdict(all(check.ok for check in checks), checks)


def _at_least(name: str, value: float | None, threshold: float, *, undefined_ok: bool = False) -> Check:
    return Check(name, value, ">=", threshold, undefined_ok if value is None else value >= threshold)


def _at_most(name: str, value: float, threshold: float) -> Check:
    return Check(name, value, "<=", threshold, value <= threshold)
