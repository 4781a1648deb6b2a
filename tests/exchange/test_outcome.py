import pytest
from hypothesis import given
from hypothesis import strategies as st

from futures_agent.exchange.outcome import REFUSAL_CODES, Outcome, classify

UNKNOWN_503 = "Unknown error, please check your request or try again later."
INTERNAL_503 = "Internal error; unable to process your request. Please try again."
THROTTLED_503 = (
    "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. "
    "Please try again."
)
OK, REJECTED = Outcome.OK, Outcome.REJECTED
NOT_EXECUTED, UNKNOWN = Outcome.NOT_EXECUTED, Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("status", "code", "message", "mutation", "read"),
    [
        (200, None, "", OK, OK),
        (400, -1121, "Invalid symbol.", REJECTED, REJECTED),
        (400, -2019, "Margin is insufficient.", REJECTED, REJECTED),
        (400, -4120, "Order type not supported for this endpoint.", REJECTED, REJECTED),
        (400, -1000, "An unknown error occured while processing the request.", UNKNOWN, NOT_EXECUTED),
        (400, -1006, "An unexpected response was received.", UNKNOWN, NOT_EXECUTED),
        (400, -1007, "Timeout waiting for response from backend server.", UNKNOWN, NOT_EXECUTED),
        (400, -9999, "a code nobody documented", UNKNOWN, REJECTED),
        (400, None, "<html>", UNKNOWN, REJECTED),
        (401, -2014, "API-key format invalid.", REJECTED, REJECTED),
        (401, -2015, "Invalid API-key, IP, or permissions for action.", REJECTED, REJECTED),
        (403, None, "", REJECTED, NOT_EXECUTED),
        (408, -1007, "Timeout waiting for response from backend server.", UNKNOWN, NOT_EXECUTED),
        (408, None, "", UNKNOWN, NOT_EXECUTED),
        (429, -1003, "Too many requests", NOT_EXECUTED, NOT_EXECUTED),
        (429, -1015, "Too many new orders", NOT_EXECUTED, NOT_EXECUTED),
        (418, -1003, "IP banned until 1790000000000", NOT_EXECUTED, NOT_EXECUTED),
        (503, None, UNKNOWN_503, UNKNOWN, NOT_EXECUTED),
        (503, -1000, UNKNOWN_503, UNKNOWN, NOT_EXECUTED),
        (503, None, "Service Unavailable.", NOT_EXECUTED, NOT_EXECUTED),
        (503, -1001, INTERNAL_503, NOT_EXECUTED, NOT_EXECUTED),
        (503, -1008, THROTTLED_503, NOT_EXECUTED, NOT_EXECUTED),
        (500, -1001, INTERNAL_503, UNKNOWN, NOT_EXECUTED),
        (502, None, "<html>bad gateway", UNKNOWN, NOT_EXECUTED),
        (504, None, "<html>gateway time-out", UNKNOWN, NOT_EXECUTED),
        (500, None, "Request occur unknown error.", UNKNOWN, NOT_EXECUTED),
        (301, None, "", UNKNOWN, NOT_EXECUTED),
        (None, None, "connection reset", UNKNOWN, NOT_EXECUTED),
    ],
)
def test_every_row_of_the_status_table(status, code, message, mutation, read):
    assert classify(status, code, message, mutation=True) is mutation
    assert classify(status, code, message, mutation=False) is read


@pytest.mark.parametrize(
    "code", [-1003, -1013, -1106, -1130, -2010, -2022, -4001, -4164, -4509, -5022, -5047]
)
def test_documented_refusals_are_definitive(code):
    assert classify(400, code, "", mutation=True) is REJECTED


@pytest.mark.parametrize("code", [-1000, -1001, -1006, -1007, -1008, -1129, -2012, -4030, -5023, 0, 200])
def test_codes_that_prove_nothing(code):
    assert code not in REFUSAL_CODES


@given(
    status=st.none() | st.integers(100, 599),
    code=st.none() | st.integers(-6000, 0),
    message=st.text(max_size=40),
)
def test_an_order_counts_as_refused_or_done_only_on_proof(status, code, message):
    order = classify(status, code, message, mutation=True)
    read = classify(status, code, message, mutation=False)
    if order is REJECTED:
        assert status in (401, 403) or (400 <= status < 500 and code in REFUSAL_CODES)
    if order is OK:
        assert status == 200
    assert read is not UNKNOWN
