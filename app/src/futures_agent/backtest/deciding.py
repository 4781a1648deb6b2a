"""Deciding: the strategy's step over every symbol's candles, to one signal per candle."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from futures_agent.backtest.panel import Panel
from futures_agent.clock import utc_text
from futures_agent.compiled import bind, is_kernel, kernel, runner
from futures_agent.errors import AgentError, Refuse
from futures_agent.policy.policy import Policy
from futures_agent.strategy.bars import bars_in_order, require_sound
from futures_agent.strategy.strategy import SIGNAL, ZONE, Draw, Step, Strategy

OnProgress = Callable[[str, int, int], None]  # stage, symbols done, symbols in all

_ZONES_PER_BAR = 2  # room for what is drawn; what does not fit is not drawn


@kernel
def step_through(bars: Any, state: Any, params: Any, signals: Any, kept: Any, every: int, zones: Any) -> int:
    """Call the strategy's step once per bar; `state` and `params` are arrays of one record.

    Where `kept` has room for it, the state after every `every`-th bar is copied there. Where `zones` has
    room, the strategy draws after each step; returned is how many zones there are.
    """
    drawn = 0
    for row in range(len(bars)):
        strategy_step(state[0], bars[row], params[0], signals[row])
        if len(kept) > 0 and row % every == 0:
            kept[row // every] = state[0]
        if len(zones) > 0:
            drawn = strategy_draw(state[0], bars[row], params[0], zones, drawn)
    return drawn


@kernel
def step_through_judged(
    bars: Any, state: Any, params: Any, signals: Any, deciding_ms: int, weights: Any, observation: Any
) -> int:
    """Do what `step_through` does, and let the policy judge each entry on a bar of `deciding_ms`.

    It stops at a row of which a number of the observation is not finite, and returns it; −1 otherwise.
    """
    for row in range(len(bars)):
        strategy_step(state[0], bars[row], params[0], signals[row])
        if signals[row].entry != 0 and bars[row].timeframe_ms == deciding_ms:
            observation[:] = math.nan  # what `observe` leaves out must not be the last entry's
            strategy_observe(state[0], bars[row], params[0], observation)
            for number in observation:
                if not math.isfinite(number):
                    return row
            signals[row].declined = not policy_accepts(weights, observation)
    return -1


@kernel
def strategy_step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    """Stand for the step of the strategy under test, which `bind` puts here."""
    raise NotImplementedError


@kernel
def strategy_observe(state: Any, bar: Any, params: Any, observation: Any) -> None:
    """Stand for the strategy's `observe`."""
    raise NotImplementedError


@kernel
def strategy_draw(state: Any, bar: Any, params: Any, zones: Any, drawn: int) -> int:
    """Stand for the strategy's `draw`."""
    raise NotImplementedError


@kernel
def draw_nothing(state: Any, bar: Any, params: Any, zones: Any, drawn: int) -> int:
    """Draw for a strategy that does not."""
    return drawn


@kernel
def policy_accepts(weights: Any, observation: Any) -> bool:
    """Stand for the policy."""
    raise NotImplementedError


def decide(
    panel: Panel,
    strategy: Strategy,
    params: NDArray[np.void],
    compile_cache: Path | None,
    on_progress: OnProgress | None = None,
    *,
    policy: Policy | None = None,
) -> tuple[NDArray[np.void], list[str]]:
    """Run the strategy over every symbol's candles.

    Parameters
    ----------
    params : ndarray of one record
        From `strategy.read_params`.
    compile_cache : Path, optional
        Where compiled kernels are kept; without it, or where the strategy is no kernel, all runs plain.
    policy : Policy, optional
        Judges every entry; without one each is accepted.

    Returns
    -------
    ndarray of SIGNAL, shape (candles,)
        One per candle of the panel.
    list of str
        A warning per symbol on which the strategy raised: it gives no signal there. And one per input that
        the strategy uses and of which nothing was ever known.

    Raises
    ------
    Refuse
        The strategy failed on every symbol, or the policy was made for another observation.
    """
    signals = np.zeros(len(panel.candles.records), SIGNAL)
    run = _stepping(panel, strategy, compile_cache, policy)
    never_known = {wanted.name for wanted in strategy.inputs_used(params)}
    failures: list[str] = []
    for index, symbol in enumerate(panel.symbols):
        bars = bars_of(panel, strategy, index)
        never_known -= {name for name in never_known if bars[f"{name}_known"].any()}
        said = np.zeros(len(bars), SIGNAL)
        decided = signals[panel.candles.offsets[index] : panel.candles.offsets[index + 1]]
        try:
            run(bars, np.zeros(1, strategy.state), params, said)
            said.take(np.flatnonzero(bars["timeframe_ms"] == panel.timeframe.ms), out=decided, mode="clip")
            require_sound(decided, panel.candles.of(index)["timestamp"])
        except AgentError:  # refused, or told to stop
            raise
        except (Exception, SystemExit) as error:  # a user's code may raise anything; the other symbols go on
            decided[:] = np.zeros(1, SIGNAL)
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            failures.append(f"left out, strategy {strategy.name} failed on {symbol}: {reason}")
        if on_progress is not None:
            on_progress("signals", index + 1, len(panel.symbols))
    if len(failures) == len(panel.symbols):
        raise Refuse(f"strategy {strategy.name} failed on every symbol; the first: {failures[0]}")
    unknown = [f"input {name} was never known: decided without it" for name in sorted(never_known)]
    return signals, failures + unknown


