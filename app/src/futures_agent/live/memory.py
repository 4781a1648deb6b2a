"""The strategy's memory of every symbol on disk: what a restart need not step through again.

One file for all symbols, replaced whole after each close. It is a convenience: whatever is wrong with it,
the strategy warms up from the anchor instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import zstandard
from msgspec import Struct
from numpy.typing import NDArray

from futures_agent import __version__
from futures_agent.clock import DAY_MS
from futures_agent.files import write_atomically
from futures_agent.live.tracker import Close, Rules, Tracker
from futures_agent.market.timeframe import Timeframe

_MAGIC = b"futures-agent strategy memory 1\n"
_CLOSE = np.dtype([("timestamp", np.int64), ("close", np.float64)])


class SymbolMemory(Struct, frozen=True, kw_only=True):
    """One symbol as it was after its newest bar."""

    state: bytes  # the strategy's record
    closes: bytes  # what the correlation cap looks at
    last: dict[str, int]  # by name of the timeframe: open time of the newest candle seen, ms UTC
    asked_ms: dict[int, int]
    history: int
    bars_seen: int


class Memory(Struct, frozen=True, kw_only=True):
    """Everything that was saved, and what it holds for.

    Attributes
    ----------
    maker : str
        Digest of the code, the parameters and the shape of what the strategy remembers.
    anchor_ms : int
        Open time from which on candles were seen, ms UTC.
    anchor_days : int
        The setting that the anchor was chosen by.
    """

    maker: str
    anchor_ms: int
    anchor_days: int
    symbols: dict[str, SymbolMemory]


def maker_of(rules: Rules, code: str | None) -> str:
    """Return the digest of all that makes a memory what it is; another one cannot go on from it.

    Without a digest of the code (a strategy that lies in no file) the memory holds for this process alone.
    """
    shape = (
        rules.strategy.name,
        rules.timeframe.name,
        tuple(each.name for each in rules.strategy.timeframes),
        repr(rules.strategy.state.descr),
        repr(rules.strategy.bar.descr),
        {name: getattr(rules.params, name) for name in rules.params.__slots__},
        rules.correlation_bars,
        __version__,
        np.__version__,
        code if code is not None else uuid4().hex,
    )
    return hashlib.sha256(repr(shape).encode()).hexdigest()


def anchor_of(anchor_days: int, now_ms: int) -> int:
    """Return the start of the UTC day `anchor_days` before that of `now_ms`, ms UTC."""
    return now_ms - now_ms % DAY_MS - anchor_days * DAY_MS


def save_memory(
    path: Path, trackers: Mapping[str, Tracker], *, maker: str, anchor_ms: int, anchor_days: int
) -> int:
    """Write what all trackers remember, whole or not at all, and return how many bytes that were.

    A symbol on which the strategy failed is left out: what it remembers may be half of a step.

    Raises
    ------
    Retry, Refuse
        As `files.write_atomically`; what was there stays.
    """
    memory = Memory(
        maker=maker,
        anchor_ms=anchor_ms,
        anchor_days=anchor_days,
        symbols={symbol: _remembered(each) for symbol, each in trackers.items() if not each.failure},
    )
    body = zstandard.ZstdCompressor(level=1).compress(msgspec.msgpack.encode(memory))
    content = _MAGIC + hashlib.sha256(body).digest() + body
    write_atomically(path, content, mode=0o640)
    return len(content)


def load_memory(path: Path, *, maker: str, anchor_days: int) -> tuple[Memory | None, str]:
    """Return what was saved, and where it cannot be used None and why, in words for a person.

    A memory of another code, other parameters or another `live.anchor_days` cannot be used.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None, "nothing is remembered yet"
    except OSError as error:
        return None, f"{path}: cannot be read: {error.strerror}"
    head = len(_MAGIC) + hashlib.sha256().digest_size
    body = content[head:]
    if not content.startswith(_MAGIC) or content[len(_MAGIC) : head] != hashlib.sha256(body).digest():
        return None, f"{path}: damaged, or of another version"
    try:
        memory = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(body), type=Memory)
    except (msgspec.MsgspecError, zstandard.ZstdError) as error:
        return None, f"{path}: damaged ({error})"
    if memory.maker != maker:
        return None, "the strategy's code, parameters or version changed"
    if memory.anchor_days != anchor_days:
        return None, f"live.anchor_days is {anchor_days} now, it was {memory.anchor_days}"
    return memory, ""


def recall(tracker: Tracker, memory: SymbolMemory, state: np.dtype[Any]) -> None:
    """Let a tracker that has seen nothing go on where the one that was saved stood."""
    tracker.state = np.frombuffer(memory.state, state)
    tracker.closes.extend(Close(*row) for row in np.frombuffer(memory.closes, _CLOSE).tolist())
    tracker.last = {Timeframe[name]: opened for name, opened in memory.last.items()}
    tracker.asked_ms = dict(memory.asked_ms)
    tracker.history = memory.history
    tracker.bars_seen = memory.bars_seen


def _remembered(tracker: Tracker) -> SymbolMemory:
    closes: NDArray[np.void] = np.array(list(map(tuple, tracker.closes)), _CLOSE)
    return SymbolMemory(
        state=tracker.state.tobytes(),
        closes=closes.tobytes(),
        last={timeframe.name: opened for timeframe, opened in tracker.last.items()},
        asked_ms=tracker.asked_ms,
        history=tracker.history,
        bars_seen=tracker.bars_seen,
    )
