"""The risk gate of the live trader: the backtest's kernels over the account as it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from futures_agent.execution.rounding import rules_of
from futures_agent.live.rounds import Holding
from futures_agent.market.instrument import Instrument
from futures_agent.plain import plain_type
from futures_agent.risk.correlation import Closes
from futures_agent.risk.gate import ENTRY, judge_entry
from futures_agent.risk.limits import limits_of
from futures_agent.risk.rejection import Rejection
from futures_agent.risk.state import RISK_STATE, new_risk_state, rearm, risk_step
from futures_agent.settings.tree import RiskSettings

_CLOSE = np.dtype([("timestamp", np.int64), ("close", np.float64)])


class _Held:
    """One symbol's holding as the gate reads it."""

    __slots__ = ("mark_price", "quantity", "side")

    def __init__(self, side: int, quantity: float, mark_price: float) -> None:
        self.side, self.quantity, self.mark_price = side, quantity, mark_price


class Verdict(NamedTuple):
    """What the gate said to one candidate."""

    quantity: float  # base units; 0 where refused
    rejection: Rejection


class Gatekeeper:
    """Judges entries, and remembers what the account has been through.

    Parameters
    ----------
    symbols : sequence of str
    instruments : mapping of symbol to Instrument
        Of each of them.
    risk : RiskSettings
    step_ms : int
        Length of a deciding bar.

    Attributes
    ----------
    state : ndarray of RISK_STATE, shape (1,), or None
        None before the first close.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        instruments: Mapping[str, Instrument],
        risk: RiskSettings,
        step_ms: int,
    ) -> None:
        self._index = {symbol: index for index, symbol in enumerate(symbols)}
        self._rules = rules_of([instruments[symbol] for symbol in symbols])
        self._step_ms = step_ms
        self.state: NDArray[np.void] | None = None
        self._closes: dict[str, deque[tuple[int, float]]] = {}
        self.take_over(risk)

    def take_over(self, risk: RiskSettings) -> None:
        """Judge by `risk` from now on."""
        limits = limits_of(risk)
        self._limits = plain_type(limits.dtype)(limits[0].item())
        # A return needs the close before it, and the newest returns may be of one symbol's newest bars only.
        rows = risk.correlation_bars + 2
        self._closes = {symbol: deque(self._closes.get(symbol, ()), maxlen=rows) for symbol in self._index}

    def see(self, symbol: str, candle: Any) -> None:
        """A deciding candle has closed."""
        self._closes[symbol].append((int(candle["timestamp"]), float(candle["close"])))

    def last_close(self, symbol: str) -> float:
        """Return the newest close; 0 where none is known."""
        closes = self._closes.get(symbol)
        return closes[-1][1] if closes else 0.0

    def closed(self, close_ms: int, equity: float) -> None:
        """See the account at a decision close."""
        if self.state is None:
            self.state = new_risk_state(equity, close_ms - self._step_ms)
        plain = plain_type(RISK_STATE)(self.state[0].item())
        risk_step(plain, self._limits, close_ms, equity)
        for name in RISK_STATE.names or ():
            self.state[name] = getattr(plain, name)

    def rearm(self) -> bool:
        """Re-arm the kill switch; return whether it had tripped."""
        if self.state is None or not self.state["kill_switch"][0]:
            return False
        rearm(self.state)
        return True

    def judge(self, symbol: str, signal: Any, price: float, holdings: Sequence[Holding]) -> Verdict:
        """Judge an entry that was decided at `price`, the close."""
        assert self.state is not None  # the close has been seen
        entry = plain_type(ENTRY)(
            (
                self._index[symbol],
                int(signal.entry),
                price,
                float(signal.stop_distance),
                float(signal.target_distance),
            )
        )
        held = [_Held(0, 0.0, 0.0) for _ in self._index]
        for each in holdings:  # of a symbol that is no longer traded as well: it is exposure all the same
            holding = _Held(each.side, each.quantity, self.last_close(each.symbol) or each.price)
            if each.symbol in self._index:
                held[self._index[each.symbol]] = holding
            else:
                held.append(holding)
        quantity, reason = judge_entry(
            entry,
            plain_type(RISK_STATE)(self.state[0].item()),
            held,
            self._history(len(held)),
            self._limits,
            plain_type(self._rules.dtype)(self._rules[self._index[symbol]].item()),
        )
        return Verdict(float(quantity), Rejection(reason))

    def _history(self, holdings: int) -> Closes:
        rows = [row for closes in self._closes.values() for row in closes]
        counts = [len(closes) for closes in self._closes.values()]
        counts += [0] * (holdings - len(counts))  # of what is held besides nothing is known
        ends = np.cumsum(counts, dtype=np.int64)
        plain = _plain_closes(np.array(rows, _CLOSE))
        return Closes(plain, ends - np.array(counts, np.int64), ends, self._step_ms)  # type: ignore[arg-type]


def _plain_closes(closes: NDArray[np.void]) -> list[Any]:
    row = plain_type(_CLOSE)
    return [row(each) for each in closes.tolist()]
