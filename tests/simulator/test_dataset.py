from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from futures_agent.clock import DAY_MS, HOUR_MS, parse_utc, utc_text
from futures_agent.errors import Refuse
from futures_agent.market.candle import Candles
from futures_agent.market.timeframe import Timeframe
from futures_agent.simulator.dataset import RecordedCandles
from futures_agent.simulator.generator import GeneratedCandles
from futures_agent.simulator.server import RunningSimulator

START = parse_utc("2026-01-01")
END = START + 20 * DAY_MS
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
REAL = Path(__file__).parents[2] / ".." / "shared" / "data"


def generated(symbol: str, timeframe: Timeframe) -> Candles:
    source = GeneratedCandles(SYMBOLS, seed=5, start_ms=END, history_days=20)
    candles = source.series(symbol, timeframe, END)
    return candles[candles["timestamp"] < END]


def frame(timeframe: Timeframe, symbols: tuple[str, ...] = SYMBOLS) -> pd.DataFrame:
    """Return candles in the column layout of a data set."""
    parts = []
    for symbol in symbols:
        candles = generated(symbol, timeframe)
        columns = {
            name: candles[name]
            for name in ("open", "high", "low", "close", "volume", "quote_volume", "trades")
        }
        parts.append(
            pd.DataFrame({"symbol": symbol, "open_time": candles["timestamp"], **columns, "src": "made up"})
        )
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def hours() -> pd.DataFrame:
    return frame(Timeframe.H1)


def prices(candles: Candles) -> list[tuple[Any, ...]]:
    names = ("timestamp", "open", "high", "low", "close", "volume", "quote_volume", "trades")
    return list(zip(*(candles[name].tolist() for name in names), strict=True))


@pytest.mark.parametrize("name", ["klines_1h.parquet", "klines_1h.csv", "klines_1h.csv.gz"])
def test_folder_and_file_in_every_format_give_back_the_candles(
    tmp_path: Path, hours: pd.DataFrame, name: str
) -> None:
    path = tmp_path / name
    if name.endswith(".parquet"):
        hours.to_parquet(path)
    else:
        hours.to_csv(path, index=False)
    for given in (tmp_path, path):
        source = RecordedCandles.load(given)
        for symbol in SYMBOLS:
            assert prices(source.series(symbol, Timeframe.H1, END)) == prices(generated(symbol, Timeframe.H1))


def test_missing_timeframes_are_aggregated_and_given_ones_served_as_they_are(
    tmp_path: Path, hours: pd.DataFrame
) -> None:
    hours.to_parquet(tmp_path / "klines_1h.parquet")
    days = frame(Timeframe.D1, ("BTCUSDT",))
    days["volume"] += 1.0  # does not agree with the hours, and stays so
    days.to_csv(tmp_path / "klines_1d.csv", index=False)
    source = RecordedCandles.load(tmp_path)
    assert prices(source.series("BTCUSDT", Timeframe.H4, END)) == prices(generated("BTCUSDT", Timeframe.H4))
    served = source.series("BTCUSDT", Timeframe.D1, END)["volume"]
    assert served.tolist() == pytest.approx(
        (generated("BTCUSDT", Timeframe.D1)["volume"] + 1).tolist(), abs=1e-9
    )
    assert prices(source.series("ETHUSDT", Timeframe.D1, END)) == prices(generated("ETHUSDT", Timeframe.D1))
    assert len(source.series("ETHUSDT", Timeframe.M15, END)) == 0
    finer, parts = source.inside("BTCUSDT", Timeframe.D1, END - DAY_MS)
    assert (finer, len(parts)) == (Timeframe.H1, 24)


