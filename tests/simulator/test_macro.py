"""FRED and the Fear & Greed Index beside the venue: days of publication, revisions, refusals."""

import gzip
from datetime import date
from pathlib import Path

import pytest
import requests

from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.errors import Refuse
from futures_agent.simulator.faults import Fault
from futures_agent.simulator.macro import load_macro

FRED, INDEX = "/fred/series/observations", "/fng/"
KEY = "demo" * 8
REAL = Path("../shared/data")


@pytest.fixture
def simulator(simulator_factory):
    return simulator_factory()  # 2026-03-10T14:20Z


def get(simulator, path, **params):
    return requests.get(simulator.url + path, params=params, timeout=10)


def fred(simulator, series, **params):
    asked = {"series_id": series, "api_key": KEY, "file_type": "json", **params}
    return get(simulator, FRED, **asked)


def observations(simulator, series, **params):
    answer = fred(simulator, series, **params)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["count"] == len(document["observations"])
    return document["observations"]


def reason(simulator, series="DGS10", **params):
    answer = fred(simulator, series, **params)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == 400
    return answer.json()["error_message"]


HISTORY = {"realtime_start": "2025-01-01", "realtime_end": "9999-12-31"}


def test_a_value_shows_on_the_day_it_is_published(simulator):
    days = [row["date"] for row in observations(simulator, "DFF", observation_start="2026-03-01")]
    assert days == [f"2026-03-0{day}" for day in range(1, 10)]
    simulator.clock.step(DAY_MS)
    after = observations(simulator, "DFF", observation_start="2026-03-01")
    assert [row["date"] for row in after][-1] == "2026-03-10"


def test_daily_series_rest_at_weekends_and_have_holidays(simulator):
    rows = observations(simulator, "DGS10", observation_start="2025-01-01")
    assert any(row["value"] == "." for row in rows)
    assert 250 < len(rows) < 320
    assert "2026-03-07" not in {row["date"] for row in rows}  # a Saturday


def test_without_a_range_of_days_only_what_is_current_today_is_answered(simulator):
    rows = observations(simulator, "CPIAUCSL", observation_start="2025-06-01")
    assert [row["date"] for row in rows] == [
        *("2025-06-01", "2025-07-01", "2025-08-01", "2025-09-01"),
        *("2025-10-01", "2025-11-01", "2025-12-01", "2026-01-01"),
    ][: len(rows)]
    assert {row["realtime_start"] for row in rows} == {"2026-03-10"}


def test_with_one_each_value_comes_with_its_days_and_revisions_follow(simulator):
    rows = observations(simulator, "CPIAUCSL", observation_start="2025-06-01", **HISTORY)
    june = [row for row in rows if row["date"] == "2025-06-01"]
    assert [row["realtime_start"] for row in june] == ["2025-07-13", "2025-08-12"]
    assert [row["realtime_end"] for row in june] == ["2025-08-11", "9999-12-31"]
    assert june[0]["value"] != june[1]["value"]
    cut = {"realtime_start": "2025-08-01", "realtime_end": "2025-08-05"}
    inside = observations(simulator, "CPIAUCSL", observation_start="2025-06-01", **cut)
    assert inside == [{**june[0], **cut}]


def test_refusals(simulator):
    assert "api_key is not a 32 character" in reason(simulator, api_key="short")
    assert "api_key is not registered" in reason(simulator, api_key="0" * 32)
    assert "The series does not exist." in reason(simulator, "NOSUCH")
    assert "does not exist in ALFRED" in reason(simulator, "SP500", **HISTORY)
    assert "vintage dates allowed (2000)" in reason(
        simulator, "DFF", **{**HISTORY, "realtime_start": "2016-01-01"}
    )
    assert "not a YYYY-MM-DD" in reason(simulator, realtime_start="1/1/2025")
    assert "file_type=json" in reason(simulator, file_type="xml")
    assert observations(simulator, "SP500", observation_start="2026-03-01")


