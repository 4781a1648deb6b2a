"""What an answer of the exchange means: done, refused, never executed, or nobody knows.

The difference decides money: an order whose outcome is UNKNOWN may be live, and must be queried, never
sent again as a new one. Sources: Binance USDⓈ-M "General Info" (HTTP return codes) and "Error Codes".
"""

from __future__ import annotations

from enum import Enum


class Outcome(Enum):
    """What became of one request; the values are in files that last."""

    OK = "OK"  # done
    REJECTED = "REJECTED"  # definitively refused; the same request will be refused again
    NOT_EXECUTED = "NOT_EXECUTED"  # certainly not executed; the same request may be sent again
    UNKNOWN = "UNKNOWN"  # may or may not have been executed; ask the exchange before anything else


# Error bodies that say "execution status unknown", whatever the HTTP status.
_UNKNOWN_CODES = frozenset({-1000, -1006, -1007})
# 503 bodies that say the request never reached the matching engine.
_UNEXECUTED_503_CODES = frozenset({-1001, -1008})
_UNEXECUTED_503_TEXT = "Service Unavailable"

# Documented refusals, as inclusive ranges. A 4xx code outside this list proves nothing about an order.
_REFUSAL_RANGES = (
    *((-1003, -1003), (-1013, -1013), (-1015, -1015), (-1022, -1021), (-1106, -1100), (-1111, -1111)),
    *((-1117, -1115), (-1122, -1120), (-1125, -1125), (-1128, -1127), (-1130, -1130)),
    *((-2011, -2010), (-2015, -2013), (-2022, -2018), (-2028, -2024)),
    *((-4005, -4001), (-4016, -4013), (-4024, -4023), (-4028, -4028), (-4048, -4045), (-4062, -4059)),
    *((-4068, -4067), (-4107, -4105), (-4118, -4116), (-4120, -4120), (-4131, -4130), (-4138, -4137)),
    *((-4141, -4140), (-4161, -4161), (-4165, -4164), (-4184, -4183), (-4189, -4189), (-4192, -4192)),
    *((-4211, -4210), (-4401, -4400), (-4509, -4509), (-4531, -4531)),
    *((-5022, -5021), (-5029, -5024), (-5038, -5037), (-5041, -5041), (-5043, -5043), (-5047, -5047)),
)
REFUSAL_CODES = frozenset(code for low, high in _REFUSAL_RANGES for code in range(low, high + 1))


def classify(status: int | None, code: int | None, message: str, *, mutation: bool) -> Outcome:
    """Return what became of a request.

    Parameters
    ----------
    status : int or None
        HTTP status; None when no answer arrived (time-out, connection lost after sending).
    code : int or None
        `code` of the error body; None when the body was no error object.
    message : str
        `msg` of the error body, or the body's text.
    mutation : bool
        Whether the request changes anything (POST, PUT, DELETE). A read is never UNKNOWN: reading
        again is always safe.
    """
    outcome = _classify_mutation(status, code, message)
    if mutation or outcome is not Outcome.UNKNOWN:
        return Outcome.NOT_EXECUTED if status == 403 and not mutation else outcome
    refused = status is not None and 400 <= status < 500 and status != 408 and code not in _UNKNOWN_CODES
    return Outcome.REJECTED if refused else Outcome.NOT_EXECUTED


def _classify_mutation(status: int | None, code: int | None, message: str) -> Outcome:
    if status is None or status == 408 or code in _UNKNOWN_CODES:
        return Outcome.UNKNOWN
    if status == 200:
        return Outcome.OK
    if status in (418, 429):
        return Outcome.NOT_EXECUTED
    if status in (401, 403):
        return Outcome.REJECTED
    if 400 <= status < 500:
        return Outcome.REJECTED if code in REFUSAL_CODES else Outcome.UNKNOWN
    if status == 503 and (code in _UNEXECUTED_503_CODES or message.startswith(_UNEXECUTED_503_TEXT)):
        return Outcome.NOT_EXECUTED
    return Outcome.UNKNOWN
