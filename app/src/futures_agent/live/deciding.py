"""The decider: every symbol's strategy state, and the gate that its entries pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from futures_agent.clock import DAY_MS
from futures_agent.live.gatekeeping import Gatekeeper
from futures_agent.live.ids import trade_id_of
from futures_agent.live.records import EntryWanted
from futures_agent.live.rounds import Holdings, Missing
from futures_agent.live.stepping import Brain, SymbolMemory
from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.risk.rejection import Rejection

_TAIL_MS = 7 * DAY_MS  # candles older than that are not asked for any more


class Decider:
    """Decides at each close of the deciding timeframe.

    Parameters
    ----------
    brain : Brain
    gate : Gatekeeper
    memories : mapping of symbol to SymbolMemory
        In the order in which symbols compete for the account.
    anchor_ms : int
        Open time of the first candle that counts, ms UTC.
    next_close_ms : int
        The first close to decide at.

    Attributes
    ----------
    rejections : Counter
        Why entries were refused, since the start.
    """

    def __init__(
        self,
        brain: Brain,
        gate: Gatekeeper,
        memories: Mapping[str, SymbolMemory],
        anchor_ms: int,
        next_close_ms: int,
    ) -> None:
        self._brain = brain
        self.gate = gate
        self.memories = memories
        self.anchor_ms = anchor_ms
        self.next_close_ms = next_close_ms
        self.rejections: Counter[str] = Counter()
        self._absent: set[tuple[str, Timeframe, int]] = set()  # asked for in vain
        self._late = False

    @property
    def excluded(self) -> dict[str, str]:
        """Symbols on which the strategy failed, and how."""
        return {symbol: memory.fault for symbol, memory in self.memories.items() if memory.fault}

    def on_candle(self, symbol: str, timeframe: Timeframe, candle: Any) -> None:
        """A closed candle has come, in whatever order."""
        memory = self.memories.get(symbol)
        if memory is not None and int(candle["timestamp"]) >= self.anchor_ms:
            memory.offer(timeframe, candle)

    def on_candles(self, symbol: str, timeframe: Timeframe, candles: Candles) -> None:
        for candle in candles:
            self.on_candle(symbol, timeframe, candle)

    def has_any(self, close_ms: int) -> bool:
        """Say whether any deciding candle that closes at `close_ms` has come."""
        frame = self._brain.timeframe
        return any(memory.has(frame, close_ms - frame.ms) for memory in self.memories.values())

    def missing(self, close_ms: int) -> list[Missing]:
        """Return which series lack candles that have closed by `close_ms`, but those asked for in vain."""
        first_ms = max(self.anchor_ms, close_ms - _TAIL_MS)
        found = []
        for symbol, memory in self.memories.items():
            for frame in self._brain.frames:
                gaps = memory.gaps(frame, first_ms, close_ms)
                if any((symbol, frame, open_ms) not in self._absent for open_ms in gaps):
                    found.append((symbol, frame))
        return found

    def range_at(self, symbol: str, close_ms: int) -> tuple[float, float] | None:
        """Return high and low of the deciding candle that closes then; None where it has not come."""
        memory = self.memories.get(symbol)
        return None if memory is None else memory.range_at(close_ms)

    def close(self, close_ms: int, account: Holdings, *, late: bool) -> None:
        """Step every symbol up to `close_ms`, and see the account at it."""
        first_ms = max(self.anchor_ms, close_ms - _TAIL_MS)
        for symbol, memory in self.memories.items():
            for frame in self._brain.frames:  # given up: they will not be waited for again
                gaps = memory.gaps(frame, first_ms, close_ms)
                self._absent.update((symbol, frame, open_ms) for open_ms in gaps)
            for candle in memory.advance(close_ms):
                self.gate.see(symbol, candle)
        self._absent = {each for each in self._absent if each[2] >= first_ms}
        self._late = late
        self.gate.closed(close_ms, account.equity_at(close_ms, self.gate.last_close))
        self.next_close_ms = close_ms + self._brain.timeframe.ms
        self._close_ms = close_ms

    def leaves(self, symbol: str, side: int) -> bool:
        """Say whether the close wants a position of `side` closed; an opposite entry does."""
        memory = self.memories.get(symbol)
        if memory is None or memory.signal is None:
            return False
        signal = memory.signal
        asked = signal.exit_long if side > 0 else signal.exit_short
        return bool(asked or signal.entry == -side)

    def candidates(self) -> list[str]:
        """Return the symbols that the close wants to enter, in their order."""
        signals = ((symbol, memory.signal) for symbol, memory in self.memories.items())
        return [symbol for symbol, signal in signals if signal is not None and signal.entry]

    def judge(self, symbol: str, account: Holdings, now_ms: int) -> EntryWanted | None:
        """Return the entry where policy and gate agree; None, counted, where they do not."""
        signal = self.memories[symbol].signal
        price = self.gate.last_close(symbol)
        if self._late:
            self.refuse(symbol, "DECIDED_LATE")
            return None
        if signal.declined:
            self.refuse(symbol, Rejection.POLICY_DECLINED.name)
            return None
        verdict = self.gate.judge(symbol, signal, price, account.holdings())
        if verdict.rejection is not Rejection.ACCEPTED:
            self.refuse(symbol, verdict.rejection.name)
            return None
        return EntryWanted(
            at_ms=now_ms,
            trade_id=trade_id_of(symbol, self._close_ms),
            symbol=symbol,
            side=int(signal.entry),
            quantity=Decimal(repr(verdict.quantity)),
            stop_distance=float(signal.stop_distance),
            target_distance=float(signal.target_distance),
            decided_ms=self._close_ms,
            reasons=int(signal.reasons),
        )

    def refuse(self, symbol: str, why: str) -> None:
        """Count an entry that is not opened."""
        self.rejections[why] += 1

    def finish(self) -> None:
        """Everything of the close is done."""

    def rearm(self) -> str:
        """Re-arm the drawdown kill switch; return what a person reads."""
        if not self.gate.rearm():
            return "the kill switch had not tripped; nothing changes"
        return "re-armed: the drawdown counts from the equity of the last close on"


def first_memories(brain: Brain, symbols: Sequence[str]) -> dict[str, SymbolMemory]:
    """Return memories that have seen nothing."""
    return {symbol: SymbolMemory(brain, symbol) for symbol in symbols}
