"""The fault matrix: every fault that the exchange is known for, in the situations in which it hurts."""

from __future__ import annotations

from faults.cases_account import ACCOUNT_CASES
from faults.cases_rest import REST_CASES
from faults.cases_streams import STREAM_CASES
from faults.table import Case

_CALM: tuple[Case, ...] = (
    Case("no fault, position held", "hold", (), ("OPEN",)),
    Case("no fault, exit", "exit", (), ("SIGNAL", "OPEN")),
    Case("no fault, stop", "stop", (), ("STOP", "OPEN")),
    Case("no fault, target", "target", (), ("TARGET", "OPEN")),
    Case("no fault, restart", "exit", (("restart", {"do": "nothing"}),), ("SIGNAL", "OPEN")),
)

CASES: tuple[Case, ...] = (*_CALM, *REST_CASES, *STREAM_CASES, *ACCOUNT_CASES)
