"""Signal validation: what live decided is reproduced, and whatever is not is told apart and explained."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from futures_agent.backtest import signal_validation
from futures_agent.backtest.panel import Panel
from futures_agent.backtest.signal_validation import SignalValidation, validate_signals
from futures_agent.clock import DAY_MS, HOUR_MS, utc_text
from futures_agent.live.account import Account
from futures_agent.live.deciding import Decided
from futures_agent.market.candle import FULL_CANDLE
from futures_agent.market.observation import PUBLISHED
from futures_agent.market.timeframe import Timeframe
from futures_agent.program.decision_log import DecisionLog
from futures_agent.settings.tree import PathSettings, RiskSettings, Settings, StrategySettings
from futures_agent.store.candles import upsert_candles
from futures_agent.store.database import open_writer
from futures_agent.store.instruments import upsert_instruments
from futures_agent.store.sentiment import FUNDING, upsert_funding
from live_replay import FUNDED, candles_by_close, decider_of, replay, watch
from market_panels import generated_panel
from shipped import CONFIGURATIONS

STRATEGY, PARAMS = CONFIGURATIONS["smc, eager"]
LENIENT = RiskSettings(max_drawdown=1.0, max_daily_loss=1.0, max_correlated=2, correlation_limit=0.9)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return msgspec.structs.replace(generated_panel(symbols=3, days=60), inputs={})


@pytest.fixture(scope="module")
def moments(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> list[Decided]:
    """Return what was decided at each close of 30 hours, in which positions were opened."""
    decider = decider_of(panel, STRATEGY, PARAMS, tmp_path_factory.mktemp("decided"), risk=LENIENT)
    decider.risk.begin(10_000.0, int(panel.timeline[0]))
    seen = watch(panel, STRATEGY, PARAMS, LENIENT)
    every = [made for _, made in replay(decider, panel, seen)]
    opening = [place for place, made in enumerate(every) if made.entries]
    return every[opening[-1] - 24 : opening[-1] + 6]


@pytest.fixture
def now_ms(moments: list[Decided]) -> int:
    return moments[-1].close.close_ms + 60_000


class Host:
    """A state directory with the candles that the live trader saw, and its decision log."""

    def __init__(self, directory: Path, panel: Panel, cache: Path) -> None:
        self.settings = Settings(
            paths=PathSettings(state_dir=str(directory)), strategy=StrategySettings(name="smc", params=PARAMS)
        )
        self._cache = cache
        self.settings.paths.database.parent.mkdir(parents=True)
        frames = {Timeframe.H1: panel.candles, **panel.higher}
        with closing(open_writer(self.settings.paths.database)) as db:
            for timeframe, series in frames.items():
                for index, symbol in enumerate(panel.symbols):
                    rows = series.of(index)
                    full = np.zeros(len(rows), FULL_CANDLE)
                    for name in rows.dtype.names:
                        full[name] = rows[name]
                    upsert_candles(db, timeframe, symbol, full)
            upsert_instruments(db, panel.instruments, 0)

    def log(self, moments: list[Decided]) -> None:
        writer = DecisionLog(self.settings.paths.decisions, 30)
        for made in moments:
            writer.append(made.close, list(made.decisions))

    def change(self, sql: str, *values: object) -> None:
        with closing(open_writer(self.settings.paths.database)) as db:
            db.execute(sql, values)
            assert db.changes()

    def validated(self, now_ms: int, **changes: object) -> SignalValidation:
        return validate_signals(replace(self.settings, **changes), now_ms, self._cache)


@pytest.fixture
def host(tmp_path: Path, panel: Panel, compile_cache: Path) -> Host:
    return Host(tmp_path / "state", panel, compile_cache)


def deciding(moments: list[Decided], now_ms: int) -> int:
    since_ms = now_ms - DAY_MS
    return sum(len(made.decisions) for made in moments if made.close.close_ms > since_ms)


def entering(moments: list[Decided], skip: int = 7) -> tuple[str, int]:
    """Return symbol and close of an entry signal of the last day."""
    lines = [line for made in moments[skip:-1] for line in made.decisions if line.entry]
    return lines[-1].symbol, lines[-1].bar_close_ms


def test_all_that_live_decided_is_reproduced(host: Host, moments: list[Decided], now_ms: int) -> None:
    host.log(moments)
    found = host.validated(now_ms)
    count = deciding(moments, now_ms)
    assert found == SignalValidation(
        status="VALIDATED",
        reason=f"{count} of {count} decisions of the last 24 h (paper) are reproduced",
        since=utc_text(now_ms - DAY_MS),
        until=utc_text(now_ms),
        mode="paper",
        compared=count,
        reproduced=count,
    )
    assert 60 < count < 73


def test_nothing_compared_is_never_passed(host: Host, moments: list[Decided], now_ms: int) -> None:
    assert host.validated(now_ms).status == "NOT VALIDATED"
    host.log(moments)
    later = host.validated(now_ms + 3 * DAY_MS)
    assert (later.status, later.reason) == ("NOT VALIDATED", "no live decisions in the last 24 h")
    other = host.validated(now_ms, strategy=StrategySettings(name="ema_cross"))
    assert other.reason == "the live trader decides by smc H1, this run by ema_cross H1"
    host.settings.paths.database.write_bytes(b"rubbish" * 2_000)
    broken = host.validated(now_ms)
    assert broken.status == "NOT VALIDATED"
    assert "not a SQLite database" in broken.reason


def test_a_candle_that_is_not_stored_is_named(host: Host, moments: list[Decided], now_ms: int) -> None:
    host.log(moments)
    symbol, close_ms = entering(moments)
    host.change("DELETE FROM ohlcv_h1 WHERE symbol = ? AND timestamp = ?", symbol, close_ms - HOUR_MS)
    found = host.validated(now_ms)
    assert found.status == "DIFFERENT"
    first = found.differing[0]
    assert (first.symbol, first.close, first.why) == (symbol, utc_text(close_ms), "CANDLE_MISSING")
    assert first.detail == f"the H1 candle of {utc_text(close_ms - HOUR_MS)} is not stored"
    assert first.backtest == "no candle"
    assert first.live.startswith(("long", "short"))
    assert found.reproduced == found.compared - len(found.differing)


def test_a_candle_that_is_stored_otherwise_is_named(host: Host, moments: list[Decided], now_ms: int) -> None:
    host.log(moments)
    symbol, close_ms = entering(moments)
    host.change(
        "UPDATE ohlcv_h1 SET open = (high + low) / 2, close = open WHERE symbol = ? AND timestamp = ?",
        symbol,
        close_ms - HOUR_MS,
    )
    found = host.validated(now_ms)
    first = found.differing[0]
    assert (first.symbol, first.close, first.why) == (symbol, utc_text(close_ms), "CANDLE")
    assert f"the H1 candle of {utc_text(close_ms - HOUR_MS)}: open was" in first.detail
    assert set(found.by_reason) == {"CANDLE"}
    assert f"CANDLE {len(found.differing)}" in found.reason


def test_what_differs_before_the_day_is_history(host: Host, moments: list[Decided], now_ms: int) -> None:
    host.log(moments)
    host.change(
        "UPDATE ohlcv_h4 SET high = high * 3 WHERE timestamp = (SELECT max(timestamp) FROM ohlcv_h4) - ?",
        2 * DAY_MS,
    )
    found = host.validated(now_ms)
    assert found.status == "DIFFERENT"
    assert set(found.by_reason) == {"HISTORY"}
    assert "bars seen live" in found.differing[0].detail


def changed_entries(moments: list[Decided]) -> list[Decided]:
    """Return the same moments with every stop a tick nearer, as other code would have had it."""
    return [
        replace(
            made,
            decisions=tuple(
                replace(line, stop_distance=line.stop_distance - 0.01) if line.entry else line
                for line in made.decisions
            ),
        )
        for made in moments
    ]


def test_another_code_is_told_and_what_nothing_explains_is_said_to_be_so(
    host: Host, moments: list[Decided], now_ms: int
) -> None:
    host.log(changed_entries(moments))
    found = host.validated(now_ms)
    assert set(found.by_reason) == {"UNEXPLAINED"}
    entries = [line for made in moments if made.close.close_ms > now_ms - DAY_MS for line in made.decisions]
    assert found.by_reason["UNEXPLAINED"] == sum(line.entry != 0 for line in entries)
    for path in host.settings.paths.decisions.iterdir():
        code = moments[0].close.code
        path.write_text(path.read_text().replace(str(code), "another"))
    assert set(host.validated(now_ms).by_reason) == {"CODE"}


def test_a_gate_that_says_otherwise_to_the_same_account_is_told(
    host: Host, moments: list[Decided], now_ms: int
) -> None:
    host.log(moments)
    judged = [
        line
        for made in moments
        if made.close.close_ms > now_ms - DAY_MS
        for line in made.decisions
        if line.rejection == "ACCEPTED"
    ]
    assert judged
    host.change("UPDATE instruments SET step_size = 0.7, min_quantity = 0.7")
    found = host.validated(now_ms)
    assert found.by_reason == {"GATE": len(judged)}
    assert found.differing[0].live == f"ACCEPTED {float(judged[0].quantity)!r}"
    assert found.differing[0].backtest.startswith(("ACCEPTED", "MIN_QUANTITY"))
    assert found.reproduced == found.compared - len(judged)


def test_an_input_that_one_of_the_two_did_not_know_is_named(host: Host, panel: Panel, tmp_path: Path) -> None:
    start_ms = int(panel.timeline[0]) // DAY_MS * DAY_MS
    funding = np.array([(start_ms + hour * HOUR_MS, 0.0001) for hour in range(0, 72, 8)], FUNDING)
    published = np.zeros(len(funding), PUBLISHED)
    published["timestamp"] = published["available_at"] = funding["timestamp"]
    published["value"] = funding["rate"]
    decider = decider_of(
        panel,
        FUNDED,
        {},
        tmp_path,
        published=lambda symbol: {"funding": published[: 6 if symbol[1] < "2" else 9]},
    )
    log = DecisionLog(host.settings.paths.decisions, 30)
    for close_ms, arriving in sorted(candles_by_close(panel, FUNDED).items()):
        if close_ms > start_ms + 72 * HOUR_MS:
            break
        for symbol, timeframe, candle in arriving:
            decider.on_candle(symbol, timeframe, candle)
        for missing in decider.missing(close_ms):
            decider.have_none(missing)
        made = decider.decide(close_ms, Account(wallet=10_000.0, holdings={}), close_ms)
        log.append(made.close, list(made.decisions))
    with closing(open_writer(host.settings.paths.database)) as db:
        for symbol in panel.symbols:
            upsert_funding(db, symbol, funding)
    found = host.validated(start_ms + 72 * HOUR_MS, strategy=StrategySettings(name="live_replay:FUNDED"))
    assert set(found.by_reason) == {"INPUT"}
    assert {each.symbol for each in found.differing} == {"S0USDT", "S1USDT"}
    assert found.differing[-1].detail == "funding was None, known to the backtest is 0.0001"


def test_an_entry_that_nobody_decided_is_missed(host: Host, moments: list[Decided], now_ms: int) -> None:
    symbol, close_ms = entering(moments)
    host.log(
        [
            replace(made, decisions=tuple(line for line in made.decisions if line.symbol != symbol))
            if made.close.close_ms == close_ms
            else made
            for made in moments
        ]
    )
    found = host.validated(now_ms)
    (missed,) = found.differing
    assert (missed.symbol, missed.close, missed.why) == (symbol, utc_text(close_ms), "NOT_DECIDED")
    assert found.reproduced == found.compared


def test_parameters_of_the_log_are_used_whatever_the_settings_are_now(
    host: Host, moments: list[Decided], now_ms: int
) -> None:
    host.log(moments)
    assert host.validated(now_ms, strategy=StrategySettings(name="smc")).status == "VALIDATED"


def test_a_log_that_nobody_can_make_sense_of_costs_no_run(
    host: Host, moments: list[Decided], now_ms: int, caplog: pytest.LogCaptureFixture
) -> None:
    host.log([replace(made, close=replace(made.close, limits={})) for made in moments])
    found = host.validated(now_ms)
    assert found.status == "NOT VALIDATED"
    assert found.reason == "comparing failed, the journal has the traceback: KeyError: 'risk_per_trade'"
    assert "Traceback" in caplog.text


def test_a_strategy_that_fails_in_the_replay_says_so(
    host: Host, moments: list[Decided], now_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: object) -> None:
        raise IndexError("no such swing")

    host.log(moments)
    monkeypatch.setattr(signal_validation, "stepping", lambda strategy, cache: failing)
    found = host.validated(now_ms)
    assert set(found.by_reason) == {"FAILED"}
    assert found.reproduced == 0
    assert len(found.differing) == 50 < sum(found.by_reason.values())
