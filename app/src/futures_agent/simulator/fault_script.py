"""Faults as JSON: one from the control port, or a script of them, one to a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from futures_agent.clock import SECOND_MS, parse_utc
from futures_agent.errors import Refuse
from futures_agent.simulator.fault_acts import (
    AccountRestricted,
    ConnectionsLost,
    ContractLimits,
    ContractStatus,
    ForcedClose,
    ForeignOrder,
    FundingInterval,
    GridChange,
    ListenKeyExpired,
    MarkOffset,
    PriceJump,
)
from futures_agent.simulator.fault_orders import OrderFault
from futures_agent.simulator.fault_plan import Planned
from futures_agent.simulator.fault_store import StaleStatus, StoreLag
from futures_agent.simulator.fault_streams import CandlesMissing, StreamFault
from futures_agent.simulator.faults import ClockSkew, EngineDelay, Fault

FAULT_KINDS: tuple[type[Planned], ...] = (
    Fault,
    StoreLag,
    StaleStatus,
    ClockSkew,
    EngineDelay,
    StreamFault,
    CandlesMissing,
    ConnectionsLost,
    ListenKeyExpired,
    OrderFault,
    ForcedClose,
    ForeignOrder,
    AccountRestricted,
    ContractStatus,
    ContractLimits,
    GridChange,
    FundingInterval,
    MarkOffset,
    PriceJump,
)
_KIND_OF = {how: kind for kind in FAULT_KINDS for how in get_args(get_type_hints(kind)["how"])}


def read_fault(line: bytes, now_ms: int) -> Planned:
    """Return the fault that a JSON object tells.

    Its fields are those of one of FAULT_KINDS, the one that knows its `how` (`refused` where it tells
    none). `at` may stand for `from_ms`: a UTC time, ms, or `"+90"`, so many seconds after `now_ms`; and
    `for_s` for `until_ms`: seconds from then on.

    Raises
    ------
    msgspec.ValidationError, msgspec.DecodeError
        It tells none; the text says why.
    """
    told = msgspec.json.decode(line, type=dict[str, Any])
    kind = _KIND_OF.get(str(told.get("how", "refused")))
    if kind is None:
        raise msgspec.ValidationError(f"no fault `{told['how']}`; there are {', '.join(sorted(_KIND_OF))}")
    if "at" in told:
        told["from_ms"] = _time(told.pop("at"), now_ms)
    if "for_s" in told:
        told["until_ms"] = told.get("from_ms", now_ms) + _seconds(told.pop("for_s"))
    return msgspec.convert(told, kind)


def read_script(path: Path, now_ms: int) -> list[Planned]:
    """Return the faults of a file of JSON lines; blank ones and those that begin with # are left out.

    Raises
    ------
    Refuse
        The file cannot be read, or a line tells no fault.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise Refuse(f"{path}: cannot read the script of faults: {error.strerror}") from None
    faults = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith(b"#"):
            try:
                faults.append(read_fault(line, now_ms))
            except msgspec.MsgspecError as error:
                raise Refuse(f"{path}:{number}: {error}; docs/simulator.md lists the faults") from None
    return faults


def _time(told: object, now_ms: int) -> int:
    try:
        if isinstance(told, str) and told.startswith("+"):
            return now_ms + int(float(told) * SECOND_MS)
        return parse_utc(str(told))
    except (ValueError, Refuse):
        raise msgspec.ValidationError(
            f"`at` {told!r} is no time; write 2026-11-20T23:30Z, ms UTC, or +90 for seconds from now"
        ) from None


def _seconds(told: object) -> int:
    if not isinstance(told, int | float) or not told > 0:
        raise msgspec.ValidationError(f"`for_s` {told!r} is no number of seconds above 0")
    return int(told * SECOND_MS)
