"""The audit finds every way of peeking that it says it finds, names the place, and accuses nobody else."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from futures_agent.backtest import deciding
from futures_agent.backtest.audit import checks
from futures_agent.backtest.audit.checks import Sampling, audit
from futures_agent.backtest.audit.report import AuditReport, Check, Finding
from futures_agent.backtest.engine import simulate
from futures_agent.backtest.panel import Panel, build_panel
from futures_agent.backtest.records import Simulation
from futures_agent.clock import DAY_MS, HOUR_MS, MINUTE_MS, parse_utc
from futures_agent.errors import ExitCode, Refuse
from futures_agent.market.observation import PUBLISHED
from futures_agent.market.timeframe import Timeframe
from futures_agent.settings.tree import CostSettings, RiskSettings
from futures_agent.strategy import bars as strategy_bars
from futures_agent.strategy.ema_cross import STRATEGY as EMA_CROSS
from futures_agent.strategy.strategy import Strategy
from sample_markets import START_MS, instrument, random_candles, with_holes

SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
HOURS = 240


@pytest.fixture
def peeking(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module of the peeking strategies, with nothing remembered."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import peeking

    for memory in (peeking.CLOSES, peeking.SEEN, peeking.LATEST, peeking.MET, peeking.RUNS):
        memory.clear()
    return peeking


def candles() -> dict[str, np.ndarray]:
    return {symbol: random_candles(place, HOURS) for place, symbol in enumerate(SYMBOLS)}


def panel_of(series: dict[str, np.ndarray] | None = None, **more: Any) -> Panel:
    series = series or candles()
    return build_panel(series, {symbol: instrument(symbol) for symbol in series}, Timeframe.H1, **more)


def audited(
    strategy: Strategy,
    panel: Panel | None = None,
    *,
    params: Any = None,
    cache: Path | None = None,
    **more: Any,
) -> AuditReport:
    resimulate = more.pop("resimulate", None) or partial(simulated, strategy, params or {})
    return audit(
        panel or panel_of(),
        strategy,
        strategy.read_params(params or {}),
        resimulate,
        compile_cache=cache,
        sampling=Sampling(seed=more.pop("seed", 1), truncations=30, account_truncations=5, **more),
    )


def simulated(strategy: Strategy, params: Any, panel: Panel, compile_cache: Path | None) -> Simulation:
    return simulate(
        panel,
        strategy,
        params,
        risk=RiskSettings(),
        costs=CostSettings(),
        initial_equity=10_000.0,
        compile_cache=compile_cache,
    )


def differing(report: AuditReport) -> set[str]:
    return {check.name for check in report.checks if check.findings}


def check_of(report: AuditReport, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


def shown(report: AuditReport) -> str:
    return "\n".join(report.lines())


def test_an_honest_strategy_is_clean(peeking: ModuleType) -> None:
    report = audited(peeking.HONEST)
    assert differing(report) == set()
    assert (report.verdict, report.code) == ("CLEAN", ExitCode.OK)
    assert [(check.name, check.engaged, check.planned) for check in report.checks] == [
        ("prefix", 29, 30),  # one cut comes before the first decision
        ("again", 3, 3),
        ("order", 3, 3),
        ("account", 5, 5),
        ("calendar", 3, 3),
        ("foresight", 3, 3),
    ]
    assert (report.bars, report.features, report.outside) == (3 * HOURS, 2, ())


def test_a_compiled_strategy_with_everything_at_work_is_clean(compile_cache: Path) -> None:
    series = {
        symbol: with_holes(
            random_candles(place, HOURS - 70 * place, start_ms=START_MS + 70 * place * HOUR_MS), place
        )
        for place, symbol in enumerate(SYMBOLS)
    }
    finer = {symbol: random_candles(7, 4 * HOURS, step_ms=15 * MINUTE_MS) for symbol in SYMBOLS}
    report = audited(
        EMA_CROSS,
        panel_of(series, finer=(Timeframe.M15, finer)),
        params={"fast": 3, "slow": 8},
        cache=compile_cache,
    )
    assert differing(report) == set()
    assert check_of(report, "compiled").engaged == 2
    assert check_of(report, "account").engaged >= 4


def test_a_table_read_ahead_moves_with_the_calendar_and_is_named(peeking: ModuleType) -> None:
    series = random_candles(0, HOURS)
    peeking.CLOSES.update(zip(series["timestamp"].tolist(), series["close"].tolist(), strict=True))
    report = audited(peeking.LOOKUP, panel_of({"AUSDT": series}))
    assert differing(report) == {"calendar", "foresight"}
    assert report.outside == (f"CLOSES (dict, {HOURS} items)",)
    assert (report.verdict, report.code) == ("INCONCLUSIVE", ExitCode.FAILED)
    assert list(report.lines())[-1].startswith(
        "audit INCONCLUSIVE: what the step reads besides bars may hold the future; make it an input"
    )
    accepted = replace(report, outside_accepted=True)
    assert (accepted.verdict, accepted.code) == ("CLEAN, BUT FOR 3 WARNINGS", ExitCode.OK)
    assert list(accepted.lines())[-1].endswith("what the step knows besides bars is not proven")
    assert "the step decides by the date" in shown(report)
    (found,) = check_of(report, "foresight").findings
    assert re.fullmatch(
        r"all symbols: foresight 1 bar ahead: 47 of 47 entries right, but about half are by chance",
        found.text,
    )


def test_a_list_filled_in_an_earlier_pass_gives_other_decisions_the_second_time(peeking: ModuleType) -> None:
    report = audited(peeking.LEARNING, panel_of({"AUSDT": random_candles(0, HOURS)}))
    (found,) = check_of(report, "again").findings
    assert (found.symbol, found.timeframe, found.what, found.field) == ("AUSDT", "H1", "decision", "entry")
    assert {found.whole, found.other} == {1, -1}
    assert START_MS <= parse_utc(str(found.bar)) < START_MS + 40 * HOUR_MS
    assert report.code is ExitCode.AUDIT_FAILED
    assert "SEEN (list, 240 items)" in report.outside


def test_chance_gives_other_decisions_the_second_time(peeking: ModuleType) -> None:
    report = audited(peeking.DICE)
    assert check_of(report, "again").word == "DIFFERS"
    assert "a file, the clock, chance" in shown(report)


def test_a_signal_rewritten_later_is_not_what_was_said_then(peeking: ModuleType) -> None:
    report = audited(peeking.REPAINTING)
    findings = check_of(report, "prefix").findings
    assert {(each.symbol, each.what, each.field) for each in findings} == {
        (symbol, "decision", "entry") for symbol in SYMBOLS
    }
    for each in findings:  # the three bars before the cut are not yet painted
        assert parse_utc(str(each.cut)) - parse_utc(str(each.bar)) in (HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS)
        assert (abs(each.whole), each.other) == (1, 0)
    assert report.verdict == "FAILED"


def test_what_one_symbol_leaves_for_another_shows_in_another_order(peeking: ModuleType) -> None:
    report = audited(peeking.CROWDING)
    assert check_of(report, "order").word == "DIFFERS"
    assert check_of(report, "again").word == "same"


def test_a_future_laid_down_as_a_constant_is_named(peeking: ModuleType, compile_cache: Path) -> None:
    report = audited(peeking.CONSTANT, cache=compile_cache)
    assert differing(report) == set()
    assert report.outside == ("FUTURE (ndarray, 4 items)",)


def test_compiled_code_that_stores_less_than_plain_code_differs(
    peeking: ModuleType, compile_cache: Path
) -> None:
    report = audited(peeking.ROUNDING, cache=compile_cache)
    found = check_of(report, "compiled").findings
    assert ("decision", "entry") in {(each.what, each.field) for each in found}
    assert "store no fraction in a whole-number field" in shown(report)


def test_deciding_by_the_month_is_a_warning_and_no_failure(peeking: ModuleType) -> None:
    report = audited(peeking.SEASONAL)
    assert differing(report) == {"calendar"}
    assert (report.code, report.outside) == (ExitCode.OK, ())


def test_a_step_that_raises_in_another_year_is_told(peeking: ModuleType) -> None:
    (found, *_) = check_of(audited(peeking.REFUSING), "calendar").findings
    assert found.text == "CUSDT: step raised: nothing, but LookupError: no data that old"


def test_a_strategy_that_decides_nothing_is_not_called_clean(peeking: ModuleType) -> None:
    report = audited(peeking.SILENT)
    assert (report.verdict, report.code) == ("INCONCLUSIVE", ExitCode.FAILED)
    assert check_of(report, "prefix").word == "no entry to compare"


def test_a_strategy_that_hardly_decides_is_not_called_clean(peeking: ModuleType) -> None:
    report = audited(peeking.LATE, panel_of({"AUSDT": random_candles(0, HOURS)}))
    prefix = check_of(report, "prefix")
    assert (prefix.word, prefix.planned) == ("too few entries", 30)
    assert 0 < prefix.engaged < 3
    assert (report.verdict, report.code) == ("INCONCLUSIVE", ExitCode.FAILED)
    assert "the strategy decided too little to be judged" in shown(report)


@pytest.mark.parametrize(
    ("warning", "outside", "accepted", "code"),
    [
        ("calendar", ("TABLE (dict, 3 items)",), False, ExitCode.FAILED),
        ("foresight", ("TABLE (dict, 3 items)",), False, ExitCode.FAILED),
        ("calendar", ("TABLE (dict, 3 items)",), True, ExitCode.OK),
        ("calendar", (), False, ExitCode.OK),
        (None, ("TABLE (dict, 3 items)",), False, ExitCode.OK),
        ("prefix", ("TABLE (dict, 3 items)",), True, ExitCode.AUDIT_FAILED),
    ],
)
def test_outside_data_that_a_warning_speaks_of_must_be_accepted_by_a_person(
    warning: str | None, outside: tuple[str, ...], accepted: bool, code: ExitCode
) -> None:
    found = Finding(symbol=None, timeframe=None, bar=None, what="decision", field="entry", whole=1, other=0)
    checks = [
        Check(name=name, planned=10, engaged=10, findings=[found] if name == warning else [])
        for name in ("prefix", "calendar", "foresight")
    ]
    report = AuditReport(
        strategy="one",
        seed=1,
        symbols=("AUSDT",),
        symbols_in_all=1,
        bars=10,
        features=1,
        compared_every=1,
        checks=tuple(checks),
        outside=outside,
        failures=(),
        outside_accepted=accepted,
    )
    assert report.code is code


@pytest.mark.parametrize(("engaged", "enough"), [(0, False), (9, False), (10, True), (100, True)])
def test_a_tenth_of_the_comparisons_must_have_had_an_entry(engaged: int, enough: bool) -> None:
    assert Check(name="prefix", planned=100, engaged=engaged).conclusive is enough
    assert not Check(name="prefix").conclusive


def test_what_a_policy_would_see_is_observed_on_the_entries(peeking: ModuleType) -> None:
    report = audited(peeking.OBSERVING)
    assert (report.verdict, differing(report)) == ("CLEAN", set())
    observe = check_of(report, "observe")
    assert (observe.engaged, observe.planned) == (3, 3)


def test_an_observation_by_what_is_remembered_differs_the_second_time(peeking: ModuleType) -> None:
    found = check_of(audited(peeking.REMEMBERING), "again").findings
    assert {(each.what, each.field) for each in found} == {("observation", "move")}
    assert parse_utc(str(found[0].bar)) == START_MS + 4 * HOUR_MS
    found = check_of(audited(peeking.REMEMBERING), "prefix").findings
    assert {(each.what, each.field) for each in found} == {("observation", "move")}


def test_an_observation_that_changes_the_state_is_found(peeking: ModuleType) -> None:
    report = audited(peeking.MEDDLING)
    found = check_of(report, "observe").findings[0]
    assert (found.what, found.field, found.whole, found.other) == ("feature", "bars", 5, 6)
    assert report.code is ExitCode.AUDIT_FAILED
    assert "leaves the state as it is" in shown(report)


def test_an_observation_that_is_no_number_is_found(peeking: ModuleType) -> None:
    found = check_of(audited(peeking.FORGETFUL), "observe").findings[0]
    assert found.text == "AUSDT H1, bar of 2026-01-09T08:00:00Z: observation move: inf, but must be finite"


def test_an_observation_that_is_another_compiled_is_found(peeking: ModuleType, compile_cache: Path) -> None:
    found = check_of(audited(peeking.WRAPPING, cache=compile_cache), "compiled").findings
    assert [(each.what, each.field) for each in found] == [("observation", "rest")]


def test_one_candle_is_too_little_to_be_judged(peeking: ModuleType) -> None:
    report = audited(peeking.HONEST, panel_of({"AUSDT": random_candles(0, 1)}))
    assert report.verdict == "INCONCLUSIVE"
    assert check_of(report, "prefix").planned == 0


@pytest.mark.parametrize(("runs", "name"), [(1, "again"), (2, "order"), (3, "prefix")])
def test_a_step_that_raises_in_a_later_run_is_told(peeking: ModuleType, runs: int, name: str) -> None:
    peeking.RUNS.extend([1] * (3 - runs))
    report = audited(
        peeking.TIRING,
        panel_of({"AUSDT": random_candles(0, HOURS)}),
        resimulate=partial(simulated, peeking.HONEST, {}),
    )
    (found,) = check_of(report, name).findings
    assert (found.what, found.other) == ("step", "RuntimeError: tired")
    assert report.code is ExitCode.AUDIT_FAILED


def test_a_simulation_that_fails_without_the_future_is_told(peeking: ModuleType) -> None:
    def resimulate(panel: Panel, compile_cache: Path | None) -> Simulation:
        if len(panel.timeline) < HOURS:
            raise Refuse("strategy honest failed on every symbol")
        return simulated(peeking.HONEST, {}, panel, compile_cache)

    (found,) = check_of(audited(peeking.HONEST, resimulate=resimulate), "account").findings
    assert found.text.startswith("account: step raised: nothing, but strategy honest failed on every symbol")


def test_symbols_on_which_the_step_raises_are_left_out(peeking: ModuleType) -> None:
    series = candles() | {"OLDUSDT": random_candles(9, HOURS, start_ms=START_MS - 1000 * DAY_MS)}
    report = audited(peeking.REFUSING, panel_of(series))
    assert report.failures == ("OLDUSDT: LookupError: no data that old",)
    assert report.symbols == SYMBOLS
    with pytest.raises(Refuse, match="refusing failed on every sampled symbol; the first: OLDUSDT"):
        audited(peeking.REFUSING, panel_of({"OLDUSDT": series["OLDUSDT"]}))


def test_an_account_that_knows_the_future_differs(peeking: ModuleType) -> None:
    def hindsight(panel: Panel, compile_cache: Path | None) -> Simulation:
        honest = simulated(peeking.HONEST, {}, panel, compile_cache)
        equity, trades = honest.equity.copy(), honest.trades.copy()
        equity["equity"] += len(panel.timeline)
        trades["stop_price"][1:] = len(panel.timeline)
        return replace(honest, equity=equity, trades=trades)

    report = audited(peeking.HONEST, resimulate=hindsight)
    found = check_of(report, "account").findings
    assert [(each.what, each.field) for each in found] == [("entry", "stop_price"), ("equity", "equity")]
    assert found[-1].symbol is None
    assert report.code is ExitCode.AUDIT_FAILED


def test_an_account_that_leaves_a_trade_out_differs(peeking: ModuleType) -> None:
    def forgetful(panel: Panel, compile_cache: Path | None) -> Simulation:
        honest = simulated(peeking.HONEST, {}, panel, compile_cache)
        return replace(honest, trades=honest.trades[len(panel.timeline) % 2 :])

    report = audited(peeking.HONEST, resimulate=forgetful)
    assert check_of(report, "account").findings


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show every bar when it opens."""

    def by_open(*arguments: Any) -> np.ndarray:
        bars = deciding.bars_of(*arguments)
        return bars[np.lexsort([-bars["timeframe_ms"], bars["timestamp"]])]

    monkeypatch.setattr(checks, "bars_of", by_open)


