"""The candles of a run: read once, judged by the rules of data-validation, and why a symbol is left out.

A symbol that stopped trading within the period is kept: its candles are good up to the last one, and the
strategy would have traded it. To leave it out for what is known of it today would flatter the result.
"""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import apsw
from msgspec import Struct

from futures_agent.clock import utc_text
from futures_agent.errors import Blocked, Refuse
from futures_agent.health.data import assess, judge_symbol
from futures_agent.market.candle import Candles
from futures_agent.market.instrument import Instrument
from futures_agent.market.quality import Oddity, SeriesQuality, faults
from futures_agent.market.timeframe import Timeframe
from futures_agent.market.universe import Member, Standing
from futures_agent.settings.tree import DataSettings
from futures_agent.store.candles import read_candles, stored_range
from futures_agent.store.holes import read_holes
from futures_agent.store.universe import read_universe

# What a symbol is that was traded once and is not any more, or not now.
_STOPPED = frozenset({Standing.DELISTED, Standing.RENAMED, Standing.HALTED, Standing.DORMANT})
_MOST_NAMED = 10  # stored symbols shown to who mistyped one


class Period(Struct, frozen=True):
    """When a run takes place.

    Parameters
    ----------
    start_ms, end_ms : int
        Bars that open in [start_ms, end_ms) and have closed by end_ms, ms UTC.
    now_ms : int, optional
        Exchange time of a run that ends now: its candles must be fresh. A past period has none.
    """

    start_ms: int
    end_ms: int
    now_ms: int | None = None

    def __str__(self) -> str:
        return f"{utc_text(self.start_ms)} to {utc_text(self.end_ms)}"


class Frames(Struct, frozen=True):
    """The timeframes of a run: the one that decides, higher ones, and one that orders events in a bar."""

    deciding: Timeframe
    higher: tuple[Timeframe, ...] = ()
    finer: Timeframe | None = None

    @property
    def every(self) -> tuple[Timeframe, ...]:
        return (self.deciding, *self.higher, *([self.finer] if self.finer else []))

    @property
    def finest_first(self) -> list[Timeframe]:
        return sorted(self.every, key=lambda frame: frame.ms)


class Loaded(Struct, frozen=True):
    """Candles that are fit to be simulated on.

    Parameters
    ----------
    symbols : tuple of str
        Those that are fit, in the order asked for.
    candles : dict of Timeframe to dict of str to ndarray of CANDLE
    notes : tuple of str
        Which symbols were left out or end early, and why.
    """

    symbols: tuple[str, ...]
    candles: dict[Timeframe, dict[str, Candles]]
    notes: tuple[str, ...]


def load_candles(
    db: apsw.Connection,
    settings: DataSettings,
    symbols: Sequence[str],
    instruments: Mapping[str, Instrument],
    frames: Frames,
    period: Period,
    *,
    exchanges_own: AbstractSet[Oddity] = frozenset(),
    on_symbol: Callable[[int], None] | None = None,
) -> Loaded:
    """Read and judge the candles of `symbols`.

    Of a period that ends now all candles are judged as data-validation does it: a fault refuses the whole
    run. In a past period a fault costs only its symbol, and nothing needs to be fresh.

    Parameters
    ----------
    exchanges_own : set of Oddity
        As `health.data.assess` takes it.
    on_symbol : callable, optional
        Called with the number of symbols of which reading has begun.

    Raises
    ------
    Blocked
        The candles up to now are not good.
    Refuse
        No symbol is left.
    """
    if not symbols:
        raise Refuse("no symbols to simulate; check data.symbols")
    reading, fate = _Reading(db, period, on_symbol), _Fate()
    judge = _Judge(db, settings, instruments, frames, period, exchanges_own, reading, fate)
    for symbol in symbols if period.now_ms is None else judge.current(symbols, period.now_ms):
        judge.past(symbol)
    fit = tuple(symbol for symbol in symbols if symbol not in fate.left_out)
    if not fit:
        raise Refuse(_nothing_left(db, frames.deciding, period, symbols, fate))
    candles = {
        frame: {symbol: _closed_by(period.end_ms, frame, series[symbol]) for symbol in fit}
        for frame, series in reading.candles.items()
    }
    return Loaded(fit, candles, tuple(fate.notes()))


def require_known(symbols: Sequence[str], instruments: Mapping[str, Instrument]) -> None:
    """Refuse symbols that nothing is known of, naming what may have been meant."""
    for symbol in symbols:
        if symbol not in instruments:
            meant = difflib.get_close_matches(symbol, instruments, n=3) or sorted(instruments)[:_MOST_NAMED]
            known = f"known are {', '.join(meant)}, …" if meant else "none is known yet"
            raise Refuse(f"--symbols: {symbol} is unknown; {known}; `agentctl data-sync` fetches the list")


class _Reading:
    """Reads series, and keeps what it read."""

    def __init__(self, db: apsw.Connection, period: Period, on_symbol: Callable[[int], None] | None) -> None:
        self._db = db
        self._period = period
        self._on_symbol = on_symbol
        self._begun: set[str] = set()
        self.candles: defaultdict[Timeframe, dict[str, Candles]] = defaultdict(dict)

    def __call__(self, frame: Timeframe, symbol: str) -> Candles:
        # Up to now, whatever lies ahead of the exchange's time is read too: it must not be there.
        end_ms = self._period.end_ms if self._period.now_ms is None else 2**62
        candles = read_candles(self._db, frame, [symbol], self._period.start_ms, end_ms)[symbol]
        if self._period.now_ms is None:
            candles = _closed_by(end_ms, frame, candles)
        self.candles[frame][symbol] = candles
        self._begun.add(symbol)
        if self._on_symbol is not None:
            self._on_symbol(len(self._begun))
        return candles


