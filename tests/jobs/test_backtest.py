"""The backtest job: what it refuses, what it leaves behind, what its exit code says."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest

from futures_agent.backtest.request import Request
from futures_agent.backtest.result_files import read_latest
from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS, parse_utc, utc_text
from futures_agent.errors import ExitCode
from futures_agent.jobs import backtest, data_sync, data_validation
from futures_agent.live.account import Account, RiskMemory
from futures_agent.live.deciding import Decider
from futures_agent.live.memory import anchor_of
from futures_agent.live.warmup import warm_up
from futures_agent.market.candle import FULL_CANDLE
from futures_agent.market.timeframe import Timeframe
from futures_agent.market.universe import Member, Standing
from futures_agent.program.blocks import set_block
from futures_agent.program.decision_log import DecisionLog
from futures_agent.program.holds import set_hold
from futures_agent.program.progress import Reporter
from futures_agent.program.records import RunLog, RunRecord
from futures_agent.settings import Effective
from futures_agent.store.database import open_writer
from futures_agent.store.instruments import read_instruments
from futures_agent.store.universe import update_universe
from futures_agent.strategy.registry import load_strategy

# A plain-Python strategy needs no compiler, so the job's own behaviour is tested in little time.
STRATEGY = "plain_cross:STRATEGY"


@pytest.fixture
def synced(simulator_factory, settings_for, monkeypatch):
    """Settings of a host whose candles are complete."""
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__))
    venue = simulator_factory()
    settings = settings_for(venue.url, strategy__name=STRATEGY)
    assert data_sync.run(settings) is ExitCode.OK
    return settings


def run(settings, **asked):
    return backtest.run(Effective(settings, {}), Request(**asked))


def changed(settings, section, **values):
    part = msgspec.structs.replace(getattr(settings, section), **values)
    return msgspec.structs.replace(settings, **{section: part})


LENIENT = {
    "min_trades": 1,
    "min_profit_factor": 0.0,
    "min_sharpe": -100.0,
    "max_drawdown": 1.0,
    "max_kill_switch_trips": 1,
}
STRICT = {"min_trades": 1_000_000}


@pytest.mark.parametrize(
    ("gate", "code", "verdict"),
    [(LENIENT, ExitCode.OK, "PASSED"), (STRICT, ExitCode.GATE_FAILED, "FAILED")],
)
def test_a_run_leaves_result_and_report_and_its_code_is_the_verdict(synced, capsys, gate, code, verdict):
    settings = changed(synced, "gate", **gate)
    assert run(settings) is code
    assert f": {verdict}: " in capsys.readouterr().out
    summary = read_latest(settings.paths.results)
    assert summary.verdict.text == verdict
    assert summary.symbols == settings.data.symbols
    assert summary.candles == 3 * 50 * 24
    names = {path.name for path in settings.paths.results.iterdir()}
    assert {"latest.json", "latest.html"} < names
    assert len(names) == 4


def test_a_run_that_the_kill_switch_cut_short_says_so_and_never_passes(synced, capsys):
    gate = {**LENIENT, "max_kill_switch_trips": 0}
    settings = changed(changed(synced, "gate", **gate), "risk", max_drawdown=0.001)
    assert run(settings) is ExitCode.GATE_FAILED
    line = capsys.readouterr().out.splitlines()[-1]
    assert re.search(r": FAILED: traded \d+ of 50 days, \d+ trades, .*; kill_switch_trips 1 > 0; ", line)
    assert the_result(settings)["metrics"]["traded_days"] < 50


@pytest.mark.parametrize("which", ["all", "none"])
def test_the_report_carries_the_candles_that_the_setting_names(synced, which):
    settings = changed(synced, "backtest", report_candles=which)
    run(settings)
    html = (settings.paths.results / "latest.html").read_text()
    embedded = html.partition('<script id="charts" type="application/json">')[2].partition("</script>")[0]
    charted = [chart["symbol"] for chart in msgspec.json.decode(embedded)["symbols"]]
    assert charted == (list(settings.data.symbols) if which == "all" else [])


def test_a_run_changed_by_the_command_line_leaves_a_result_but_not_the_latest(synced):
    run(synced)
    run(synced, symbols=["ETHUSDT"])
    assert read_latest(synced.paths.results).symbols == synced.data.symbols
    results = [
        msgspec.json.decode(path.read_bytes()) for path in synced.paths.results.glob("backtest_*.json")
    ]
    assert ["ETHUSDT"] in [result["symbols"] for result in results]


def newest_h1(settings):
    with contextlib.closing(open_writer(settings.paths.database)) as db:
        return db.execute("SELECT max(timestamp) FROM ohlcv_h1").get


def the_result(settings):
    """Return the only result there is."""
    (path,) = settings.paths.results.glob("backtest_*Z.json")
    return msgspec.json.decode(path.read_bytes())


def test_a_run_says_which_live_decisions_it_reproduces(synced, capsys):
    strategy = load_strategy(synced.strategy.name)
    close_ms = newest_h1(synced) + HOUR_MS
    with contextlib.closing(open_writer(synced.paths.database)) as db:
        known = read_instruments(db)
    decider = Decider(
        strategy,
        synced.strategy.params,
        Timeframe.H1,
        {symbol: known[symbol] for symbol in synced.data.symbols},
        risk=synced.risk,
        memory=RiskMemory(synced.paths.live / "risk.json"),
        anchor_ms=anchor_of(30, close_ms),
        mode="paper",
        decide_within_ms=120_000,
    )

    def fetch(symbol, timeframe, first, last):
        return np.zeros(0, FULL_CANDLE)  # the exchange has no more than the database

    for done in warm_up(
        decider,
        None,
        close_ms=close_ms,
        fetch=fetch,
        database=synced.paths.database,
        settings=synced.database,
    ):
        assert done.bars > 20 * 24
    made = decider.decide(close_ms, Account(wallet=10_000.0, holdings={}), close_ms + 2_000)
    run(synced)
    nothing = the_result(synced)["signal_validation"]
    assert (nothing["status"], nothing["reason"]) == ("NOT VALIDATED", "no live decisions in the last 24 h")
    shutil.rmtree(synced.paths.results)
    DecisionLog(synced.paths.decisions, 30).append(made.close, list(made.decisions))
    run(synced)
    assert "live signals: VALIDATED, 3 of 3 decisions of the last 24 h (paper) are reproduced" in " ".join(
        capsys.readouterr().out.split()
    )
    found = the_result(synced)["signal_validation"]
    assert (found["compared"], found["reproduced"], found["differing"]) == (3, 3, [])
    assert read_latest(synced.paths.results).signal_validation.status == "VALIDATED"


def test_a_past_period_is_run_whatever_tonights_data_are_like(synced, capsys):
    end = newest_h1(synced) - 5 * DAY_MS
    set_block(synced.paths.job("data-validation"), ["H1: coverage 10%"])
    stale = changed(synced, "data", stale_after_h_h1=0.1)
    assert run(stale) is ExitCode.BLOCKED
    run(stale, start_ms=end - 3 * DAY_MS, end_ms=end)
    assert "; 3 symbols, 216 candles; " in capsys.readouterr().out
    result = the_result(synced)
    assert result["data"] == {"start": utc_text(end - 3 * DAY_MS), "end": utc_text(end), "days": 3.0}
    assert result["signal_validation"]["reason"] == "a run over a past period compares no live decisions"
    assert read_latest(synced.paths.results) is None


def test_a_period_without_candles_says_what_is_stored(synced, capsys):
    assert run(synced, start_ms=0, end_ms=DAY_MS) is ExitCode.CONFIG
    assert f"to {utc_text(newest_h1(synced))}: choose --from and --to within" in capsys.readouterr().err


def test_a_single_candle_makes_a_result(synced):
    end = newest_h1(synced)
    assert run(synced, start_ms=end - HOUR_MS, end_ms=end) is ExitCode.GATE_FAILED
    result = the_result(synced)
    assert (result["candles"], result["metrics"]["trades"], result["data"]["days"]) == (3, 0, 1 / 24)
    assert result["warnings"][0].startswith("no trades: the strategy gave no entry signal")


def test_a_strategy_that_breaks_on_a_symbol_costs_that_symbol_and_says_so(synced, capsys):
    with contextlib.closing(open_writer(synced.paths.database)) as db:
        highest = dict(db.execute("SELECT symbol, max(close) FROM ohlcv_h1 GROUP BY symbol"))
    cheap, dearer, dearest = sorted(highest, key=highest.get)
    fragile = {"name": "plain_cross:FRAGILE", "params": {"most": highest[dearer]}}
    run(changed(synced, "strategy", **fragile))
    broken = f"left out, strategy fragile failed on {dearest}: ValueError: too expensive"
    assert f"warning: {broken}" in capsys.readouterr().out.splitlines()[-1]
    result = the_result(synced)
    assert result["warnings"][0] == broken
    assert set(result["trades"]["symbol"]) == {cheap, dearer}


def test_a_strategy_that_breaks_everywhere_is_bad_input(synced, capsys):
    assert run(changed(synced, "strategy", name="plain_cross:FRAGILE")) is ExitCode.CONFIG
    assert "strategy fragile failed on every symbol; the first: " in capsys.readouterr().err
    assert not synced.paths.results.exists()


def test_a_strategy_that_never_trades_is_warned_of_before_all_else(synced, capsys):
    assert run(changed(synced, "strategy", name="plain_cross:IDLE")) is ExitCode.GATE_FAILED
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("backtest gate failed: no trades: the strategy gave no entry signal (it")
    assert "; FAILED: 0 trades" in line
    assert the_result(synced)["warnings"][0].startswith("no trades: the strategy gave no entry signal")


def test_a_symbol_delisted_on_the_way_is_traded_until_then(synced):
    gone_at = newest_h1(synced) - 20 * DAY_MS
    with contextlib.closing(open_writer(synced.paths.database)) as db:
        delisted = Member(symbol="ETHUSDT", standing=Standing.DELISTED, reason="gone", since_ms=gone_at)
        update_universe(db, [delisted], now_ms=1)
        db.execute("DELETE FROM ohlcv_h1 WHERE symbol = 'ETHUSDT' AND timestamp > ?", (gone_at,))
    run(changed(synced, "risk", max_drawdown=1.0, max_daily_loss=1.0))  # trades to the end
    result = the_result(synced)
    assert result["symbols"] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    exits = [
        time
        for symbol, time in zip(result["trades"]["symbol"], result["trades"]["exit_time"], strict=True)
        if symbol == "ETHUSDT"
    ]
    assert gone_at - 2 * DAY_MS < max(exits) <= gone_at
    assert any(
        warning.startswith(
            f"ETHUSDT is kept up to its end: H1 candles end {utc_text(gone_at)}; delisted since"
        )
        for warning in result["warnings"]
    )


def test_missing_funding_rates_are_assumed_and_said(synced):
    run(synced)
    result = the_result(synced)
    assert any(warning.startswith("funding rates not recorded at ") for warning in result["warnings"])
    assert sum(result["trades"]["funding"]) < 0


def test_symbols_that_validation_excludes_are_not_traded(synced):
    with contextlib.closing(open_writer(synced.paths.database)) as db:
        halted = Member(symbol="ETHUSDT", standing=Standing.HALTED, reason="TRADING_HALT", since_ms=0)
        update_universe(db, [halted], now_ms=1)
        db.execute("DELETE FROM ohlcv_h1 WHERE symbol = 'SOLUSDT' AND timestamp > 1773000000000")
        assert db.changes() > 24
    run(changed(synced, "data", coverage_min=0.5, excluded_max=0.5))
    summary = read_latest(synced.paths.results)
    assert summary.symbols == ("BTCUSDT", "ETHUSDT")
    assert "left out, H1 candles missing or stale: SOLUSDT" in summary.warnings


def test_turned_off_says_so_and_succeeds(synced, capsys):
    assert run(changed(synced, "backtest", enabled=False)) is ExitCode.OK
    assert "turned off" in capsys.readouterr().out
    assert not synced.paths.results.exists()


def test_held_and_blocked_do_not_run(synced, capsys):
    set_block(synced.paths.job("data-validation"), ["H1: coverage 10%"])
    assert run(synced) is ExitCode.BLOCKED
    assert "H1: coverage 10%" in capsys.readouterr().err
    set_hold(synced.paths.holds, "backtest", "new fees")
    assert run(synced) is ExitCode.HELD
    assert not synced.paths.results.exists()


def test_data_that_went_bad_after_validation_block_too(synced, capsys):
    assert run(changed(synced, "data", stale_after_h_h1=0.1)) is ExitCode.BLOCKED
    assert "the candles are not good: H1: coverage 0.0%" in capsys.readouterr().err


def test_what_the_exchange_itself_contradicts_does_not_block(synced, capsys):
    strict = changed(changed(synced, "data", max_disagreements=0), "strategy", timeframe="H4")
    with contextlib.closing(open_writer(strict.paths.database)) as db:
        odd = db.execute("SELECT max(timestamp) FROM ohlcv_h4 WHERE symbol = 'ETHUSDT'").get
        db.execute(
            "UPDATE ohlcv_h4 SET volume = volume / 2 WHERE symbol = 'ETHUSDT' AND timestamp = ?", (odd,)
        )
    assert run(strict) is ExitCode.BLOCKED
    assert "ETHUSDT H4: 1 candles contradict the finer timeframe" in capsys.readouterr().err
    data_validation.run(synced, repair=False)
    report = strict.paths.job("data-validation") / "report.json"
    known = {"exchanges_own": [["ETHUSDT", "H4", odd]]}
    report.write_bytes(msgspec.json.encode(msgspec.json.decode(report.read_bytes()) | known))
    assert run(strict) in (ExitCode.OK, ExitCode.GATE_FAILED)


def test_no_database_says_what_to_do(settings_for, capsys):
    settings = settings_for("http://127.0.0.1:9")
    assert run(settings) is ExitCode.CONFIG
    assert "agentctl data-sync" in capsys.readouterr().err


def test_an_unknown_strategy_is_bad_input(synced, capsys):
    assert run(changed(synced, "strategy", name="no_such_strategy")) is ExitCode.CONFIG
    assert "no_such_strategy" in capsys.readouterr().err


SCHEDULED = parse_utc("2026-11-20T23:30Z")


@pytest.mark.parametrize(
    ("trigger", "started", "late"),
    [
        ("backtest.timer", SCHEDULED, 0),
        ("backtest.timer", SCHEDULED + 9 * MINUTE_MS, 9),
        ("backtest.timer", SCHEDULED + 9 * 60 * MINUTE_MS, 540),  # caught up in the morning
        ("backtest.timer", SCHEDULED - 30_000, 0),  # the clock was set back a little
        ("", SCHEDULED + 9 * 60 * MINUTE_MS, 0),  # a person is never late
    ],
)
def test_lateness_is_counted_from_the_schedule(synced, monkeypatch, trigger, started, late):
    monkeypatch.setenv("TRIGGER_UNIT", trigger)
    assert backtest.minutes_late(synced, started) == late


def test_a_retry_is_not_late_but_yesterdays_run_does_not_excuse_it(synced, monkeypatch):
    monkeypatch.setenv("TRIGGER_UNIT", "backtest.timer")
    log = RunLog(synced.paths.job("backtest"))
    log.append(RunRecord(run="1", job="backtest", started_ms=SCHEDULED - DAY_MS, pid=1, exit_code=1))
    assert backtest.minutes_late(synced, SCHEDULED + 30 * MINUTE_MS) == 30
    log.append(RunRecord(run="2", job="backtest", started_ms=SCHEDULED + MINUTE_MS, pid=1, exit_code=1))
    assert backtest.minutes_late(synced, SCHEDULED + 30 * MINUTE_MS) == 0


def test_a_late_start_is_skipped_and_says_so(synced, monkeypatch, capsys):
    monkeypatch.setenv("TRIGGER_UNIT", "backtest.timer")
    monkeypatch.setattr(backtest, "minutes_late", lambda settings, started_ms: 11.0)
    assert run(synced) is ExitCode.OK
    assert "skipped: 11 min after 23:30 UTC" in capsys.readouterr().out


def agentctl(settings, *arguments):
    """Run agentctl as a person types it, on the synced host."""
    return subprocess.run(
        [sys.executable, "-m", "futures_agent.cli", *arguments],
        env={
            **os.environ,
            "AGENT_CONFIG": os.devnull,
            "AGENT_PATHS__STATE_DIR": settings.paths.state_dir,
            "AGENT_DATA__SYMBOLS": ",".join(settings.data.symbols),
            "AGENT_STRATEGY__NAME": "ema_cross",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_typed_arrives_and_two_runs_are_compared(synced):
    end = newest_h1(synced) - DAY_MS
    symbols = "ETHUSDT,BTCUSDT,ethusdt"
    typed = ["--from", utc_text(end - 9 * DAY_MS), "--to", utc_text(end), "--symbols", symbols]
    chosen = ["--strategy", STRATEGY, "--set", "every=5", "--set", "risk.max_positions=1"]
    done = agentctl(synced, "backtest", *typed, *chosen)
    assert done.returncode in (ExitCode.OK, ExitCode.GATE_FAILED), done.stderr
    result = the_result(synced)
    assert result["strategy"]["name"] == STRATEGY
    assert result["strategy"]["params"] == {"every": 5}
    assert (result["symbols"], result["candles"]) == (["ETHUSDT", "BTCUSDT"], 2 * 9 * 24)
    assert result["settings"]["risk.max_positions"] == 1
    run_id = result["run_id"]
    assert agentctl(synced, "compare", run_id, run_id).returncode == ExitCode.OK
    time.sleep(1.0 - time.time() % 1)  # the name of a run is its second
    agentctl(synced, "backtest", *typed, "--strategy", STRATEGY, "--set", "every=7")
    (other,) = {path.stem[9:] for path in synced.paths.results.glob("backtest_*Z.json")} - {run_id}
    compared = agentctl(synced, "compare", run_id, other, "--json")
    assert compared.returncode == ExitCode.DIFFERENT
    found = msgspec.json.decode(compared.stdout)
    assert {"name": "strategy.params.every", "a": 5, "b": 7} in found["settings"]
    assert found["trades"]["only_b"]


def started_slow(settings):
    """Start a backtest that takes seconds, and wait until its strategy has begun."""
    process = subprocess.Popen(
        [sys.executable, "-m", "futures_agent.cli", "backtest"],
        env={
            **os.environ,
            "AGENT_CONFIG": os.devnull,
            "AGENT_PATHS__STATE_DIR": settings.paths.state_dir,
            "AGENT_DATA__SYMBOLS": ",".join(settings.data.symbols),
            "AGENT_DATA__HISTORY_DAYS": str(settings.data.history_days),
            "AGENT_STRATEGY__NAME": "plain_cross:SLOW",
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while not (settings.paths.state / "slow").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return process


def incomplete(settings):
    return [path for path in settings.paths.results.iterdir() if ".incomplete_" in path.name]


def test_sigterm_leaves_an_incomplete_record_and_no_result(synced):
    process = started_slow(synced)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == ExitCode.INTERRUPTED, said
    assert RunLog(synced.paths.job("backtest")).recent()[-1].outcome == "interrupted"
    (left,) = synced.paths.results.iterdir()
    assert left in incomplete(synced)
    assert msgspec.json.decode(left.read_bytes())["stage"] == "signals"


@pytest.mark.parametrize(
    "stage",
    ["load", "signals", "comparing with live trading", "metrics", "report", "writing the result"],
)
def test_told_to_stop_at_any_stage_it_leaves_how_far_it_was(synced, monkeypatch, capsys, stage):
    advance = Reporter.advance

    def stop_then(reporter, done, total, text):
        if text == stage:
            os.kill(os.getpid(), signal.SIGTERM)
        advance(reporter, done, total, text)

    monkeypatch.setattr(Reporter, "advance", stop_then)
    code = run(synced)
    if stage == "writing the result":  # quicker finished than undone
        assert code in (ExitCode.OK, ExitCode.GATE_FAILED)
        assert read_latest(synced.paths.results) is not None
        return
    assert code is ExitCode.INTERRUPTED
    assert "told to stop" in capsys.readouterr().err
    (left,) = synced.paths.results.iterdir()
    record = msgspec.json.decode(left.read_bytes())
    assert left in incomplete(synced)
    assert record["status"] == "INCOMPLETE"
    assert record["stage"] in {
        "load": ["load", "signals"],
        "signals": ["signals", "comparing with live trading"],
        "comparing with live trading": ["metrics"],
    }.get(stage, ["report", "writing the result"])


def test_a_full_disk_leaves_nothing_half_written_and_is_tried_again(synced, small_disk, monkeypatch, capsys):
    small_disk.grow("8M")
    results = small_disk.path / "results"
    monkeypatch.setattr(type(synced.paths), "results", property(lambda paths: results))
    run(synced)
    before, names = read_latest(results), set(results.iterdir())
    space = os.statvfs(results)
    (small_disk.path / "filler").write_bytes(bytes(space.f_bavail * space.f_bsize - 100_000))
    assert run(synced) is ExitCode.FAILED
    assert "No space left on device; free space there" in capsys.readouterr().err
    assert (read_latest(results), set(results.iterdir())) == (before, names)


def test_a_killed_run_is_accounted_for_by_the_next_start_and_only_once(synced):
    process = started_slow(synced)
    process.kill()
    process.communicate(timeout=20)
    assert not synced.paths.results.exists()
    assert run(changed(synced, "backtest", enabled=False)) is ExitCode.OK
    settings = changed(synced, "gate", **LENIENT)
    (left,) = incomplete(synced)
    assert msgspec.json.decode(left.read_bytes())["reason"] == f"killed (pid {process.pid})"
    assert run(settings) is ExitCode.OK
    assert len(incomplete(synced)) == 1