def test_a_key_has_its_limit(simulator):
    simulator.venue.fred_limiter.limit = 2
    statuses = [fred(simulator, "DFF", observation_start="2026-03-01").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert fred(simulator, "DFF", api_key="other000" * 4).status_code == 200
    assert simulator.stats["by_path"][FRED] == 4


def test_faults_reach_them_too(simulator):
    simulator.add_fault(Fault(status=503, path=INDEX))
    assert get(simulator, INDEX).status_code == 503
    assert get(simulator, INDEX).status_code == 200


def test_the_index(simulator):
    newest, *rest = get(simulator, INDEX, limit=30).json()["data"]
    assert len(rest) == 29
    midnight = simulator.clock.now_ms() // DAY_MS * DAY_MS
    assert newest["timestamp"] == str(midnight // 1000)
    assert newest["time_until_update"] == str((midnight + DAY_MS - simulator.clock.now_ms()) // 1000)
    assert all("time_until_update" not in row for row in rest)
    assert [int(row["timestamp"]) for row in rest] == [midnight // 1000 - 86_400 * n for n in range(1, 30)]
    assert all(0 <= int(row["value"]) <= 100 for row in rest)
    assert len(get(simulator, INDEX).json()["data"]) == 1
    assert len(get(simulator, INDEX, limit=0).json()["data"]) > 4000
    assert get(simulator, INDEX, limit=40).json()["data"][:30] == [newest, *rest]


@pytest.fixture
def recorded(tmp_path):
    lines = "series,date,value,src\nDGS10,2026-03-02,,x\nDGS10,2026-03-03,4.05,x\nDGS10,2026-03-04,4.1,x\n"
    (tmp_path / "macro_fred.csv.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "fear_greed.csv").write_text("date,timestamp,value\n2026-03-02,1,30.0\n2026-03-03,2,15\n")
    hours = [1_773_100_800_000 + hour * HOUR_MS for hour in range(-20 * 24, 24)]
    candles = "\n".join(f"AUSDT,{at},10,11,9,10.5,5" for at in hours)
    (tmp_path / "klines_1h.csv").write_text("symbol,open_time,open,high,low,close,volume\n" + candles)
    return tmp_path


def test_recorded_series_are_answered_as_they_were(simulator_factory, recorded):
    simulator = simulator_factory(symbols=(), dataset=recorded, start_ms=1_773_100_800_000)
    rows = observations(simulator, "DGS10", observation_start="2026-01-01", **HISTORY)
    assert [(row["date"], row["value"]) for row in rows] == [
        ("2026-03-02", "."),
        ("2026-03-03", "4.05"),
        ("2026-03-04", "4.1"),
    ]
    assert "The series does not exist." in reason(simulator, "DFF")
    index = get(simulator, INDEX, limit=5).json()["data"]
    assert [(row["value"], row["value_classification"]) for row in index] == [
        ("15", "Extreme Fear"),
        ("30", "Fear"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no,series\n1,2\n", r"macro_fred\.csv: not a table of series, date, value"),
        ("series,date,value\nDGS10,2026-03-02,many\n", "many"),
        ("series,date,value\nDGS10,yesterday,4.0\n", "yesterday"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path, text, said):
    (tmp_path / "macro_fred.csv").write_text(text)
    with pytest.raises(Refuse, match=said):
        load_macro(tmp_path, 1)


def test_real_series_are_read_whole():
    if not (REAL / "macro_fred.csv.gz").exists():
        pytest.skip("no real macro series here; generated files are tested above")
    macro = load_macro(REAL, 1)
    found = macro.vintages("DGS10", date(2025, 6, 25), date(2025, 7, 31))
    assert [(one.day.day, one.published.day) for one in found] == [(25, 26), (26, 27), (27, 28), (30, 1)]
    assert macro.vintages("DGS10", date(2015, 1, 1), date(2015, 1, 2))[0].value is None  # New Year's Day
    assert macro.fear_greed(date(2025, 6, 30), 2) == [(date(2025, 6, 30), 66), (date(2025, 6, 29), 68)]