def test_aggregation_starts_from_the_finest_that_reaches_all_the_way(
    tmp_path: Path, hours: pd.DataFrame
) -> None:
    hours.to_parquet(tmp_path / "klines_1h.parquet")
    quarters = frame(Timeframe.M15)
    quarters[quarters["open_time"] >= END - 3 * DAY_MS].to_parquet(tmp_path / "klines_15m.parquet")
    source = RecordedCandles.load(tmp_path)
    assert len(source.series("SOLUSDT", Timeframe.D1, END)) == 20
    assert len(source.series("SOLUSDT", Timeframe.M15, END)) == 3 * 96


def test_cut_bars_at_the_edges_are_not_made_up(tmp_path: Path, hours: pd.DataFrame) -> None:
    inside = hours["open_time"].between(START + HOUR_MS, END - 2 * HOUR_MS)
    hours[inside].to_parquet(tmp_path / "klines_1h.parquet")
    days = RecordedCandles.load(tmp_path).series("BTCUSDT", Timeframe.D1, END)["timestamp"]
    assert days.tolist() == list(range(START + DAY_MS, END - DAY_MS, DAY_MS))


def test_symbols_and_dates_limit_what_is_read(tmp_path: Path, hours: pd.DataFrame) -> None:
    hours.to_parquet(tmp_path / "klines_1h.parquet")
    hours.to_csv(tmp_path / "candles-1h.csv", index=False)
    for path in (tmp_path, tmp_path / "candles-1h.csv"):
        source = RecordedCandles.load(
            path,
            symbols=("ETHUSDT",),
            first_ms=START + DAY_MS,
            last_ms=START + 3 * DAY_MS - 1,
            with_untradable=False,
        )
        assert [listing.symbol for listing in source.listings()] == ["ETHUSDT"]
        candles = source.series("ETHUSDT", Timeframe.H1, END)
        assert (len(candles), candles["timestamp"][0]) == (48, START + DAY_MS)


def test_interval_column_tells_the_timeframes_apart(tmp_path: Path) -> None:
    parts = [
        frame(timeframe, ("BTCUSDT",)).assign(interval=timeframe.value)
        for timeframe in (Timeframe.H1, Timeframe.D1)
    ]
    minutes = parts[0].head(3).assign(interval="1m")
    path = tmp_path / "candles.csv"
    pd.concat([*parts, minutes]).to_csv(path, index=False)
    source = RecordedCandles.load(path)
    assert len(source.series("BTCUSDT", Timeframe.H1, END)) == 480
    assert len(source.series("BTCUSDT", Timeframe.D1, END)) == 20


def test_missing_turnover_and_trades_are_estimated(tmp_path: Path, hours: pd.DataFrame) -> None:
    bare = hours.drop(columns=["quote_volume", "trades"])
    bare.loc[5, "volume"] = 0.0
    bare.to_parquet(tmp_path / "klines_1h.parquet")
    given, estimated = (
        generated("BTCUSDT", Timeframe.H1),
        RecordedCandles.load(tmp_path).series("BTCUSDT", Timeframe.H1, END),
    )
    ratio = np.delete(estimated["quote_volume"] / given["quote_volume"], 5)
    assert np.all(np.abs(ratio - 1) < 0.02)
    assert (estimated["quote_volume"][5], estimated["trades"][5]) == (0.0, 0)
    assert np.all(np.delete(estimated["trades"], 5) >= 1)
    assert np.all(estimated["taker_buy_volume"] <= estimated["volume"])


def test_partly_missing_turnover_keeps_what_is_there(tmp_path: Path, hours: pd.DataFrame) -> None:
    holes = hours.assign(trades=hours["trades"].astype("Int64"))
    holes.loc[0, ["quote_volume", "trades"]] = None
    holes.to_parquet(tmp_path / "klines_1h.parquet")
    served = RecordedCandles.load(tmp_path).series("BTCUSDT", Timeframe.H1, END)
    assert prices(served[1:]) == prices(generated("BTCUSDT", Timeframe.H1)[1:])
    assert served["trades"][0] >= 1


