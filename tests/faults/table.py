"""The rows of the fault matrix: what strikes, when, and what must come of it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

# start: before the trader is started; entry: just before the close that opens; held: two minutes later, the
# position under its stop; restart: between a stop of the trader and its next start, ten minutes after the
# entry; exit: just before the close that decides to leave.
Moment = Literal["start", "entry", "held", "restart", "exit"]
# hold: the position stays; exit: the strategy leaves after an hour; stop, target: reached within that hour.
# After all but `hold` another position is opened, which stays.
Scene = Literal["hold", "exit", "stop", "target"]


class Case(NamedTuple):
    """One row.

    Attributes
    ----------
    strikes : tuple
        (moment, fault) in the words of the simulator's scripts; `type` restricts one to orders of that
        type, `do` names a method of `World` instead.
    trades : tuple of str
        What must have become of every trade, in their order: the reason of its exit, OPEN, or why it was
        never entered. `SIGNAL|LAPSED`: by how far the waiting for a limit went in time.
    incidents : tuple of str
        Kinds that must be told, and those with a ? that may.
    naked_s : float
        How long the position may be without a live stop, venue time.
    live : dict
        Settings of the trader.
    stray_orders : int
        Orders of others that stay at the venue.
    """

    name: str
    scene: Scene
    strikes: tuple[tuple[Moment, dict[str, Any]], ...]
    trades: tuple[str, ...]
    incidents: tuple[str, ...] = ()
    naked_s: float = 2.0
    live: dict[str, Any] = {}  # noqa: RUF012 - a row is not changed
    stray_orders: int = 0
