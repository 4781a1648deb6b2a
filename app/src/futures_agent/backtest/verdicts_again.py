"""The risk gate asked again: does it say to the account of the decision log what it said live?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import apsw

from futures_agent.execution.rounding import RULES, rules_of
from futures_agent.market.instrument import Instrument
from futures_agent.market.timeframe import Timeframe
from futures_agent.plain import plain_type
from futures_agent.program.decision_log import CloseLine, DecisionLine
from futures_agent.risk.correlation import Closes
from futures_agent.risk.gate import ENTRY, Marked, judge_entry
from futures_agent.risk.limits import LIMITS
from futures_agent.risk.rejection import BEFORE_THE_GATE, Rejection
from futures_agent.risk.state import RISK_STATE
from futures_agent.store.candles import read_candles

_SLACK_BARS = 100  # a symbol's newest candle may be older than the close


class Verdict(NamedTuple):
    """What the gate says: a name of `Rejection`, and the quantity, base units."""

    rejection: str
    quantity: float

    def __str__(self) -> str:
        return f"{self.rejection} {self.quantity!r}" if self.quantity else self.rejection


def verdict_of(line: DecisionLine) -> Verdict | None:
    """Return what the gate said live; None where it was not asked, or in words of another version."""
    reason = Rejection.__members__.get(line.rejection or "")
    if line.rejection is None or reason is None or reason in BEFORE_THE_GATE:
        return None
    return Verdict(line.rejection, float(line.quantity or 0.0))


def judge_again(
    db: apsw.Connection,
    close: CloseLine,
    lines: Sequence[DecisionLine],
    instruments: Mapping[str, Instrument],
    timeframe: Timeframe,
) -> list[tuple[DecisionLine, Verdict]]:
    """Ask the gate again about the entries of one moment, in their order, over the stored candles.

    Parameters
    ----------
    close : CloseLine
        With the account, its past and its limits as they were.
    lines : sequence of DecisionLine
        The decisions of that moment.
    instruments : mapping of symbol to Instrument
        The exchange's filters; an entry of a symbol without is passed over.
    """
    asked = [line for line in lines if verdict_of(line) is not None and line.symbol in instruments]
    if not asked:
        return []
    names = list(dict.fromkeys([*(each.symbol for each in close.holdings), *(each.symbol for each in asked)]))
    held = {name: Marked() for name in names}
    held |= {each.symbol: Marked(each.side, each.quantity, each.mark_price) for each in close.holdings}
    state, limits = _record(RISK_STATE, close.risk), _record(LIMITS, close.limits)
    closes = _closes(db, timeframe, names, close.close_ms, int(limits.correlation_bars))
    found = []
    for line in asked:
        price = line.bars[-1].close
        candidate = plain_type(ENTRY)(
            (names.index(line.symbol), line.entry, price, line.stop_distance, line.target_distance)
        )
        rules = plain_type(RULES)(rules_of([instruments[line.symbol]])[0].item())
        quantity, reason = judge_entry(candidate, state, list(held.values()), closes, limits, rules)
        found.append((line, Verdict(Rejection(reason).name, quantity)))
        if line.quantity is not None:  # those after it met it open
            held[line.symbol] = Marked(line.entry, float(line.quantity), price)
    return found


def _record(dtype: Any, values: Mapping[str, Any]) -> Any:
    return plain_type(dtype)(tuple(values[name] for name in dtype.names))


def _closes(
    db: apsw.Connection, timeframe: Timeframe, names: Sequence[str], close_ms: int, bars: int
) -> Closes:
    start_ms = close_ms - (bars + _SLACK_BARS) * timeframe.ms
    stored = read_candles(db, timeframe, names, start_ms, close_ms)
    rows: list[Any] = []
    first, end = [], []
    for name in names:
        first.append(len(rows))
        candles = stored[name]
        rows += [plain_type(candles.dtype)(row) for row in candles.tolist()]
        end.append(len(rows))
    return Closes(rows, first, end, timeframe.ms)  # type: ignore[arg-type]  # plain Python reads lists