def test_tick_and_step_follow_from_the_decimals(tmp_path: Path, hours: pd.DataFrame) -> None:
    hours.to_parquet(tmp_path / "klines_1h.parquet")
    grids = {listing.symbol: listing.grid for listing in RecordedCandles.load(tmp_path).listings()}
    assert (grids["BTCUSDT"].price, grids["BTCUSDT"].volume) == (1, 3)
    assert (grids["SOLUSDT"].price, grids["SOLUSDT"].volume) == (2, 2)


def test_contracts_without_current_candles_are_not_tradable(tmp_path: Path, hours: pd.DataFrame) -> None:
    middle = START + 10 * DAY_MS
    ended = (hours["symbol"] == "BTCUSDT") & (hours["open_time"] >= middle)
    unborn = (hours["symbol"] == "ETHUSDT") & (hours["open_time"] < middle)
    hours[~ended & ~unborn].to_parquet(tmp_path / "klines_1h.parquet")

    def status(start_ms: int | None) -> dict[str, str]:
        source = RecordedCandles.load(tmp_path, start_ms=start_ms, with_untradable=False)
        return {listing.symbol: listing.status for listing in source.listings()}

    assert status(middle - DAY_MS) == {
        "BTCUSDT": "TRADING",
        "ETHUSDT": "PENDING_TRADING",
        "SOLUSDT": "TRADING",
    }
    assert status(None) == {"BTCUSDT": "SETTLING", "ETHUSDT": "TRADING", "SOLUSDT": "TRADING"}
    with pytest.raises(Refuse, match="no symbol of the data set has current candles"):
        status(END + 100 * DAY_MS)


def test_the_clock_starts_half_a_day_before_most_symbols_end(tmp_path: Path, hours: pd.DataFrame) -> None:
    longer = hours[(hours["symbol"] != "BTCUSDT") | (hours["open_time"] < END - 5 * DAY_MS)]
    longer.to_parquet(tmp_path / "klines_1h.parquet")
    assert utc_text(RecordedCandles.load(tmp_path).start_ms) == "2026-01-20T12:30:00Z"


def write(path: Path, hours: pd.DataFrame, **changed: Any) -> Path:
    hours.assign(**changed).to_csv(path, index=False)
    return path