def followed(peeking: ModuleType) -> tuple[Strategy, Panel]:
    higher = {symbol: random_candles(5, HOURS // 4, step_ms=4 * HOUR_MS) for symbol in SYMBOLS}
    strategy = replace(peeking.HONEST, timeframes=(Timeframe.H4,))
    return strategy, panel_of(higher={Timeframe.H4: higher})


def test_higher_bars_are_shown_when_they_have_closed(peeking: ModuleType) -> None:
    assert differing(audited(*followed(peeking))) == set()


@pytest.mark.usefixtures("eager")
def test_a_higher_bar_shown_before_its_close_is_found(peeking: ModuleType) -> None:
    found = check_of(audited(*followed(peeking)), "prefix").findings
    assert {each.what for each in found} == {"bar"}
    assert {each.timeframe for each in found} == {"H4"}


def moods() -> np.ndarray:
    """Return a value per hour, known half a day later."""
    values = np.zeros(HOURS, PUBLISHED)
    values["timestamp"] = START_MS + HOUR_MS * np.arange(HOURS)
    values["available_at"] = values["timestamp"] + DAY_MS // 2
    values["value"] = np.random.default_rng(3).normal(size=HOURS)
    return values


def test_inputs_are_seen_when_they_were_published(peeking: ModuleType) -> None:
    report = audited(peeking.MOODY, panel_of(inputs={"mood": lambda symbol: moods()}))
    assert differing(report) == set()


def test_inputs_joined_by_their_own_time_are_found(
    peeking: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = strategy_bars.known_at_closes

    def careless(published: np.ndarray, closes: np.ndarray, max_age_ms: int) -> Any:
        at_once = published.copy()
        at_once["available_at"] = at_once["timestamp"]
        return honest(at_once, closes, max_age_ms)

    monkeypatch.setattr(strategy_bars, "known_at_closes", careless)
    report = audited(peeking.MOODY, panel_of(inputs={"mood": lambda symbol: moods()}))
    assert {(each.what, each.field) for each in check_of(report, "prefix").findings} == {("bar", "mood")}


def test_a_seed_repeats_an_audit_and_symbols_are_sampled(peeking: ModuleType) -> None:
    first, again, other = (audited(peeking.REPAINTING, seed=seed, symbols=2) for seed in (4, 4, 6))
    assert first == again
    assert other != first
    assert (len(first.symbols), first.symbols_in_all) == (2, 3)
    assert shown(first).startswith(
        "audit of repainting: 2 of 3 symbols, 480 bars, 2 numbers of state, seed 4\n"
    )


def test_a_state_too_large_to_be_kept_at_every_bar_is_compared_less_often(
    peeking: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from futures_agent.backtest.audit import tracing

    monkeypatch.setattr(tracing, "_MOST_BYTES", 16 * HOURS // 7)
    report = audited(peeking.LEARNING)
    assert report.compared_every == 8
    assert "(at one bar in 8)" in shown(report)
    assert check_of(report, "again").word == "DIFFERS"


def test_what_a_finding_says() -> None:
    finding = Finding(
        symbol="AUSDT",
        timeframe="H4",
        bar="2026-01-05T08:00:00Z",
        what="feature",
        field="h4.swings.high",
        whole=101.5,
        other=0.0,
        cut="2026-01-06T00:00:00Z",
    )
    assert finding.text == (
        "AUSDT H4, bar of 2026-01-05T08:00:00Z: feature h4.swings.high: 101.5, "
        "but 0.0 with what was known at 2026-01-06T00:00:00Z"
    )
