"""The risk gate: exact quantities, every cap, and a named reason for each refusal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from futures_agent.clock import HOUR_MS
from futures_agent.compiled import kernel, runner
from futures_agent.execution.rounding import rules_of
from futures_agent.market.candle import CANDLE
from futures_agent.plain import run_plain
from futures_agent.risk.correlation import Closes
from futures_agent.risk.gate import ENTRY, exposure, judge_entry
from futures_agent.risk.limits import limits_of
from futures_agent.risk.rejection import BEFORE_THE_GATE, Rejection
from futures_agent.risk.state import new_risk_state
from futures_agent.settings.tree import RiskSettings
from sample_markets import instrument

HOLDING = np.dtype([("side", np.int64), ("quantity", np.float64), ("mark_price", np.float64)])
ROOMY = {"max_leverage": 3.0, "max_net_leverage": 20.0, "max_position_leverage": 20.0}
ACCEPTED = Rejection.ACCEPTED


def record(array: np.ndarray) -> Any:
    """Return the one record of `array` as the plain object that kernels see in live trading."""
    return SimpleNamespace(**{name: array[name][0].item() for name in array.dtype.names or ()})


def waves(count: int, *phases: float) -> Closes:
    """Return one symbol per phase whose returns are sines: two of them correlate by cos(Δ phase)."""
    candles = np.zeros(count * len(phases), CANDLE)
    for place, phase in enumerate(phases):
        part = candles[place * count : (place + 1) * count]
        part["timestamp"] = HOUR_MS * np.arange(count)
        returns = 0.01 * np.sin(2 * np.pi * np.arange(count) / 24 + phase)
        part["close"] = 100 * np.cumprod(1 + returns)
    edges = count * np.arange(len(phases) + 1)
    return Closes(candles, edges[:-1], edges[1:], HOUR_MS)


@kernel
def judge_one(entry: Any, state: Any, holdings: Any, closes: Any, limits: Any, rules: Any) -> Any:
    return judge_entry(entry[0], state[0], holdings, closes, limits[0], rules[0])


def judged(
    *,
    risk: dict[str, Any] | None = None,
    rules: dict[str, Any] | None = None,
    state: dict[str, Any] | None = None,
    held: list[tuple[int, float]] | None = None,
    closes: Closes | None = None,
    **entry: Any,
) -> tuple[float, Rejection]:
    """Judge a long at 100 with a stop 2 away; `held` are (side, notional) of the other symbols."""
    chosen = {"symbol": 0, "side": 1, "price": 100.0, "stop_distance": 2.0, "target_distance": 0.0, **entry}
    account = record(new_risk_state(10_000.0, 0))
    vars(account).update(state or {})
    holdings = [SimpleNamespace(side=0, quantity=0.0, mark_price=0.0)]
    holdings += [
        SimpleNamespace(side=side, quantity=notional, mark_price=1.0) for side, notional in held or []
    ]
    quantity, reason = run_plain(
        judge_entry,
        SimpleNamespace(**chosen),
        account,
        holdings,
        closes or waves(200, *range(len(holdings))),
        record(limits_of(RiskSettings(**{**ROOMY, **(risk or {})}))),
        record(rules_of([instrument("BTCUSDT", **(rules or {}))])),
    )
    return quantity, Rejection(reason)


def test_risk_per_trade_is_what_the_stop_loses() -> None:
    assert judged() == (50.0, ACCEPTED)  # 1 % of 10,000 over 2 per unit


def test_a_fixed_notional_needs_no_stop_where_none_is_asked_for() -> None:
    risk = {"fixed_notional": 1_000.0, "liquidation_buffer": 0.0}
    assert judged(risk=risk, price=30.0, stop_distance=0.0) == (33.333, ACCEPTED)


def test_gross_leverage_caps_the_quantity_by_what_is_left() -> None:
    assert judged(stop_distance=0.1) == (300.0, ACCEPTED)  # 1,000 wanted, 3 × 10,000 allowed
    assert judged(stop_distance=0.1, held=[(1, 10_000.0), (-1, 10_000.0)]) == (100.0, ACCEPTED)


@pytest.mark.parametrize(("side", "quantity"), [(1, 50.0), (-1, 250.0)])
def test_net_leverage_caps_the_side_that_is_heavier(side: int, quantity: float) -> None:
    risk = {"max_net_leverage": 1.5, "max_leverage": 20.0}
    assert judged(risk=risk, stop_distance=0.1, side=side, held=[(1, 10_000.0)]) == (quantity, ACCEPTED)


def test_one_position_is_capped_too() -> None:
    assert judged(risk={"max_position_leverage": 0.5}, stop_distance=0.1) == (50.0, ACCEPTED)


def test_the_exchanges_largest_order_caps_the_quantity() -> None:
    assert judged(rules={"max_quantity": 12.0}) == (12.0, ACCEPTED)


REFUSALS: list[tuple[Rejection, dict[str, Any]]] = [
    (Rejection.RISK_KILL_SWITCH, {"state": {"kill_switch": True}}),
    (Rejection.RISK_DAILY_LOSS, {"state": {"daily_loss_hit": True}}),
    (Rejection.RISK_NO_EQUITY, {"state": {"equity": 0.0}}),
    (Rejection.RISK_NO_EQUITY, {"state": {"equity": -5.0}}),
    (Rejection.RISK_NO_STOP, {"stop_distance": 0.0}),
    (Rejection.RISK_NO_STOP, {"stop_distance": 0.0, "risk": {"liquidation_buffer": 0.0}}),
    (Rejection.RISK_NO_STOP, {"stop_distance": 0.0, "risk": {"fixed_notional": 1_000.0}}),
    (Rejection.BRACKET_WITHIN_TICK, {"stop_distance": 0.009}),
    (Rejection.BRACKET_WITHIN_TICK, {"target_distance": 0.009}),
    # A third of the price is margin, 2.5 % maintenance: liquidated 31.6 below 100, 30.1 above.
    (Rejection.RISK_LIQUIDATION, {"stop_distance": 25.4}),
    (Rejection.RISK_LIQUIDATION, {"stop_distance": 24.1, "side": -1}),
    (Rejection.RISK_MAX_POSITIONS, {"held": [(1, 10.0)] * 8}),
    (Rejection.RISK_MAX_LEVERAGE, {"held": [(1, 15_000.0), (-1, 15_000.0)]}),
    (Rejection.RISK_MAX_LEVERAGE, {"held": [(1, 29_996.0)]}),  # room for less than the smallest order
    (Rejection.RISK_NET_LEVERAGE, {"held": [(1, 9_996.0)], "risk": {"max_net_leverage": 1.0}}),
    (Rejection.RISK_POSITION_LEVERAGE, {"risk": {"max_position_leverage": 0.0004}}),
    (Rejection.MIN_QUANTITY, {"risk": {"risk_per_trade": 1e-7}}),  # 0.0005 rounds down to nothing
    (Rejection.MIN_QUANTITY, {"rules": {"min_quantity": 51.0}}),
    (Rejection.MIN_NOTIONAL, {"price": 0.09, "stop_distance": 0.02, "risk": {"risk_per_trade": 1e-4}}),
    (Rejection.RISK_CORRELATED, {"held": [(1, 10.0)] * 3, "closes": waves(200, 0, 0.1, 0.2, 0.3)}),
]


@pytest.mark.parametrize(("reason", "arguments"), REFUSALS)
def test_refusals_are_named(reason: Rejection, arguments: dict[str, Any]) -> None:
    assert judged(**arguments) == (0.0, reason)


def test_every_reason_of_the_gate_has_a_test() -> None:
    assert {reason for reason, _ in REFUSALS} == set(Rejection) - BEFORE_THE_GATE - {ACCEPTED}


@pytest.mark.parametrize(
    "arguments",
    [
        {"stop_distance": 0.01, "risk": {"max_position_leverage": 1.0}},  # a whole tick
        {"target_distance": 0.01},
        {"stop_distance": 25.2},
        {"stop_distance": 24.0, "side": -1},
        {"stop_distance": 40.0, "risk": {"liquidation_buffer": 0.0}},
        {"stop_distance": 99.0, "risk": {"max_leverage": 0.5}},  # a long that cannot be liquidated
        {"held": [(1, 10.0)] * 7},
        {"held": [(-1, 10.0)] * 3, "closes": waves(200, 0, 0.1, 0.2, 0.3)},  # a hedge
        {"held": [(1, 10.0)] * 2, "closes": waves(200, 0, 0.1, 0.2)},  # two may correlate
    ],
)
def test_what_is_just_within_the_limits_is_accepted(arguments: dict[str, Any]) -> None:
    assert judged(**arguments)[1] is ACCEPTED


notionals = st.floats(0.0, 20_000.0)


@given(
    held=st.lists(st.tuples(st.sampled_from([1, -1]), notionals), max_size=9),
    equity=st.floats(1.0, 1e6),
    price=st.floats(0.05, 1e5),
    stop=st.floats(1e-4, 0.5),
    side=st.sampled_from([1, -1]),
)
def test_no_cap_is_ever_exceeded(
    held: list[tuple[int, float]], equity: float, price: float, stop: float, side: int
) -> None:
    limits = RiskSettings(max_correlated=100)
    quantity, reason = judged(
        risk={name: getattr(limits, name) for name in (*ROOMY, "max_correlated")},
        state={"equity": equity},
        held=held,
        side=side,
        price=price,
        stop_distance=stop * price,
    )
    assert (quantity > 0) == (reason is ACCEPTED)
    if quantity == 0:
        return
    rounding = 1 + 1e-9
    notional = quantity * price
    gross = sum(size for _, size in held)
    net = sum(each * size for each, size in held)
    assert notional * stop <= limits.risk_per_trade * equity * rounding
    assert notional + gross <= limits.max_leverage * equity * rounding
    assert side * net + notional <= limits.max_net_leverage * equity * rounding
    assert notional <= limits.max_position_leverage * equity * rounding
    assert len(held) < limits.max_positions
    assert quantity * 1_000 == pytest.approx(round(quantity * 1_000), abs=1e-6)
    assert notional >= 5.0


def test_exposure_is_split_by_side() -> None:
    held = [SimpleNamespace(side=s, quantity=q, mark_price=2.0) for s, q in ((1, 3.0), (0, 9.0), (-1, 5.0))]
    assert exposure(held) == (6.0, 10.0, 2)


def test_compiled_and_plain_judge_alike(compile_cache: Any) -> None:
    rng = np.random.default_rng(5)
    closes = waves(200, *rng.uniform(0, 1.5, 6))
    rules, limits = rules_of([instrument("A")]), limits_of(RiskSettings())
    compiled, plain = (runner(judge_one, where) for where in (compile_cache, None))
    reasons = set()
    for _ in range(200):
        holdings = np.zeros(6, HOLDING)
        holdings["side"][1:] = rng.choice([-1, 0, 1], 5)
        holdings["quantity"], holdings["mark_price"] = rng.uniform(0, 60, 6), 100.0
        entry = np.zeros(1, ENTRY)
        entry["side"], entry["price"] = rng.choice([-1, 1]), 100.0
        entry["stop_distance"] = rng.choice([0.0, 0.005, 1.0, 3.0, 30.0])
        state = new_risk_state(float(rng.uniform(0, 20_000)), 0)
        state["daily_loss_hit"] = rng.random() < 0.1
        answers = [each(entry, state, holdings, closes, limits, rules) for each in (compiled, plain)]
        assert answers[0] == answers[1]
        reasons.add(Rejection(answers[0][1]))
    assert len(reasons) >= 7
