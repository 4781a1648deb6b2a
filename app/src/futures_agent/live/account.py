"""The account as the risk gate sees it: what is held, what that is worth, and what it has been through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from futures_agent.clock import utc_text
from futures_agent.errors import Refuse
from futures_agent.files import write_atomically
from futures_agent.plain import PlainRecord, as_tuple, plain_type
from futures_agent.risk.gate import Marked
from futures_agent.risk.state import RISK_STATE, new_risk_state, rearm, risk_step

_FORMAT = 1


class Holding(Struct, frozen=True, kw_only=True):
    """One position.

    Attributes
    ----------
    side : int
        +1 long, −1 short.
    quantity, entry_price : float
    decided_ms : int
        Close that decided its entry, ms UTC; of an adopted one, when it was adopted. What the strategy said
        at that close and before does not close it.
    mark_price : float
        Used where no close of the symbol is known.
    """

    side: int
    quantity: float
    entry_price: float
    decided_ms: int
    mark_price: float = 0.0


class Account(Struct, frozen=True, kw_only=True):
    """What the desk knows; `wallet` is cash in quote units, without unrealised profit."""

    wallet: float
    holdings: Mapping[str, Holding]


def marked_equity(wallet: float, holdings: Iterable[tuple[Marked, float]]) -> float:
    """Return wallet + Σ side · quantity · (mark − entry price), summed as `portfolio.close_bar` does."""
    unrealised = 0.0
    for held, entry_price in holdings:
        if held.side != 0:
            unrealised += held.side * held.quantity * (held.mark_price - entry_price)
    return wallet + unrealised


class RiskMemory:
    """The day's loss limit and the drawdown kill switch, kept on disk over restarts.

    Parameters
    ----------
    path : Path
        One file per mode: what the paper account went through is nothing to the live one.

    Attributes
    ----------
    state : record with the fields of RISK_STATE, or None before the first close
    close_ms : int
        The last close it was fed with, ms UTC; 0 before the first.
    damage : str
        What a person should know where the file could not be used: then nothing is opened until re-armed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.close_ms = 0
        self.damage = ""
        self._distrusted = False
        self.state: Any = None
        try:
            saved = msgspec.json.decode(path.read_bytes(), type=_Saved)
            if saved.format != _FORMAT:
                raise msgspec.ValidationError(f"format {saved.format}, expected {_FORMAT}")
            record = np.zeros(1, RISK_STATE)
            for name, value in saved.state.items():
                record[name] = value
        except FileNotFoundError:
            return
        except (OSError, ValueError, msgspec.DecodeError) as error:
            self.damage = (
                f"{path}: cannot be used ({error}); nothing is opened until a person re-arms the kill switch"
            )
            self._distrusted = True
            return
        self.state, self.close_ms = _plain(record), saved.close_ms

    def mark(self, limits: Any, close_ms: int, equity: float) -> None:
        """Feed the equity at one decision close, once; a close that is not newer changes nothing."""
        if self.state is None:
            self.state = _plain(new_risk_state(equity, close_ms))
            if self._distrusted:  # it may have tripped: a file that cannot be read must not re-arm it
                self.state.kill_switch, self.state.tripped_ms = True, close_ms
        if close_ms <= self.close_ms:
            return
        risk_step(self.state, limits, close_ms, equity)
        self.close_ms = close_ms

    def begin(self, equity: float, time_ms: int) -> None:
        """Begin with `equity` at `time_ms` (ms UTC), where nothing is remembered yet."""
        if self.state is None and not self._distrusted:
            self.state = _plain(new_risk_state(equity, time_ms))

    def rearm(self) -> str:
        """Let the account open positions again, by a person's decision; returns the line that says so."""
        if self.state is None:
            raise Refuse("the account has seen no close yet: nothing to re-arm")
        was = self.state.kill_switch
        record = np.zeros(1, RISK_STATE)
        record[0] = as_tuple(self.state)
        rearm(record)
        self.state = _plain(record)
        self._distrusted = False
        self.damage = ""
        if not was:
            return f"the kill switch had not tripped; drawdown counts from {self.state.equity:g} on"
        since = utc_text(self.state.tripped_ms)
        return f"the kill switch of {since} is re-armed; drawdown counts from {self.state.equity:g} on"

    def save(self) -> None:
        """Write it to disk, whole or not at all.

        Raises
        ------
        Retry, Refuse
            As `files.write_atomically`.
        """
        if self.state is not None:
            names = RISK_STATE.names or ()
            saved = _Saved(_FORMAT, self.close_ms, {name: getattr(self.state, name) for name in names})
            write_atomically(self._path, msgspec.json.encode(saved) + b"\n", mode=0o640)


class _Saved(Struct, frozen=True):
    format: int
    close_ms: int
    state: dict[str, float | int | bool]


def _plain(record: np.ndarray[Any, Any]) -> PlainRecord:
    return plain_type(RISK_STATE)(record[0].item())
