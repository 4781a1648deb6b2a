"""The demo, on a small recorded data set: the real commands, one after the other."""

import numpy as np
import pytest

from futures_agent.backtest.result_files import read_latest
from futures_agent.clock import DAY_MS, HOUR_MS
from futures_agent.demo import run_demo
from futures_agent.errors import Refuse


@pytest.fixture
def recorded(tmp_path):
    """Forty days of hourly candles of two contracts, in the layout users have."""
    rng = np.random.default_rng(7)
    start = 1_750_000_000_000 // DAY_MS * DAY_MS
    lines = ["symbol,open_time,open,high,low,close,volume,quote_volume,trades"]
    for symbol, price in (("BTCUSDT", 100_000.0), ("ETHUSDT", 2_500.0)):
        closes = np.round(price * np.exp(np.cumsum(rng.normal(0, 0.006, 40 * 24))), 1)
        opens = np.concatenate([[price], closes[:-1]])
        for n, (open_, close) in enumerate(zip(opens, closes, strict=True)):
            high, low = max(open_, close) + 0.5, min(open_, close) - 0.5
            lines.append(f"{symbol},{start + n * HOUR_MS},{open_},{high},{low},{close},5,{5 * close},7")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "klines_1h.csv").write_text("\n".join(lines))
    return folder


def test_the_demo_ends_with_a_report(tmp_path, recorded, capfd, monkeypatch):
    monkeypatch.setenv("AGENT_DATA__HISTORY_DAYS", "30")
    run_demo(tmp_path / "demo", recorded)
    said = capfd.readouterr().out
    for step in ("data-sync", "sentiment-macro", "data-validation", "backtest", "status"):
        assert f"$ agentctl {step}" in said
    assert "funding rates not recorded" not in said
    results = tmp_path / "demo" / "state" / "backtest" / "results"
    assert f"The report: {results}/latest.html" in said
    assert read_latest(results).symbols == ("BTCUSDT", "ETHUSDT")


def test_a_directory_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(Refuse, match="not empty"):
        run_demo(tmp_path, None)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("place", ["thesis.txt", "thesis.txt/demo"])
def test_a_file_in_the_way_is_one_line(tmp_path, place):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(Refuse, match=r"thesis\.txt"):
        run_demo(tmp_path / place, None)


def test_data_that_cannot_be_read_are_told_in_one_line(tmp_path):
    with pytest.raises(Refuse, match=r"the simulator did not start: .*no/such/folder"):
        run_demo(tmp_path / "demo", tmp_path / "no" / "such" / "folder")
