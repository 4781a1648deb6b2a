"""The decision log: every close the live trader decided, with what it saw, said and why. One writer.

JSON lines, one file per UTC day, only ever appended to. A `close` line says what all decisions at one moment
have in common; the `decision` lines after it carry the same `close_ms` and `at_ms`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from futures_agent.clock import DAY_MS, utc_text
from futures_agent.errors import Refuse
from futures_agent.files import append_line, make_directory

SCHEMA = 1


class HoldingLine(Struct, frozen=True):
    """A position when a close was decided, after the exits decided there."""

    symbol: str
    side: int
    quantity: float
    mark_price: float  # the last close


class CloseLine(Struct, frozen=True, kw_only=True, tag="close"):
    """What all decisions of one moment have in common.

    `risk` and `limits` have the fields of `risk.state.RISK_STATE` and `risk.limits.LIMITS`; `model` is the
    digest of the policy; `missing` are symbols whose candles had not come, `excluded` those that nothing is
    decided on, and why.
    """

    schema: int = SCHEMA
    close_ms: int
    at_ms: int  # exchange time when it was decided
    mode: str
    version: str
    strategy: str
    timeframe: str
    params: dict[str, float | int | bool]
    code: str | None
    model: str | None
    anchor_ms: int
    wallet: float
    risk: dict[str, float | int | bool]
    limits: dict[str, float | int]
    holdings: tuple[HoldingLine, ...]
    missing: tuple[str, ...]
    excluded: dict[str, str]


class BarLine(Struct, frozen=True):
    """A candle as it was seen."""

    timeframe: str
    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class DecisionLine(Struct, frozen=True, kw_only=True, tag="decision"):
    """What the strategy said at the close of one bar of one symbol, and what became of it.

    `bars` are all candles seen since the decision before, the deciding one last; `history` is the CRC-32 over
    every bar since the anchor, `bars_seen` how many those are. An input is null where nothing was known.
    """

    close_ms: int
    at_ms: int
    symbol: str
    bar_close_ms: int  # earlier than close_ms where it came late
    bars: tuple[BarLine, ...]
    bars_seen: int
    history: str
    inputs: dict[str, float | None]
    entry: int
    exit_long: bool
    exit_short: bool
    stop_distance: float
    target_distance: float
    reasons: tuple[str, ...]
    observation: dict[str, float] | None
    declined: bool
    held: int  # side of the position before
    leaves: bool  # the position is to be closed
    rejection: str | None  # of an entry that was judged; ACCEPTED where it was opened
    quantity: str | None  # base units, of an entry that was accepted


Line = CloseLine | DecisionLine


class DecisionLog:
    """Writes the decisions of each close, durable when `append` returns.

    Parameters
    ----------
    directory : Path
        Made if absent.
    keep_days : int
        Files of older UTC days are removed.
    """

    def __init__(self, directory: Path, keep_days: int) -> None:
        self._directory = directory
        self._keep_days = keep_days
        self._pruned_day = ""

    def append(self, close: CloseLine, decisions: list[DecisionLine]) -> None:
        """Write the lines of one moment, all or none.

        Raises
        ------
        Retry, Refuse
            As `files.append_line`: the caller says so and goes on.
        """
        day = utc_text(close.close_ms - 1)[:10]  # the close at midnight belongs to the day it ends
        make_directory(self._directory)
        lines = b"\n".join(msgspec.json.encode(line) for line in (close, *decisions))
        append_line(self._directory / f"{day}.jsonl", lines)
        if day != self._pruned_day:
            self._prune(close.close_ms)
            self._pruned_day = day

    def _prune(self, now_ms: int) -> None:
        oldest = utc_text(max(now_ms - 1 - self._keep_days * DAY_MS, 0))[:10]
        for path in self._directory.glob("????-??-??.jsonl"):
            if path.stem < oldest:
                path.unlink(missing_ok=True)


def read_decisions(
    directory: Path, since_ms: int, until_ms: int
) -> Iterator[tuple[CloseLine, list[DecisionLine]]]:
    """Yield the moments whose close lies in (since_ms, until_ms], ms UTC, in the order they were written.

    Torn and foreign lines are passed over: a power cut may leave one. So are decisions without their close.

    Raises
    ------
    Refuse
        The directory or a file is there and cannot be read.
    """
    moment: tuple[CloseLine, list[DecisionLine]] | None = None
    for path in _files(directory, since_ms, until_ms):
        for line in _lines(path):
            if isinstance(line, CloseLine):
                if moment is not None:
                    yield moment
                wanted = since_ms < line.close_ms <= until_ms and line.schema == SCHEMA
                moment = (line, []) if wanted else None
            elif moment is not None and (line.close_ms, line.at_ms) == (moment[0].close_ms, moment[0].at_ms):
                moment[1].append(line)
    if moment is not None:
        yield moment


def _files(directory: Path, since_ms: int, until_ms: int) -> list[Path]:
    first, last = utc_text(since_ms)[:10], utc_text(until_ms - 1)[:10]
    try:
        names = sorted(path.name for path in directory.iterdir()) if directory.exists() else []
    except OSError as error:
        raise Refuse(f"{directory}: cannot read the decision log: {error.strerror}") from None
    return [directory / name for name in names if name.endswith(".jsonl") and first <= name[:10] <= last]


def _lines(path: Path) -> Iterator[Line]:
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    yield msgspec.json.decode(line, type=Line)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue
    except FileNotFoundError:  # pruned meanwhile
        return
    except OSError as error:
        raise Refuse(f"{path}: cannot read the decision log: {error.strerror}") from None
