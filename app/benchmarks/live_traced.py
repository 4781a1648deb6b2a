"""`agentctl` that notes when it decides and when orders are on the disk; `live_latency` starts it.

One line of `name nanoseconds` to a moment, in the file that STAMPS names; the host's monotonic clock, which
all processes share.
"""

from __future__ import annotations

import os
import time
from typing import Any

from futures_agent.cli import main
from futures_agent.live.deciding import Decided, Decider
from futures_agent.live.steps import Step, watch

_file = os.open(os.environ["STAMPS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_decide = Decider.decide


def _stamp(name: str) -> None:
    os.write(_file, b"%s %d\n" % (name.encode(), time.monotonic_ns()))


def _stamped(self: Decider, *arguments: Any) -> Decided:
    _stamp("DECIDING")
    decided = _decide(self, *arguments)
    _stamp("DECIDED")
    return decided


def _reached(step: Step, what: str) -> None:
    if step is Step.JOURNALED:
        _stamp(f"JOURNALED_{what}")
    elif step is Step.SAVED:
        _stamp(step.name)


Decider.decide = _stamped  # type: ignore[method-assign]
watch(_reached)
main()