def _stepping(
    panel: Panel, strategy: Strategy, compile_cache: Path | None, policy: Policy | None
) -> Callable[..., Any]:
    """Return what steps through (bars, state, params, signals), each entry judged by the policy, if any."""
    if policy is None:
        return stepping(strategy, compile_cache)
    policy.require_fit(strategy.name, strategy.observation)
    assert strategy.observe is not None  # a policy is made for some number
    judging = bind(
        step_through_judged,
        strategy_step=strategy.step,
        strategy_observe=strategy.observe,
        policy_accepts=policy.accepts,
    )
    both = is_kernel(strategy.step) and is_kernel(policy.accepts)
    run = runner(judging, compile_cache if both else None)
    observation = np.zeros(len(strategy.observation))

    def step(bars: NDArray[np.void], *rest: NDArray[np.void]) -> None:
        row = run(bars, *rest, panel.timeframe.ms, policy.weights, observation)
        if row >= 0:
            place = int(np.argmin(np.isfinite(observation)))
            when = utc_text(int(bars["timestamp"][row]))
            raise ValueError(
                f"impossible observation {strategy.observation[place]} = {observation[place]} "
                f"on the bar of {when}"
            )

    return step


def stepping(strategy: Strategy, compile_cache: Path | None) -> Callable[..., int]:
    """Return `step_through` with the step of `strategy`: compiled, or plain where that cannot be.

    It takes (bars, state, params, signals, kept, every, zones); without the last three nothing is kept, or
    drawn.
    """
    run = _loop(strategy.step, strategy.draw or draw_nothing, compile_cache)
    nothing_kept, no_zones = np.zeros(0, strategy.state), np.zeros(0, ZONE)

    def step(
        bars: NDArray[np.void],
        state: NDArray[np.void],
        params: NDArray[np.void],
        signals: NDArray[np.void],
        kept: NDArray[np.void] = nothing_kept,
        every: int = 1,
        zones: NDArray[np.void] = no_zones,
    ) -> int:
        return run(bars, state, params, signals, kept, every, zones)

    return step


@cache  # one loop, loaded once, decides, draws and is audited
def _loop(step: Step, draw: Draw, compile_cache: Path | None) -> Callable[..., int]:
    bound = bind(step_through, strategy_step=step, strategy_draw=draw)
    return runner(bound, compile_cache if is_kernel(step) else None)


def zone_drawer(
    panel: Panel, strategy: Strategy, params: NDArray[np.void], compile_cache: Path | None
) -> Callable[[int], NDArray[np.void]]:
    """Return what draws the strategy's zones on the chart of the symbol at an index of the panel.

    It returns an array of ZONE in the order in which they were seen, empty where the strategy draws nothing,
    and raises what the strategy does.
    """
    if strategy.draw is None:
        return lambda index: np.zeros(0, ZONE)
    run = stepping(strategy, compile_cache)

    def draw_symbol(index: int) -> NDArray[np.void]:
        bars = bars_of(panel, strategy, index)
        zones = np.zeros(_ZONES_PER_BAR * len(bars), ZONE)
        signals = np.zeros(len(bars), SIGNAL)
        drawn = run(bars, np.zeros(1, strategy.state), params, signals, zones=zones)
        return zones[:drawn].copy()

    return draw_symbol


def bars_of(panel: Panel, strategy: Strategy, index: int) -> NDArray[np.void]:
    """Return the bars of the symbol at `index` as the strategy's step sees them, inputs included.

    Returns
    -------
    ndarray of `strategy.bar`
        Of all the strategy's timeframes, in order of close; where bars close together the higher is first.
    """
    series = {panel.timeframe: panel.candles, **{each: panel.higher[each] for each in strategy.timeframes}}
    return bars_in_order(
        strategy,
        {timeframe: each.of(index) for timeframe, each in series.items()},
        {name: each[index] for name, each in panel.inputs.items()},
    )
