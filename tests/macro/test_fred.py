"""FRED's observations: missing values, revisions, days of publication, and a key that nobody sees."""

import json

import pytest

from futures_agent.clock import HOUR_MS
from futures_agent.errors import Refuse, Retry
from futures_agent.macro.fred import Fred
from futures_agent.market.observation import day_ms

KEY = "abcd1234" * 4


def document(*rows, **changes):
    observations = [
        {"realtime_start": start, "realtime_end": "9999-12-31", "date": day, "value": value}
        for start, day, value in rows
    ]
    return json.dumps({"count": len(rows), "limit": 100000, "observations": observations, **changes}).encode()


def refusal(text):
    return json.dumps({"error_code": 400, "error_message": f"Bad Request.  {text}"}).encode()


def ask(make_web, series="CPIAUCSL"):
    return Fred(make_web(), KEY).observations(series, observed_since="2025-01-01", known_since="2025-01-01")


def test_every_value_comes_with_the_day_it_was_published(service, make_web):
    rows = [
        ("2026-02-12", "2025-12-01", "324.4"),
        ("2026-01-14", "2025-12-01", "324.1"),
        ("2026-02-12", "2026-01-01", "325.0"),
        ("2026-02-12", "2026-02-01", "."),
    ]
    service.will_answer((200, document(*rows)))
    published = {day: day_ms(day) + 30 * HOUR_MS for day in ("2026-01-14", "2026-02-12")}
    assert ask(make_web) == [
        ("2025-12-01", 324.1, published["2026-01-14"]),
        ("2025-12-01", 324.4, published["2026-02-12"]),
        ("2026-01-01", 325.0, published["2026-02-12"]),
    ]
    path, query = service.requests[0]
    assert path == "/fred/series/observations"
    assert query == {
        "series_id": "CPIAUCSL",
        "api_key": KEY,
        "file_type": "json",
        "observation_start": "2025-01-01",
        "limit": "100000",
        "realtime_start": "2025-01-01",
        "realtime_end": "9999-12-31",
    }


def test_a_series_without_history_is_asked_for_as_it_is_today(service, make_web):
    service.will_answer(
        (400, refusal("The series does not exist in ALFRED but may exist in FRED.")),
        (200, document(("2026-06-01", "2026-05-29", "5800.1"))),
    )
    assert ask(make_web, "SP500") == [("2026-05-29", 5800.1, None)]
    assert "realtime_start" not in service.requests[1][1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The series does not exist.", "FRED refuses CPIAUCSL: Bad Request. The series does not exist."),
        ("The value for variable api_key is not registered.", "api_key is not registered"),
        (f"No such key: {KEY}.", r"No such key: \*{8}\."),
    ],
)
def test_refusals_say_why_without_the_key(service, make_web, text, said):
    service.will_answer((400, refusal(text)))
    with pytest.raises(Refuse, match=said) as raised:
        ask(make_web)
    assert KEY not in str(raised.value)


def test_a_refusal_without_a_reason(service, make_web):
    service.will_answer((400, b"<xml>"))
    with pytest.raises(Refuse, match="no reason given"):
        ask(make_web)


@pytest.mark.parametrize(
    "body",
    [
        b"<xml>",
        b'{"observations": [{"date": "2026-01-01"}], "count": 1}',
        document(("2026-01-14", "January", "324.1")),
        document(("soon", "2026-01-01", "324.1")),
        document(("2026-01-14", "2026-01-01", "many")),
        document(("2026-01-14", "2026-01-01", "nan")),
        document(("2026-01-14", "2026-01-01", "inf")),
    ],
)
def test_an_answer_with_one_wrong_row_is_not_used(service, make_web, body):
    service.will_answer((200, body))
    with pytest.raises(Retry, match=r"FRED CPIAUCSL: .* not used"):
        ask(make_web)


def test_an_answer_that_was_cut_is_refused(service, make_web):
    service.will_answer((200, document(("2026-01-14", "2026-01-01", "1"), count=2)))
    with pytest.raises(Refuse, match=r"more than one answer; lower data\.history_days"):
        ask(make_web)


@pytest.mark.parametrize("key", ["", "short", "ABCD1234" * 4, "abcd1234" * 4 + "\n"])
def test_what_cannot_be_a_key_is_not_sent(make_web, service, key):
    with pytest.raises(Refuse, match="the FRED key is not one") as raised:
        Fred(make_web(), key)
    assert key not in str(raised.value) or not key
    assert service.requests == []