class _Fate:
    """Which symbols are left out, which end early, and why."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}
        self.ended: dict[str, str] = {}

    def notes(self) -> list[str]:
        by_reason: defaultdict[str, list[str]] = defaultdict(list)
        for symbol, why in self.left_out.items():
            by_reason[why].append(symbol)
        left_out = [f"left out, {why}: {', '.join(names)}" for why, names in by_reason.items()]
        return left_out + [f"{symbol} {how}" for symbol, how in self.ended.items()]


class _Judge:
    """Decides the fate of symbols: of all that trade now together, of the others one by one."""

    def __init__(
        self,
        db: apsw.Connection,
        settings: DataSettings,
        instruments: Mapping[str, Instrument],
        frames: Frames,
        period: Period,
        exchanges_own: AbstractSet[Oddity],
        reading: _Reading,
        fate: _Fate,
    ) -> None:
        self._db = db
        self._settings = settings
        self._instruments = instruments
        self._members = read_universe(db)
        self._holes = {frame: read_holes(db, frame) for frame in frames.every}
        self._frames = frames
        self._end_ms = period.end_ms
        self._own = exchanges_own
        self._read = reading
        self._fate = fate

    def current(self, symbols: Sequence[str], now_ms: int) -> list[str]:
        """Insist on good candles of all that trade now; return the others, which were not judged."""
        report = assess(
            self._db,
            self._settings,
            now_ms=now_ms,
            symbols=symbols,
            timeframes=self._frames.every,
            exchanges_own=self._own,
            read=self._read,
        )
        if not report.passed:
            raise Blocked(
                f"the candles are not good: {report.faults[0]}; `agentctl data-sync` repairs them "
                "(a past period, named with --to, needs no fresh ones)"
            )
        for one in report.series:
            if one.stale:
                self._fate.left_out[one.symbol] = f"{one.timeframe} candles missing or stale"
        judged = {one.symbol for one in report.series}
        for symbol in symbols:
            if symbol not in judged and symbol not in report.excluded:
                self._fate.left_out[symbol] = "listed too recently for a candle"
        return list(report.excluded)

    def past(self, symbol: str) -> None:
        """Judge one symbol as of the end of the period."""
        why = self._never_tradable(symbol) or self._unfit(symbol)
        if why:
            self._fate.left_out[symbol] = why

    def _never_tradable(self, symbol: str) -> str:
        if symbol not in self._instruments:
            return "exchange filters unknown"
        member = self._members.get(symbol)
        if member is not None and member.standing is Standing.UNSUITABLE:
            return member.why
        return ""

    def _unfit(self, symbol: str) -> str:
        """Return what is wrong with the candles of `symbol`; empty where nothing is."""
        frames = self._frames
        candles = {frame: self._read(frame, symbol) for frame in frames.finest_first}
        lacking = [frame for frame in (frames.deciding, *frames.higher) if not len(candles[frame])]
        if lacking:
            return _no_candles(lacking[0])
        judged = judge_symbol(
            self._settings,
            symbol,
            {frame: series for frame, series in candles.items() if len(series)},
            confirmed=defaultdict(tuple, {frame: of.get(symbol, ()) for frame, of in self._holes.items()}),
            onboard_ms=0,
            now_ms=self._end_ms,
        )
        found = faults(
            list(judged.values()),
            [],
            coverage_min=self._settings.coverage_min,
            max_gap_candles=self._settings.max_gap_candles,
            max_disagreements=self._settings.max_disagreements,
            exchanges_own=self._own,
        )
        return found[0].removeprefix(f"{symbol} ") if found else self._ends_early(symbol, judged)

    def _ends_early(self, symbol: str, judged: Mapping[Timeframe, SeriesQuality]) -> str:
        """Keep what stopped trading up to its last candle; return what is wrong where it still trades."""
        deciding = judged[self._frames.deciding]
        if not any(one.stale for one in judged.values()):
            return ""
        last = f"{deciding.timeframe} candles end {utc_text(deciding.newest_ms or 0)}"
        why = _why_stopped(self._members.get(symbol), self._instruments[symbol])
        if not why:
            return f"{last}, before the period does, though it still trades"
        self._fate.ended[symbol] = f"is kept up to its end: {last}; {why}"
        return ""


def _why_stopped(member: Member | None, instrument: Instrument) -> str:
    """Return why a symbol has no candles any more; empty where it should have some."""
    if member is not None:
        return member.why if member.standing in _STOPPED else ""
    return "" if instrument.tradable else instrument.why_untradable


def _no_candles(frame: Timeframe) -> str:
    return f"no {frame.name} candles in the period"


def _closed_by(end_ms: int, frame: Timeframe, candles: Candles) -> Candles:
    """Return the candles that have closed by `end_ms`."""
    closed = candles["timestamp"].searchsorted(end_ms - frame.ms, side="right")
    return candles[:closed]


def _nothing_left(
    db: apsw.Connection, deciding: Timeframe, period: Period, symbols: Sequence[str], fate: _Fate
) -> str:
    empty = _no_candles(deciding)
    reasons = Counter(why for why in fate.left_out.values() if why != empty)
    if reasons:
        ((why, count),) = reasons.most_common(1)
        return f"no symbol is left to simulate: {count} of {len(symbols)} are left out: {why}"
    stored = stored_range(db, deciding, symbols)
    if stored is None:
        return f"no {deciding.name} candles of any of the {len(symbols)} symbols; run data-sync"
    first, last = map(utc_text, stored)
    return (
        f"no {deciding.name} candles from {period} of any of the {len(symbols)} symbols; stored are "
        f"{first} to {last}: choose --from and --to within"
    )
