import pytest

from futures_agent.clock import age_text, parse_utc, utc_text
from futures_agent.errors import Refuse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20", 1795132800000),
        ("2026-11-20T23:30", 1795217400000),
        ("2026-11-20T23:30Z", 1795217400000),
        ("2026-11-21T00:30+01:00", 1795217400000),
        ("1795217400000", 1795217400000),
    ],
)
def test_parse_utc(text, expected):
    assert parse_utc(text) == expected


@pytest.mark.parametrize("text", ["yesterday", "", "12", "2026-13-01"])
def test_parse_utc_refuses_in_one_line(text):
    with pytest.raises(Refuse, match="not a date"):
        parse_utc(text)


def test_utc_text_round_trip():
    assert utc_text(1795217400123) == "2026-11-20T23:30:00Z"
    assert parse_utc(utc_text(1795217400000)) == 1795217400000


@pytest.mark.parametrize(
    ("seconds", "text"), [(42, "42 s"), (720, "12 min"), (18_720, "5.2 h"), (267_840, "3.1 d")]
)
def test_age_text(seconds, text):
    assert age_text(seconds) == text
