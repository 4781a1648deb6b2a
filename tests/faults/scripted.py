"""A strategy that does at each close what a script says, so that a fault meets the right situation."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

from futures_agent.strategy.strategy import Strategy

NAME = "faults.scripted:SCRIPTED"
SCRIPT: dict[int, dict[str, float]] = {}  # open time of a bar → what is signalled at its close


class NoParams(Struct):
    """It has none."""


def _step(state: Any, bar: Any, params: Any, signal: Any) -> None:
    for name, value in SCRIPT.get(int(bar.timestamp), {}).items():
        setattr(signal, name, value * bar.close if name.endswith("distance") else value)
    state.seen += 1


SCRIPTED = Strategy(name="scripted", params=NoParams, state=np.dtype([("seen", np.int64)]), step=_step)
