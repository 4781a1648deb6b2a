"""Deciding: closed candles in, wanted exits and entries out, as the backtest decides on the same candles.

Nothing here asks, sends or writes: the trader feeds candles, fetches what is missing, and acts.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from futures_agent import __version__
from futures_agent.compiled import code_digest
from futures_agent.errors import Refuse
from futures_agent.execution.rounding import RULES, rules_of
from futures_agent.live.account import Account, RiskMemory, marked_equity
from futures_agent.live.ids import trade_id_of
from futures_agent.live.records import EntryWanted, ExitWanted
from futures_agent.live.tracker import Arrival, Missing, Published, Rules, Stepped, Tracker
from futures_agent.market.candle import CANDLE, Candles
from futures_agent.market.instrument import Instrument
from futures_agent.market.timeframe import Timeframe
from futures_agent.plain import plain_type
from futures_agent.policy.policy import Policy
from futures_agent.program.decision_log import BarLine, CloseLine, DecisionLine, HoldingLine
from futures_agent.risk.correlation import Closes
from futures_agent.risk.gate import ENTRY, Marked, judge_entry
from futures_agent.risk.limits import LIMITS, limits_of
from futures_agent.risk.rejection import Rejection
from futures_agent.risk.state import RISK_STATE
from futures_agent.settings.tree import RiskSettings
from futures_agent.strategy.strategy import Strategy

Refusal = Callable[[str], Rejection]  # symbol → why nothing may be opened on it now, or ACCEPTED

_NO_ENTRY = plain_type(ENTRY)


class Decided(Struct, frozen=True, kw_only=True):
    """What is to be done about one close, and what the log says of it.

    Attributes
    ----------
    exits, entries : tuple
        Each in the order of the symbols; all exits come before the entries. An entry whose symbol also
        stands in `exits` follows the fill of that exit.
    failures : tuple of str
        A line per symbol that was given up at this close.
    """

    exits: tuple[ExitWanted, ...]
    entries: tuple[EntryWanted, ...]
    failures: tuple[str, ...]
    close: CloseLine
    decisions: tuple[DecisionLine, ...]


class Decider:
    """Runs the strategy over every symbol's closed candles, and its entries through the risk gate.

    Parameters
    ----------
    strategy : Strategy
    params : mapping
        The strategy's parameters, over its defaults.
    timeframe : Timeframe
        The one that decides.
    instruments : mapping of str to Instrument
        One per symbol, in the order in which the symbols compete for the account.
    risk : RiskSettings
    memory : RiskMemory
        What the account has been through.
    anchor_ms : int
        Where the strategy's memory begins, ms UTC.
    mode : str
        For the log.
    decide_within_ms : int
        A close that is decided later than this decides no entry.
    published : callable, optional
        Symbol → what was published of each of the strategy's inputs, as far as anybody knows now.
    policy : Policy, optional
        Judges every entry; without one each is accepted.

    Attributes
    ----------
    trackers : dict of str to Tracker
        A symbol is decided on from when its tracker is here.
    rejections : dict of str to int
        Name of the reason → entries refused, as the result of a backtest counts them.

    Raises
    ------
    Refuse
        Bad parameters, a timeframe not below the strategy's higher ones, or a policy for another observation.
    """

    def __init__(
        self,
        strategy: Strategy,
        params: Mapping[str, Any],
        timeframe: Timeframe,
        instruments: Mapping[str, Instrument],
        *,
        risk: RiskSettings,
        memory: RiskMemory,
        anchor_ms: int,
        mode: str,
        decide_within_ms: int,
        published: Callable[[str], Published] = lambda symbol: {},
        policy: Policy | None = None,
    ) -> None:
        if any(higher.ms <= timeframe.ms for higher in strategy.timeframes):
            raise Refuse(
                f"strategy.timeframe: {timeframe.name} must be below all that {strategy.name} follows"
            )
        if policy is not None:
            policy.require_fit(strategy.name, strategy.observation)
        self.params = strategy.read_params(params)
        self.symbols = tuple(instruments)
        self.anchor_ms = anchor_ms
        self.risk = memory
        self.trackers: dict[str, Tracker] = {}
        self.rejections: dict[str, int] = {}
        plain_params = plain_type(self.params.dtype)(self.params[0].item())
        self.rules = Rules(strategy, plain_params, timeframe, policy, risk.correlation_bars)
        self.code = code_digest(strategy.step)
        self.set_limits(risk)
        self._filters = {symbol: _filters(each) for symbol, each in instruments.items()}
        self._mode = mode
        self._within_ms = decide_within_ms
        self._published = published

    def set_instrument(self, instrument: Instrument) -> None:
        """Size entries of its symbol by these filters of the exchange from now on."""
        if instrument.symbol in self._filters:
            self._filters[instrument.symbol] = _filters(instrument)

    def set_limits(self, risk: RiskSettings) -> None:
        """Judge entries by these limits from now on.

        `correlation_bars` stays as it was: no more closes than that are kept.
        """
        kept = replace(risk, correlation_bars=self.rules.correlation_bars)
        self._limits = plain_type(LIMITS)(limits_of(kept)[0].item())

    def track(self, symbol: str) -> Tracker:
        """Return a tracker for `symbol` that has seen nothing; `trackers` takes it when it has warmed up."""
        return Tracker(symbol, self.rules)

    def warm(self, tracker: Tracker, series: Mapping[Timeframe, Candles]) -> None:
        """Let the strategy see candles that were closed before anybody could act on them."""
        tracker.see(series, self._published(tracker.symbol))

    def on_candle(self, symbol: str, timeframe: Timeframe, candle: np.void) -> Arrival:
        """Take one closed candle, in any order and as often as it comes.

        AHEAD: candles before it are missing, and `missing` names them until they came or `have_none` says
        that the exchange has none.
        """
        tracker = self.trackers.get(symbol)
        return Arrival.UNKNOWN if tracker is None else tracker.take(timeframe, candle)

    def have_none(self, missing: Missing) -> None:
        """Believe that the exchange has no candles with these open times."""
        self.trackers[missing.symbol].have_none(missing.timeframe, missing.first_ms, missing.last_ms)

    def missing(self, close_ms: int) -> list[Missing]:
        """Return the candles that have closed by `close_ms` (ms UTC) and have not come, symbol by symbol."""
        return [
            each
            for symbol in self.symbols
            if symbol in self.trackers
            for each in self.trackers[symbol].missing(close_ms)
        ]

    def decide(
        self,
        close_ms: int,
        account: Account,
        now_ms: int,
        refusal: Refusal = lambda symbol: Rejection.ACCEPTED,
    ) -> Decided:
        """Decide on the symbols whose candles are all here and that have not been decided at this close.

        It may be called again for the same close when what was missing has come; the account is marked once.

        Parameters
        ----------
        close_ms : int
            The newest close of the deciding timeframe, ms UTC.
        account : Account
            With every position, also one of a symbol that is not traded any more.
        now_ms : int
            Exchange time, ms UTC.
        refusal : callable
            What speaks against opening on a symbol besides the risk gate.
        """
        late = [symbol for symbol in self.symbols if self._lacks(symbol, close_ms)]
        known = {symbol for symbol, each in self.trackers.items() if each.failure}
        stepped = {
            symbol: self.trackers[symbol].advance(close_ms, self._published(symbol))
            for symbol in self.symbols
            if symbol in self.trackers and symbol not in late
        }
        stepped = {name: each for name, each in stepped.items() if not self.trackers[name].failure}
        deciding = _Deciding(self, close_ms, account, now_ms)
        deciding.mark()
        deciding.leave(stepped)
        for symbol, each in stepped.items():
            deciding.enter(symbol, each, refusal)
        failed = {name: each.failure for name, each in self.trackers.items() if each.failure}
        return Decided(
            exits=tuple(deciding.exits),
            entries=tuple(deciding.entries),
            failures=tuple(
                f"{symbol}: strategy {self.rules.strategy.name} failed ({why}); it decides nothing there "
                "until the trader starts again, and an open position keeps its stop"
                for symbol, why in failed.items()
                if symbol not in known
            ),
            close=deciding.close_line(late),
            decisions=tuple(deciding.decisions),
        )

    def _lacks(self, symbol: str, close_ms: int) -> bool:
        return symbol in self.trackers and bool(self.trackers[symbol].missing(close_ms))

    def closes(self) -> Closes:
        """Return the deciding candles that the strategy has seen, as far back as any correlation looks."""
        rows: list[Any] = []
        first, end = [], []
        for symbol in self.symbols:
            first.append(len(rows))
            rows += self.trackers[symbol].closes if symbol in self.trackers else ()
            end.append(len(rows))
        return Closes(rows, first, end, self.rules.timeframe.ms)  # type: ignore[arg-type]  # plain Python reads lists


class _Deciding:
    """One close being decided: exits first, then entries, each in the order of the symbols."""

    def __init__(self, decider: Decider, close_ms: int, account: Account, now_ms: int) -> None:
        self._decider = decider
        self._close_ms = close_ms
        self._now_ms = now_ms
        self._account = account
        self._step_ms = decider.rules.timeframe.ms
        self._late = now_ms - close_ms > decider._within_ms
        # Whatever is held counts; positions of symbols that are not traded come last.
        others = [symbol for symbol in account.holdings if symbol not in decider.symbols]
        self._names = (*decider.symbols, *others)
        self._held = [self._marked(symbol) for symbol in self._names]
        self._index = {symbol: index for index, symbol in enumerate(self._names)}
        self._closes: Closes | None = None
        self.exits: list[ExitWanted] = []
        self.entries: list[EntryWanted] = []
        self.decisions: list[DecisionLine] = []

    def _marked(self, symbol: str) -> Marked:
        held = self._account.holdings.get(symbol)
        if held is None:
            return Marked()
        tracker = self._decider.trackers.get(symbol)
        mark = tracker.closes[-1].close if tracker and tracker.closes else held.mark_price
        return Marked(held.side, held.quantity, mark)

    def mark(self) -> None:
        """Tell the risk gate's memory what the account is worth at this close."""
        holdings = self._account.holdings
        pairs = [
            (held, holdings[symbol].entry_price)
            for symbol, held in zip(self._names, self._held, strict=True)
            if symbol in holdings
        ]
        equity = marked_equity(self._account.wallet, pairs)
        self._decider.risk.mark(self._decider._limits, self._close_ms, equity)

    def leave(self, stepped: Mapping[str, Stepped]) -> None:
        """Want to close what the strategy asked to leave since the position was entered."""
        for symbol, each in stepped.items():
            held = self._account.holdings.get(symbol)
            if held is None or self._step_ms not in each.bars["timeframe_ms"]:
                continue
            if self._decider.trackers[symbol].asked_ms[held.side] > held.decided_ms:
                self.exits.append(ExitWanted(at_ms=self._now_ms, symbol=symbol, why="SIGNAL"))
                self._held[self._index[symbol]] = Marked()

    def enter(self, symbol: str, stepped: Stepped, refusal: Refusal) -> None:
        """Judge the entry of every deciding bar that was seen, and note what was decided."""
        rows = np.flatnonzero(stepped.bars["timeframe_ms"] == self._step_ms).tolist()
        opens = stepped.bars["timestamp"][rows].tolist()
        first = 0
        for place, row in enumerate(rows):
            signal, verdict, quantity = stepped.signals[row], None, 0.0
            if signal["entry"] != 0 and self._held[self._index[symbol]].side == 0:
                following = opens[place + 1] if place + 1 < len(rows) else None
                verdict, quantity = self._verdict(symbol, stepped, row, following, refusal)
            if verdict is Rejection.ACCEPTED:
                self._want(symbol, stepped, row, quantity)
            elif verdict is not None:
                counts = self._decider.rejections
                counts[verdict.name] = counts.get(verdict.name, 0) + 1
            line = self._line(symbol, stepped, first, row, verdict, quantity)
            self.decisions.append(line)
            first = row + 1

    def _verdict(
        self, symbol: str, stepped: Stepped, row: int, following: int | None, refusal: Refusal
    ) -> tuple[Rejection, float]:
        """Return why an entry is refused, or ACCEPTED and its quantity."""
        opened = int(stepped.bars["timestamp"][row])
        if opened + self._step_ms != self._close_ms or self._late:
            hole = following is not None and following != opened + self._step_ms
            return (Rejection.ENTRY_LAPSED if hole else Rejection.CLOSE_LATE), 0.0
        if stepped.signals[row]["declined"]:
            return Rejection.POLICY_DECLINED, 0.0
        if (why := refusal(symbol)) is not Rejection.ACCEPTED:
            return why, 0.0
        candidate = _NO_ENTRY(
            (
                self._index[symbol],
                int(stepped.signals[row]["entry"]),
                float(stepped.bars["close"][row]),
                float(stepped.signals[row]["stop_distance"]),
                float(stepped.signals[row]["target_distance"]),
            )
        )
        decider = self._decider
        quantity, reason = judge_entry(
            candidate,
            decider.risk.state,
            self._held,
            self._all_closes(),
            decider._limits,
            decider._filters[symbol],
        )
        return Rejection(reason), quantity

    def _all_closes(self) -> Closes:
        if self._closes is None:
            closes = self._decider.closes()
            none = [len(closes.candles)] * (len(self._names) - len(self._decider.symbols))
            self._closes = closes._replace(first=[*closes.first, *none], end=[*closes.end, *none])  # type: ignore[arg-type]
        return self._closes

    def _want(self, symbol: str, stepped: Stepped, row: int, quantity: float) -> None:
        signal, close = stepped.signals[row], float(stepped.bars["close"][row])
        side = int(signal["entry"])
        self._held[self._index[symbol]] = Marked(side, quantity, close)
        self.entries.append(
            EntryWanted(
                at_ms=self._now_ms,
                trade_id=trade_id_of(symbol, self._close_ms),
                symbol=symbol,
                side=side,
                quantity=Decimal(repr(quantity)),
                stop_distance=float(signal["stop_distance"]),
                target_distance=float(signal["target_distance"]),
                decided_ms=self._close_ms,
                reasons=int(signal["reasons"]),
            )
        )

    def _line(
        self, symbol: str, stepped: Stepped, first: int, row: int, verdict: Rejection | None, quantity: float
    ) -> DecisionLine:
        decider, bar, signal = self._decider, stepped.bars[row], stepped.signals[row]
        strategy = decider.rules.strategy
        held = self._account.holdings.get(symbol)
        seen = stepped.observations.get(row)
        return DecisionLine(
            close_ms=self._close_ms,
            at_ms=self._now_ms,
            symbol=symbol,
            bar_close_ms=int(bar["timestamp"]) + self._step_ms,
            bars=tuple(_bar_line(each) for each in stepped.bars[first : row + 1]),
            bars_seen=stepped.seen_before + row + 1,
            history=f"{zlib.crc32(stepped.bars[: row + 1].tobytes(), stepped.history_before):08x}",
            inputs={
                each.name: float(bar[each.name]) if bar[f"{each.name}_known"] else None
                for each in strategy.inputs_used(decider.params)
            },
            entry=int(signal["entry"]),
            exit_long=bool(signal["exit_long"]),
            exit_short=bool(signal["exit_short"]),
            stop_distance=float(signal["stop_distance"]),
            target_distance=float(signal["target_distance"]),
            reasons=strategy.reasons_of(int(signal["reasons"])),
            observation=None if seen is None else dict(zip(strategy.observation, seen, strict=True)),
            declined=bool(signal["declined"]),
            held=0 if held is None else held.side,
            leaves=any(each.symbol == symbol for each in self.exits),
            rejection=None if verdict is None else verdict.name,
            quantity=repr(quantity) if verdict is Rejection.ACCEPTED else None,
        )

    def close_line(self, late: Sequence[str]) -> CloseLine:
        """Return what all decisions of this moment have in common."""
        decider, rules = self._decider, self._decider.rules
        return CloseLine(
            close_ms=self._close_ms,
            at_ms=self._now_ms,
            mode=decider._mode,
            version=__version__,
            strategy=rules.strategy.name,
            timeframe=rules.timeframe.name,
            params={name: getattr(rules.params, name) for name in decider.params.dtype.names or ()},
            code=decider.code,
            model=None if rules.policy is None else rules.policy.digest,
            anchor_ms=decider.anchor_ms,
            wallet=self._account.wallet,
            risk={name: getattr(decider.risk.state, name) for name in RISK_STATE.names or ()},
            limits={name: getattr(decider._limits, name) for name in LIMITS.names or ()},
            holdings=tuple(
                HoldingLine(symbol, held.side, held.quantity, held.mark_price)
                for symbol, held in zip(self._names, self._held, strict=True)
                if held.side != 0 and symbol in self._account.holdings
            ),
            missing=tuple(late),
            excluded={symbol: each.failure for symbol, each in decider.trackers.items() if each.failure},
        )


def _filters(instrument: Instrument) -> Any:
    return plain_type(RULES)(rules_of([instrument])[0].item())


def _bar_line(bar: np.void) -> BarLine:
    name = next(each.name for each in Timeframe if each.ms == bar["timeframe_ms"])
    return BarLine(name, *(bar[field].item() for field in CANDLE.names or ()))