BAD: dict[str, tuple[Callable[[Path, pd.DataFrame], Path], str]] = {
    "absent": (lambda folder, hours: folder / "nowhere", "no such file or folder"),
    "empty folder": (lambda folder, hours: folder, r"expected files such as klines_1h\.parquet"),
    "other suffix": (
        lambda folder, hours: write(folder / "klines_1h.txt", hours),
        "not a file of candles; expected",
    ),
    "missing columns": (
        lambda folder, hours: write(folder / "klines_1h.csv", hours.drop(columns=["close", "volume"])),
        r"klines_1h\.csv: columns missing: close, volume",
    ),
    "unknown interval": (
        lambda folder, hours: write(folder / "klines_7h.csv", hours),
        "unknown interval '7h'",
    ),
    "no interval": (
        lambda folder, hours: write(folder / "klines.csv", hours),
        "no interval in the file's name",
    ),
    "odd interval column": (
        lambda folder, hours: write(folder / "klines.csv", hours, interval="2y"),
        "1440 × unknown interval, such as klines.csv:2: BTCUSDT,2y",
    ),
    "empty symbol": (
        lambda folder, hours: write(folder / "klines_1h.csv", hours, symbol=None),
        "1440 × symbol not written as the exchange does",
    ),
    "words for numbers": (
        lambda folder, hours: write(folder / "klines_1h.csv", hours, close="high"),
        "BTCUSDT 1h: 480 × not a number, such as klines_1h.csv:2: BTCUSDT",
    ),
    "seconds": (
        lambda folder, hours: write(folder / "klines_1h.csv", hours, open_time=hours["open_time"] // 1000),
        "open_time is not ms UTC",
    ),
    "off the grid": (
        lambda folder, hours: write(folder / "klines_1h.csv", hours, open_time=hours["open_time"] + 1),
        "open_time off the grid",
    ),
    "twice": (
        lambda folder, hours: write(
            folder / "klines_1h.csv", pd.concat([hours, hours.tail(1).assign(close=hours["low"].iloc[-1])])
        ),
        "SOLUSDT 1h: 2 × same open_time, different values",
    ),
    "negative": (
        lambda folder, hours: write(folder / "klines_1h.csv", hours, volume=-1.0),
        "a volume or count is negative",
    ),
    "missing price": (
        lambda folder, hours: write(folder / "klines_1h.csv", hours, open=None),
        "a value is missing or infinite",
    ),
    "upside down": (
        lambda folder, hours: write(folder / "klines_1h.csv", hours, high=hours["low"] / 2),
        "open or close outside low…high",
    ),
    "endless turnover": (
        lambda folder, hours: write(folder / "klines_1h.csv", hours, quote_volume=float("inf")),
        "a value is missing or infinite",
    ),
    "negative trades": (
        lambda folder, hours: write(folder / "klines_1h.csv", hours, trades=-2),
        "a volume or count is negative",
    ),
    "dates": (
        lambda folder, hours: write(folder / "klines_1h.csv", hours, open_time="2026-01-01 00:00"),
        "480 × not a number",
    ),
    "no rows": (lambda folder, hours: write(folder / "klines_1h.csv", hours.head(0)), "holds no candles"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_sets_are_refused_in_one_line(tmp_path: Path, hours: pd.DataFrame, case: str) -> None:
    make, words = BAD[case]
    path = make(tmp_path, hours)
    with pytest.raises(Refuse, match=words) as refusal:
        RecordedCandles.load(path)
    assert str(tmp_path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("klines_1h.parquet", b"this is not Parquet"),
        ("klines_1h.csv.gz", b"this is not gzip"),
        ("klines_1h.csv.gz", gzip.compress(b"symbol,open_time\n" * 999)[:-20]),
        ("klines_1h.csv", b""),
        ("klines_1h.csv", b"\xff\xfe\x00"),
    ],
)
def test_unreadable_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Refuse, match=name) as refusal:
        RecordedCandles.load(tmp_path)
    assert "\n" not in str(refusal.value)


def test_files_may_overlap_but_not_contradict_each_other(tmp_path: Path, hours: pd.DataFrame) -> None:
    hours.head(1_000).to_parquet(tmp_path / "klines_1h.parquet")
    hours.tail(1_000).to_csv(tmp_path / "klines_1h.csv", index=False)
    source = RecordedCandles.load(tmp_path)
    for symbol in SYMBOLS:
        assert prices(source.series(symbol, Timeframe.H1, END)) == prices(generated(symbol, Timeframe.H1))
    hours.tail(1_000).assign(volume=1.0).to_csv(tmp_path / "klines_1h.csv", index=False)
    with pytest.raises(Refuse, match="same open_time, different values"):
        RecordedCandles.load(tmp_path)


def test_unknown_symbols_and_empty_ranges_are_named(tmp_path: Path, hours: pd.DataFrame) -> None:
    hours.to_parquet(tmp_path / "klines_1h.parquet")
    with pytest.raises(Refuse, match="no candles of DOGEUSDT"):
        RecordedCandles.load(tmp_path, symbols=("BTCUSDT", "DOGEUSDT"))
    with pytest.raises(Refuse, match="holds no candles"):
        RecordedCandles.load(tmp_path, first_ms=END + DAY_MS)


def test_the_interval_is_found_among_other_words_of_a_name(tmp_path: Path, hours: pd.DataFrame) -> None:
    path = tmp_path / "20d-of_3coins_1h.v2.csv"
    hours.to_csv(path, index=False)
    assert len(RecordedCandles.load(path).series("BTCUSDT", Timeframe.H1, END)) == 480


def test_a_missing_library_is_named(
    tmp_path: Path, hours: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours.to_parquet(tmp_path / "klines_1h.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Refuse, match="install the extra"):
        RecordedCandles.load(tmp_path)


def test_times_that_are_not_numbers_are_refused_in_parquet_as_well(
    tmp_path: Path, hours: pd.DataFrame
) -> None:
    dated = hours.assign(open_time=pd.to_datetime(hours["open_time"], unit="ms"))
    dated.to_parquet(tmp_path / "klines_1h.parquet")
    for first_ms in (None, START):
        with pytest.raises(Refuse, match=r"klines_1h\.parquet"):
            RecordedCandles.load(tmp_path, first_ms=first_ms)


def test_files_of_other_intervals_are_passed_over(tmp_path: Path, hours: pd.DataFrame) -> None:
    hours.to_parquet(tmp_path / "klines_1h.parquet")
    (tmp_path / "klines_1m.parquet").write_bytes(b"not even read")
    (tmp_path / "funding.parquet").write_bytes(b"not even read")
    assert len(RecordedCandles.load(tmp_path).series("BTCUSDT", Timeframe.H1, END)) == 480


def test_a_data_set_is_served(
    tmp_path: Path, hours: pd.DataFrame, simulator_factory: Callable[..., RunningSimulator]
) -> None:
    hours.to_parquet(tmp_path / "klines_1h.parquet")
    simulator = simulator_factory(dataset=tmp_path, symbols=(), start_ms=None)
    url = simulator.url + "/fapi/v1/klines?symbol=BTCUSDT&interval=1h&limit=1500"
    rows = requests.get(url, timeout=10).json()
    expected = generated("BTCUSDT", Timeframe.H1)
    expected = expected[expected["timestamp"] <= simulator.clock.now_ms()]
    assert [float(row[4]) for row in rows[:-1]] == expected["close"][:-1].tolist()
    assert rows[-1][0] == expected["timestamp"][-1]
    assert float(rows[-1][5]) < expected["volume"][-1]
    assert requests.get(simulator.url + "/fapi/v1/klines?symbol=BTCUSDC&interval=1h", timeout=10).json() == []


@pytest.mark.skipif(
    not (REAL / "klines_1h.parquet").exists(), reason="real candles (../shared/data) are absent"
)
def test_real_candles_come_out_as_they_are(simulator_factory: Callable[..., RunningSimulator]) -> None:
    symbols = ("BTCUSDT", "1000PEPEUSDT")
    start = parse_utc("2025-05-01T10:20:00Z")
    first = start - 90 * DAY_MS
    simulator = simulator_factory(
        dataset=REAL, symbols=symbols, start_ms=start, data_start_ms=first, data_end_ms=start + 60 * DAY_MS
    )
    assert [simulator.market.listings[symbol].status for symbol in symbols] == ["TRADING", "TRADING"]
    for timeframe in (Timeframe.H1, Timeframe.H4, Timeframe.D1):
        recorded = pd.read_parquet(REAL / f"klines_{timeframe.value}.parquet")
        for symbol in symbols:
            mine = recorded[(recorded["symbol"] == symbol) & recorded["open_time"].between(first, start)]
            rows: list[list[Any]] = []
            url = f"{simulator.url}/fapi/v1/klines?symbol={symbol}&interval={timeframe.value}&limit=1000"
            while page := requests.get(
                f"{url}&startTime={rows[-1][0] + 1 if rows else 0}", timeout=10
            ).json():
                rows += page
            assert [row[0] for row in rows] == mine["open_time"].tolist()
            for column, name in enumerate(("open", "high", "low", "close"), start=1):
                assert [float(row[column]) for row in rows[:-1]] == mine[name].tolist()[:-1]
            volumes = [float(row[5]) for row in rows]
            assert volumes[:-1] == pytest.approx(mine["volume"].tolist()[:-1], rel=1e-12)
            assert volumes[-1] < mine["volume"].tolist()[-1]
